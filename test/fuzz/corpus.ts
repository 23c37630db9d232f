/**
 * Seeded authorizers, good and bad: half of the mutations change a plaintext and seal it again, so
 * that they get past the ciphers; the others change ciphertext or the outer bytes.
 */

import { cbc } from '@noble/ciphers/aes.js';
import * as abi from '../../assembly/abi.ts';
import { CryptoKey } from '../../src/cephx/cryptokey.ts';
import { encode, Writer } from '../../src/cephx/denc.ts';
import { capsBuffer, encodeServiceTicketInfo } from '../../src/cephx/protocol.ts';
import type { Rng } from '../rng.ts';
import { aes256kSeal } from '../twin/sealer.ts';
import type { TwinInput, TwinPolicy, TwinSecret } from '../twin/verify.ts';

export const NOW_SECONDS = 1_800_000_000;
const SECOND = 1_000_000_000n;
const GENERAL = 0xffffffffffffffffn;
const IV = new TextEncoder().encode('cephsageyudagreg');
const MAGIC = 0xff009cad8826aa55n;

/** The entity that the revocation of the fuzz run denies. */
export const REVOKED_ID = 'mallory';

const CAPS = [
  'allow *',
  'allow rw pool=liverpool',
  'allow r pool=a namespace=b object_prefix c, allow rwx pool=d network 10.0.0.0/8',
  'profile rbd pool=rbd',
  'not caps at all',
  '',
];
const IDS = [
  'john',
  'x',
  'admin',
  REVOKED_ID,
  'a-much-longer-entity-name.with.dots',
  '',
  'é\u0000',
];

/** Service secrets of both types, an empty one, a general one. */
export function makeSecrets(rng: Rng): TwinSecret[] {
  const secrets: TwinSecret[] = [];
  const add = (service: number, secretId: bigint, type: number, length: number): void => {
    const created = { seconds: NOW_SECONDS - 3600, nanoseconds: rng.int(1e9) };
    const key = new CryptoKey(type, created, rng.bytes(length));
    const expiresNs = rng.chance(0.8) ? BigInt(NOW_SECONDS + 3600) * SECOND : undefined;
    secrets.push({ service, secretId, key, expiresNs });
  };
  for (const service of [abi.ENTITY_TYPE_OSD, abi.ENTITY_TYPE_MDS]) {
    add(service, 1n, 1, 16);
    add(service, 2n, 2, 32);
    add(service, 3n, 1, 16);
    add(service, 4n, 2, 33);
    add(service, 5n, 1, 0);
    add(service, GENERAL, 2, 32);
  }
  return secrets;
}

export function makePolicy(rng: Rng): TwinPolicy {
  return {
    plausibility: rng.pick(['released', 'pr71231-order', 'pr71231-span', 'strict'] as const),
    expiry: rng.pick(['enforce', 'report', 'ring'] as const),
    skewNs: rng.pick([0n, 300n * SECOND, 30n * SECOND, 0xffffffffffffffffn]),
    allowedTypes: rng.pick(['ring', 'ring', 'ring', [1], [2], [1, 2], []] as const),
    generalSecret: rng.chance(0.5),
  };
}

/** Where a mutation acts. */
interface Plan {
  readonly ticketPlain: boolean;
  readonly authorizePlain: boolean;
  readonly ciphertext: boolean;
  readonly outer: boolean;
}

/** One input for `verify`, good or bad. */
export function makeInput(
  rng: Rng,
  secrets: readonly TwinSecret[],
  policies: readonly TwinPolicy[],
): TwinInput {
  const secret = rng.pick(secrets);
  const mutate = rng.chance(0.6);
  const plain = mutate && rng.chance(0.5);
  const plan: Plan = {
    ticketPlain: plain && rng.chance(0.7),
    authorizePlain: plain && rng.chance(0.4),
    ciphertext: mutate && !plain && rng.chance(0.6),
    outer: mutate && !plain && rng.chance(0.5),
  };
  const challenge = rng.pick([
    { mode: 'off' },
    { mode: 'required' },
    { mode: 'issued', value: rng.pick([rng.u64(), GENERAL]) },
    { mode: 'issued', value: rng.u64() },
  ] as const);
  return {
    bytes: makeAuthorizer(rng, secret, plan, challenge.mode === 'issued' ? challenge.value : 7n),
    service: rng.chance(0.97) ? secret.service : rng.pick([1, 2, 4, 16, 32]),
    secrets,
    challenge,
    nowNs: BigInt(NOW_SECONDS) * SECOND + BigInt(rng.int(1e9)),
    policy: rng.pick(policies),
    revoked: (ticket) =>
      ticket.entityType === abi.ENTITY_TYPE_CLIENT &&
      new TextDecoder().decode(ticket.entityId) === REVOKED_ID,
  };
}

function makeAuthorizer(rng: Rng, secret: TwinSecret, plan: Plan, challenge: bigint): Uint8Array {
  const session = makeSessionKey(rng);
  const globalId = rng.u64();
  let info = makeInfo(rng, session, globalId);
  if (plan.ticketPlain) info = mutateBytes(rng, info, fieldOffsets(info));
  let authorize = makeAuthorize(rng, challenge);
  if (plan.authorizePlain) authorize = mutateBytes(rng, authorize, [0, 1, 9, 10, 18, 19]);
  let blob = seal(rng, secret.key, abi.USAGE_TICKET_INFO, info);
  let part = seal(rng, session, abi.USAGE_AUTHORIZE, authorize);
  if (plan.ciphertext) {
    if (rng.chance(0.6)) blob = mutateBytes(rng, blob, [0, 16, 32, 48, 64]);
    else part = mutateBytes(rng, part, [0, 16, 32]);
  }
  const out = new Writer();
  out.u8(1).u64(rng.chance(0.99) ? globalId : rng.u64());
  out
    .u32(secret.service)
    .u8(1)
    .u64(rng.chance(0.98) ? secret.secretId : BigInt(rng.int(9)));
  out.bl(blob).bl(part);
  const bytes = out.finish();
  if (rng.chance(0.004)) return concat(bytes, rng.bytes(abi.AUTHORIZER_LEN_MAX));
  return plan.outer ? mutateBytes(rng, bytes, [0, 1, 9, 13, 14, 22, 26 + blob.length]) : bytes;
}

