/** Ceph's encoding: every structure both ways on seeded random values, cut short, and on noise. */

import { expect, test } from 'vitest';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import {
  DecodeError,
  decode,
  encode,
  equalBytes,
  plusOne,
  Reader,
  type Utime,
  utimeFromNs,
  utimeNs,
  Writer,
} from '../src/cephx/denc.ts';
import * as protocol from '../src/cephx/protocol.ts';
import { Rng, seedOf } from './rng.ts';
import { toHex } from './twin/load.ts';

const SEED = seedOf(20261124);
const rng = new Rng(SEED);
const ROUNDS = 40;

const time = (): Utime => ({ seconds: rng.u32(), nanoseconds: rng.u32() });
const buffer = (): Uint8Array => rng.bytes(rng.int(60));
const text = (): string =>
  rng.pick(['', 'admin', 'a.b', 'k\u00e4se', '\ufeffx', '\u{1f511}', 'osd']);
const blob = (): protocol.TicketBlob => ({ secretId: rng.u64(), blob: buffer() });
const name = (): protocol.EntityName => ({ type: rng.u32(), id: text() });
function key(): CryptoKey {
  const type = rng.pick([0, 1, 2, 9]);
  const length = { 0: rng.int(40), 1: 16 + rng.int(4), 2: 32 + rng.int(4) }[type] ?? 0;
  return new CryptoKey(type, time(), rng.bytes(rng.chance(0.2) ? 0 : length));
}
function info(): protocol.ServiceTicketInfo {
  const caps = { allowAll: rng.chance(0.5), caps: buffer() };
  const times = { created: time(), expires: time() };
  const auid = rng.chance(0.2) ? undefined : rng.u64();
  const ticket = { name: name(), globalId: rng.u64(), auid, ...times, caps, flags: rng.u32() };
  return { ticket, sessionKey: key() };
}
function rotating(): protocol.RotatingSecrets {
  const secrets = new Map<bigint, protocol.ExpiringCryptoKey>();
  for (let i = rng.int(5); i > 0; i--) secrets.set(rng.u64(), { key: key(), expiration: time() });
  return { secrets, maxVersion: rng.u64() };
}
function entityAuth(): protocol.EntityAuth {
  const caps = new Map([...'mos'].map((service) => [service, buffer()] as const));
  const version = rng.pick([2, 3] as const);
  const pendingKey = version === 3 ? key() : CryptoKey.none();
  return { version, key: key(), caps, pendingKey };
}

/** A structure: a random value, its two directions. */
interface Codec<T> {
  readonly make: () => T;
  readonly encoder: (out: Writer, value: T) => void;
  readonly decoder: (reader: Reader) => T;
}

/** Erases the type of the value, which only `run` has to know. */
function codec<T>(
  make: () => T,
  encoder: Codec<T>['encoder'],
  decoder: Codec<T>['decoder'],
): { run: () => void; decoder: (reader: Reader) => unknown } {
  return { run: () => bothWays({ make, encoder, decoder }), decoder };
}

const CODECS = {
  CryptoKey: codec(key, CryptoKey.encode, CryptoKey.decode),
  EntityName: codec(name, protocol.encodeEntityName, protocol.decodeEntityName),
  CephXServiceTicketInfo: codec(
    info,
    protocol.encodeServiceTicketInfo,
    protocol.decodeServiceTicketInfo,
  ),
  CephXServiceTicket: codec(
    () => ({ sessionKey: key(), validity: time() }),
    protocol.encodeServiceTicket,
    protocol.decodeServiceTicket,
  ),
  CephXTicketBlob: codec(blob, protocol.encodeTicketBlob, protocol.decodeTicketBlob),
  CephXServiceTicketReply: codec(
    () =>
      Array.from({ length: rng.int(4) }, () => ({
        serviceId: rng.u32(),
        sealedTicket: buffer(),
        blobSealed: rng.chance(0.5),
        payload: buffer(),
      })),
    protocol.encodeServiceTicketReply,
    protocol.decodeServiceTicketReply,
  ),
  CephXAuthorizer: codec(
    () => ({
      version: 1 + rng.int(9),
      globalId: rng.u64(),
      serviceId: rng.u32(),
      ticket: blob(),
      sealed: buffer(),
    }),
    protocol.encodeAuthorizer,
    protocol.decodeAuthorizer,
  ),
  CephXAuthorize: codec(
    () => ({
      nonce: rng.u64(),
      answer: rng.chance(0.3) ? undefined : { haveChallenge: rng.chance(0.5), plusOne: rng.u64() },
    }),
    protocol.encodeAuthorize,
    protocol.decodeAuthorize,
  ),
  CephXServerChallenge: codec(
    () => rng.u64(),
    protocol.encodeServerChallenge,
    protocol.decodeServerChallenge,
  ),
  CephXAuthorizeReply: codec(
    () => ({ noncePlusOne: rng.u64(), connectionSecret: buffer() }),
    protocol.encodeAuthorizeReply,
    protocol.decodeAuthorizeReply,
  ),
  LoginHello: codec(
    () => ({ mode: protocol.AUTH_MODE_MON, name: name(), globalId: rng.u64() }),
    protocol.encodeLoginHello,
    protocol.decodeLoginHello,
  ),
  CephXChallengeBlob: codec(
    () => ({ server: rng.u64(), client: rng.u64() }),
    protocol.encodeChallengeBlob,
    protocol.decodeChallengeBlob,
  ),
  CephXRequestHeader: codec(
    () => rng.int(65536),
    protocol.encodeRequestHeader,
    protocol.decodeRequestHeader,
  ),
  CephXResponseHeader: codec(
    () => ({ type: rng.int(65536), status: -rng.int(200) }),
    protocol.encodeResponseHeader,
    protocol.decodeResponseHeader,
  ),
  CephXAuthenticate: codec(
    () => {
      const version = 1 + rng.int(3);
      const otherKeys = version >= 2 ? rng.u32() : 0;
      const challenge = { clientChallenge: rng.u64(), key: rng.u64() };
      return { version, ...challenge, oldTicket: blob(), otherKeys };
    },
    protocol.encodeAuthenticate,
    protocol.decodeAuthenticate,
  ),
  CephXServiceTicketRequest: codec(
    () => rng.u32(),
    protocol.encodeServiceTicketRequest,
    protocol.decodeServiceTicketRequest,
  ),
  RotatingSecrets: codec(rotating, protocol.encodeRotatingSecrets, protocol.decodeRotatingSecrets),
  EntityAuth: codec(entityAuth, protocol.encodeEntityAuth, protocol.decodeEntityAuth),
} as const;

