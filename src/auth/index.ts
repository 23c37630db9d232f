/** The authentication system: the issuing side of cephx over a store. */

export {
  type Cipher,
  type CipherOptions,
  type CipherSetting,
  DEFAULT_CIPHERS,
  type HealthCheck,
  type HealthInput,
  health,
  mayCreate,
  mayLogIn,
  readCiphers,
  setCipher,
  withCipher,
} from './cipherpolicy.ts';
export {
  type Caller,
  type CommandArgs,
  type CommandDeps,
  type CommandReply,
  type CommandRequest,
  runCommand,
} from './commands.ts';
export { type ExchangeKeys, Exchanges } from './exchange.ts';
export { GlobalIds } from './globalid.ts';
export type { CephxAnswer, Issuer } from './issuer.ts';
export {
  DEFAULT_TTLS,
  type HeldSecret,
  KeyServer,
  type KeyServerOptions,
  ROTATING_SERVICES,
  type RotatingService,
  type TicketTtls,
} from './keyserver.ts';
export { KeyServerRing, type RingFact } from './keyserver-ring.ts';
export { type KeyGeneration, type KeyUse, KeyUses } from './keyuses.ts';
export { commitPending, type LoginContext } from './login.ts';
export { type IssuerOptions, type OpenIssuer, openIssuer, readHealth } from './openissuer.ts';
export { type Revocation, Revocations } from './revocations.ts';
export { CephxServiceHandler, type HelloAnswer, type RequestAnswer } from './servicehandler.ts';
export { type OnStale, StoreView, type ViewOptions } from './storeview.ts';