function makeSessionKey(rng: Rng): CryptoKey {
  const created = { seconds: NOW_SECONDS, nanoseconds: rng.int(1e9) };
  if (rng.chance(0.02)) return new CryptoKey(rng.int(4), created, new Uint8Array(0));
  if (rng.chance(0.02))
    return new CryptoKey(rng.pick([1, 2]), created, rng.bytes(32 + rng.int(120)));
  return rng.chance(0.5)
    ? new CryptoKey(1, created, rng.bytes(16))
    : new CryptoKey(2, created, rng.bytes(32));
}

/** Envelope and CephXServiceTicketInfo, mostly as a monitor makes them. */
function makeInfo(rng: Rng, sessionKey: CryptoKey, globalId: bigint): Uint8Array {
  const shift = rng.chance(0.15) ? rng.pick([-100_000, -7200, -3601, 301, 7200, 100_000]) : 0;
  const created = { seconds: NOW_SECONDS + shift, nanoseconds: rng.int(1e9) };
  const expires = {
    seconds: created.seconds + (rng.chance(0.9) ? 3600 : rng.pick([7200, 7201, -1, 100_000])),
    nanoseconds: created.nanoseconds,
  };
  const moved = new CryptoKey(
    sessionKey.type,
    { seconds: created.seconds + rng.pick([0, 0, 0, 300, 301]), nanoseconds: created.nanoseconds },
    sessionKey.secret,
  );
  const ticket = {
    name: { type: rng.pick([8, 8, 8, 4, 16]), id: rng.pick(IDS) },
    globalId,
    auid: rng.chance(0.05) ? undefined : rng.chance(0.97) ? GENERAL : rng.u64(),
    created,
    expires,
    caps: {
      allowAll: rng.chance(0.05),
      caps: rng.chance(0.9) ? capsBuffer(rng.pick(CAPS)) : new Uint8Array(0),
    },
    flags: 0,
  };
  return envelope(encode(encodeServiceTicketInfo, { ticket, sessionKey: moved }));
}

function makeAuthorize(rng: Rng, challenge: bigint): Uint8Array {
  const out = new Writer();
  const version = rng.chance(0.95) ? 2 : 1;
  out.u8(version).u64(rng.u64());
  if (version === 2) {
    out.u8(rng.chance(0.9) ? 1 : 0);
    out.u64(BigInt.asUintN(64, rng.chance(0.95) ? challenge + 1n : rng.u64()));
  }
  return envelope(out.finish());
}

function envelope(object: Uint8Array): Uint8Array {
  const out = new Writer();
  out.u8(1).u64(MAGIC).bytes(object);
  return out.finish();
}

/** Offsets of fields in a ticket plaintext, where a change means something. */
function fieldOffsets(info: Uint8Array): number[] {
  const id = new DataView(info.buffer, info.byteOffset).getUint32(15, true);
  const at = [0, 1, 9, 10, 11, 15, 19 + id, 27 + id, 35 + id, 39 + id, 43 + id, 47 + id];
  at.push(51 + id, 52 + id, 53 + id, 57 + id);
  for (const back of [46, 44, 40, 36, 34, 32, 28, 26, 22, 18, 16]) at.push(info.length - back);
  return at.filter((offset) => offset >= 0 && offset < info.length);
}

/** One to three changes: a bit, a byte, a field-sized value, a cut, or bytes added. */
function mutateBytes(rng: Rng, bytes: Uint8Array, places: readonly number[]): Uint8Array {
  let out: Uint8Array = bytes.slice();
  for (let i = 1 + rng.int(3); i > 0 && out.length > 0; i--) {
    const at = rng.chance(0.6) ? rng.pick(places) % out.length : rng.int(out.length);
    const kind = rng.int(12);
    if (kind < 5) out[at] = (out[at] as number) ^ (1 << rng.int(8));
    else if (kind < 7) out[at] = rng.pick([0, 1, 2, 3, 16, 0x7f, 0x80, 0xff]);
    else if (kind < 9)
      out.set(rng.pick([ONES, ZEROS, rng.bytes(4)]).subarray(0, out.length - at), at);
    else if (kind < 11) out = out.slice(0, at);
    else out = concat(out, rng.bytes(rng.pick([1, 5, 16, 32])));
  }
  return out;
}

const ONES = new Uint8Array(4).fill(255);
const ZEROS = new Uint8Array(4);

/** Seals under any key, unusable ones included (then nothing can open it). */
function seal(rng: Rng, key: CryptoKey, usage: number, plaintext: Uint8Array): Uint8Array {
  if (key.type === abi.KEY_TYPE_AES256K && key.secret.length >= 32) {
    return aes256kSeal(key.secret, usage, plaintext, rng.bytes(16));
  }
  const secret = key.secret.length >= 16 ? key.secret.slice(0, 16) : new Uint8Array(16);
  const pad = 16 - (plaintext.length % 16);
  const padded = concat(plaintext, new Uint8Array(pad).fill(pad));
  if (rng.chance(0.03)) padded[padded.length - 1 - rng.int(pad)] = rng.pick([0, 1, 17, 32, 255]);
  return cbc(secret, IV, { disablePadding: true }).encrypt(padded);
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}