/** Encode, decode, encode again; every cut is `decode.truncated`, every extra byte is left. */
function bothWays<T>({ make, encoder, decoder }: Codec<T>): void {
  const bytes = encode(encoder, make());
  const again = encode(encoder, decode(decoder, bytes, 'reject'));
  expect(toHex(again)).toBe(toHex(bytes));
  for (let n = 0; n < bytes.length; n++) {
    expect(codeOf(() => decode(decoder, bytes.subarray(0, n), 'ignore'))).toBe('decode.truncated');
  }
  const longer = new Uint8Array([...bytes, 0]);
  expect(codeOf(() => decode(decoder, longer, 'reject'))).toBe('decode.trailing');
  expect(toHex(encode(encoder, decode(decoder, longer, 'ignore')))).toBe(toHex(bytes));
}

function codeOf(run: () => unknown): string {
  try {
    run();
    return 'ok';
  } catch (error) {
    if (error instanceof DecodeError) return error.code;
    throw error;
  }
}

test.each(Object.entries(CODECS))(`%s both ways, seed ${SEED}`, (_, { run, decoder }) => {
  for (let i = 0; i < ROUNDS; i++) run();
  for (let i = 0; i < 400; i++) {
    const noise = rng.bytes(rng.int(120));
    // Small numbers make plausible lengths and counts.
    for (let at = 0; at < noise.length; at++) if (rng.chance(0.7)) noise[at]! &= 3;
    codeOf(() => decode(decoder, noise, 'ignore'));
  }
});

test('a count that cannot fit is refused before anything is allocated', () => {
  expect(new Reader(new Uint8Array([2, 0, 0, 0, 9, 9, 9, 9])).count(2)).toBe(2);
  const three = new Reader(new Uint8Array([3, 0, 0, 0, 9, 9, 9, 9]));
  expect(codeOf(() => three.count(2))).toBe('decode.truncated');
  const huge = new Writer().u8(1).u32(0xffffffff).bytes(new Uint8Array(64)).finish();
  const code = codeOf(() => decode(protocol.decodeServiceTicketReply, huge, 'ignore'));
  expect(code).toBe('decode.truncated');
  expect(codeOf(() => decode(protocol.decodeRotatingSecrets, huge, 'ignore'))).toBe(
    'decode.truncated',
  );
});

test('names print and parse', () => {
  for (const printed of ['client.admin', 'osd.0', 'mon.', 'client.a.b', 'mgr.x', 'auth.y']) {
    expect(protocol.formatEntityName(protocol.parseEntityName(printed)!)).toBe(printed);
  }
  for (const wrong of ['', 'client', 'toString.x', '.x', 'Client.x', ' client.x']) {
    expect(protocol.parseEntityName(wrong)).toBeUndefined();
  }
  expect(protocol.formatEntityName({ type: 7, id: 'x' })).toBe('7.x');
});

test('caps buffers', () => {
  expect(protocol.capsBuffer(undefined).length).toBe(0);
  expect(protocol.capsText(protocol.capsBuffer(undefined))).toBeUndefined();
  expect(protocol.capsText(protocol.capsBuffer('allow r'))).toBe('allow r');
  expect(protocol.capsText(protocol.capsBuffer(''))).toBe('');
  expect(codeOf(() => protocol.capsText(new Uint8Array([9, 0, 0, 0])))).toBe('decode.truncated');
  expect(codeOf(() => protocol.capsText(new Uint8Array([1, 0, 0, 0, 255])))).toBe('decode.utf8');
});

test('numbers: limits, times, wrap', () => {
  const out = new Writer();
  for (const wrong of [
    () => out.u8(256),
    () => out.u16(-1),
    () => out.u32(2 ** 32),
    () => out.u32(0.5),
    () => out.s32(2 ** 31),
    () => out.u64(-1n),
    () => out.u64(2n ** 64n),
  ]) {
    expect(wrong).toThrow(RangeError);
  }
  expect(out.finish().length).toBe(0);
  expect(plusOne(0xffffffffffffffffn)).toBe(0n);
  const latest = { seconds: 0xffffffff, nanoseconds: 0xffffffff };
  expect(utimeNs(latest)).toBe(4294967295n * 1_000_000_000n + 4294967295n);
  expect(utimeFromNs(1_500_000_001n)).toEqual({ seconds: 1, nanoseconds: 500_000_001 });
  expect(equalBytes(new Uint8Array([1, 2]), new Uint8Array([1, 2]))).toBe(true);
  expect(equalBytes(new Uint8Array([1, 2]), new Uint8Array([1, 3]))).toBe(false);
  expect(equalBytes(new Uint8Array([1]), new Uint8Array([1, 0]))).toBe(false);
  expect(new Reader(new Uint8Array([255, 255, 255, 255])).s32()).toBe(-1);
});
