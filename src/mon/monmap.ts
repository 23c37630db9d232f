/**
 * The monitors' map (Ceph: MonMap.cc; msgr2-mon.md 11): who the monitors are, and since version 10
 * which ciphers the cluster's authentication uses.
 */

import { Reader, type Utime } from '../cephx/denc.ts';
import { type AddressType, decodeAddresses, type EntityAddress } from './address.ts';
import { protocolError } from './errors.ts';

export interface MonMap {
  /** 16 bytes. */
  readonly fsid: Uint8Array;
  readonly epoch: number;
  readonly version: number;
  readonly created: Utime;
  /** By rank. */
  readonly monitors: readonly MonInfo[];
  /** 16 Pacific, 17 Quincy, ...; 0 if the map does not say. */
  readonly minMonRelease: number;
  /** Before version 10 the values that Ceph takes then. */
  readonly auth: AuthSettings;
}

export interface MonInfo {
  readonly name: string;
  readonly addresses: readonly EntityAddress[];
  readonly priority: number;
}

export interface AuthSettings {
  /** Rises when the rotating secrets are wiped. */
  readonly epoch: number;
  /** Key types: of new rotating secrets, for logins, of new keys. */
  readonly serviceCipher: number;
  readonly allowedCiphers: readonly number[];
  readonly preferredCipher: number;
}

/** Throws MonError `mon.protocol` and DecodeError. */
export function decodeMonMap(bytes: Uint8Array): MonMap {
  const { version, body } = envelope(new Reader(bytes));
  if (version < OLDEST_VERSION) throw protocolError('monmap', `version ${version}`);
  const fsid = body.bytes(16, 'monmap').slice();
  const epoch = body.u32('monmap');
  body.utime('monmap');
  const created = body.utime('monmap');
  envelope(body);
  envelope(body);
  const byName = new Map<string, MonInfo>();
  for (let left = body.count(MON_ENTRY_LEN_MIN, 'monmap'); left > 0; left--) {
    byName.set(body.string('monmap'), decodeMonInfo(body));
  }
  const ranks = strings(body);
  const monitors = ranks.map((name) => {
    const info = byName.get(name);
    if (info === undefined) throw protocolError('monmap', 'a rank without a monitor');
    return info;
  });
  if (monitors.length === 0) throw protocolError('monmap', 'it has no monitors');
  const minMonRelease = version >= 7 ? body.u8('monmap') : 0;
  if (version >= 8) skipElection(body);
  if (version >= 9) skipStretchMode(body);
  const auth = version >= 10 ? decodeAuthSettings(body) : AUTH_BEFORE_10;
  return { fsid, epoch, version, created, monitors, minMonRelease, auth };
}

/** "d0d09955-59fd-4da0-9588-10bf3c5c723d". */
export function formatFsid(fsid: Uint8Array): string {
  const hex = Array.from(fsid, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** A monitor's addresses of one protocol. */
export function addressesOf(
  { addresses }: Pick<MonInfo, 'addresses'>,
  type: AddressType,
): readonly EntityAddress[] {
  return addresses.filter((address) => address.type === type && address.host !== '');
}

/** mon_info: string name, entity_addrvec, since version 2 u16 priority; more is not of interest. */
function decodeMonInfo(reader: Reader): MonInfo {
  const { version, body } = envelope(reader);
  return {
    name: body.string('mon_info'),
    addresses: decodeAddresses(body),
    priority: version >= 2 ? body.u16('mon_info') : 0,
  };
}

/** Version 8: vector<u32> removed_ranks, u8 strategy, vector<string> disallowed_leaders. */
function skipElection(body: Reader): void {
  numbers(body);
  body.u8('monmap');
  strings(body);
}

/** Version 9: u8 stretch_mode_enabled, string tiebreaker_mon, vector<string> marked down. */
function skipStretchMode(body: Reader): void {
  body.u8('monmap');
  body.string('monmap');
  strings(body);
}

/** Version 10: u32 epoch, s32 service cipher, vector<s32> allowed, s32 preferred. */
function decodeAuthSettings(body: Reader): AuthSettings {
  return {
    epoch: body.u32('monmap'),
    serviceCipher: body.u32('monmap'),
    allowedCiphers: numbers(body),
    preferredCipher: body.u32('monmap'),
  };
}

/** u8 version, u8 compat, u32 length, fields of which newer ones are ignored. */
function envelope(reader: Reader): { readonly version: number; readonly body: Reader } {
  const version = reader.u8('monmap');
  reader.u8('monmap');
  return { version, body: new Reader(reader.bl('monmap')) };
}

function numbers(reader: Reader): number[] {
  return Array.from({ length: reader.count(4, 'monmap') }, () => reader.u32('monmap'));
}

function strings(reader: Reader): string[] {
  return Array.from({ length: reader.count(4, 'monmap') }, () => reader.string('monmap'));
}

/** The form that our features ask for began with version 6: names, addresses by name, ranks. */
const OLDEST_VERSION = 6;
/** Length of a name, envelope of a mon_info. */
const MON_ENTRY_LEN_MIN = 10;
const AUTH_BEFORE_10: AuthSettings = {
  epoch: 0,
  serviceCipher: 1,
  allowedCiphers: [1, 2],
  preferredCipher: 1,
};
