/**
 * A client of Ceph's monitors over msgr2.1, and the ring of rotating secrets that it keeps. Needs
 * TCP as Node has it; Deno and Bun have it too.
 */

export { type AddressType, type EntityAddress, formatAddress } from './address.ts';
export {
  ClientConnection,
  type ConnectionEvent,
  type ConnectionOptions,
  type Step,
} from './connection.ts';
export type { CommandAck } from './message.ts';
export { type HuntTiming, MonClient, type MonClientOptions } from './monclient.ts';
export { type Lookup, type MonHost, parseMonHost } from './monhost.ts';
export {
  type AuthSettings,
  decodeMonMap,
  formatFsid,
  type MonInfo,
  type MonMap,
} from './monmap.ts';
export { monSrvHosts, type SrvLookup, type SrvRecord } from './monsrv.ts';
export {
  type RingService,
  RotatingSource,
  type RotatingSourceOptions,
  rotatingService,
  type Taken,
  type UpkeptRing,
} from './rotating.ts';
export { TIMING, type Timing } from './session.ts';
export { fetchUsers, type Users } from './users.ts';
