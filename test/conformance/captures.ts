/**
 * Logins and authorizers recorded from real daemons (crypto-capture-*.json): opened with the keys
 * of the record, compared value by value, and built again to the same bytes.
 */

import * as abi from '../../assembly/abi.ts';
import {
  buildAuthorizer,
  challengeHash,
  openAuthorizeChallenge,
  openAuthorizeReply,
  sealAuthorizeChallenge,
  sealAuthorizeReply,
} from '../../src/cephx/authorizer.ts';
import { CryptoKey, openObject, type Sealer } from '../../src/cephx/cryptokey.ts';
import { decode, plusOne, Reader, Writer } from '../../src/cephx/denc.ts';
import * as protocol from '../../src/cephx/protocol.ts';
import {
  openConnectionSecret,
  openServiceTicket,
  openTicketReply,
  type ServiceTicketGrant,
  sealConnectionSecret,
  sealServiceTicket,
  sealTicketReply,
} from '../../src/cephx/ticket.ts';
import { fromHex, toHex } from '../twin/load.ts';
import { aes256kOpenWhole } from '../twin/sealer.ts';
import type { Vector, VectorFile, VectorOp } from './crypto.ts';
import type { Check } from './report.ts';
import type { Rig } from './rig.ts';

/** The operations of recorded exchanges. */
export const captureOps: Readonly<Record<string, VectorOp>> = {
  'capture-login-aes': loginAes,
  'capture-auth-done': authDone,
  'capture-authorizer': authorizer,
};

/** A login reply, taken apart. */
interface Login {
  readonly grants: readonly ServiceTicketGrant[];
  readonly secret: Uint8Array;
  readonly hasExtra: boolean;
  readonly enc: readonly number[];
  /** What was built from it again; only `aes` can give the same bytes. */
  readonly rebuilt: string;
}

/** A login of 16.2.15 under `aes`: its tickets open with the rotating secrets of the file. */
function loginAes(rig: Rig, check: Check, vector: Vector, file: VectorFile): void {
  const { id: _, what: __, op: ___, source: ____, ...expected } = vector;
  const key = CryptoKey.fromBase64(vector.client_key as string);
  const challenges = {
    server: BigInt(vector.server_challenge as string),
    client: BigInt(vector.client_challenge as string),
  };
  const hash = rig.both((sealer) => challengeHash(sealer, key, challenges));
  const old = vector.previous_session_key as string | undefined;
  const oldKey = old === undefined ? undefined : CryptoKey.fromBase64(old);
  const bytes = vector.auth_done as string;
  const login = rig.both((sealer) => openLogin(sealer, key, bytes, oldKey));
  const rotating = file.rotating as Record<string, { secret_id: string; key: string }[]>;
  const tickets = login.grants.map((grant, i) => {
    const { validity, sessionKey, blob } = grant;
    const text = sessionKey.toBase64();
    return {
      service_id: grant.serviceId,
      secret_id: `${blob.secretId}`,
      validity: validity.seconds,
      enc: login.enc[i],
      session_key: text,
      blob: toHex(blob.blob),
      ticket: openTicket(rig, grant, rotating, text),
    };
  });
  const first = tickets[0]?.ticket;
  const computed = {
    entity: first?.entity,
    client_key: key.toBase64(),
    server_challenge: `${challenges.server}`,
    client_challenge: `${challenges.client}`,
    challenge_hash: `${hash}`,
    global_id: first?.global_id,
    con_mode: login.secret.length === 0 ? CON_MODE_CRC : CON_MODE_SECURE,
    auth_done: login.rebuilt,
    has_extra: login.hasExtra,
    connection_secret: toHex(login.secret),
    tickets,
    ...(oldKey && { previous_session_key: oldKey.toBase64() }),
  };
  check.tree('', computed, expected);
}

/** The blob of a ticket, opened and sealed again. */
function openTicket(
  rig: Rig,
  grant: ServiceTicketGrant,
  rotating: Record<string, { secret_id: string; key: string }[]>,
  sessionKey: string,
): Record<string, unknown> | undefined {
  const { secretId, blob } = grant.blob;
  const secret = rotating[grant.serviceId]?.find((each) => each.secret_id === `${secretId}`);
  if (secret === undefined) return undefined;
  const key = CryptoKey.fromBase64(secret.key);
  const info = rig.both((sealer) => openServiceTicket(sealer, key, blob));
  const again = rig.both((sealer) => sealServiceTicket(sealer, key, secretId, info, zeros));
  const { ticket } = info;
  return {
    v: ticket.auid === undefined ? 1 : 2,
    entity: protocol.formatEntityName(ticket.name),
    global_id: `${ticket.globalId}`,
    auid: `${ticket.auid}`,
    created: [ticket.created.seconds, ticket.created.nanoseconds],
    expires: [ticket.expires.seconds, ticket.expires.nanoseconds],
    allow_all: ticket.caps.allowAll,
    caps_hex: toHex(ticket.caps.caps),
    flags: ticket.flags,
    session_key_matches:
      info.sessionKey.toBase64() === sessionKey && toHex(again.blob) === toHex(blob),
  };
}

/** A login of 19.2.6 under `aes256k`: the service secrets are not in the record. */
function authDone(rig: Rig, check: Check, vector: Vector): void {
  const {
    id: _,
    op: __,
    source: ___,
    file: ____,
    global_id: _____,
    auth_done,
    ...expected
  } = vector;
  const key = CryptoKey.fromBase64(vector.client_key as string);
  const bytes = auth_done as string;
  const login = rig.both((sealer) => openLogin(replaying(sealer), key, bytes, undefined));
  // Not under its own name: what is altered inside a ticket's blob a client cannot see.
  check.same('login reply bytes', login.rebuilt, bytes);
  const [auth, ...services] = login.grants;
  const name = (id: number): string => protocol.entityTypeName(id) ?? `${id}`;
  const keys = services.map((each) => [name(each.serviceId), each.sessionKey.toBase64()]);
  const [validity] = new Set(services.map((each) => each.validity.seconds));
  const computed = {
    client_key: key.toBase64(),
    session_keys: { auth: auth?.sessionKey.toBase64(), ...Object.fromEntries(keys) },
    con_mode: login.secret.length === 0 ? CON_MODE_CRC : CON_MODE_SECURE,
    connection_secret_len: login.secret.length,
    connection_secret: toHex(login.secret),
    auth_secret_id: Number(auth?.blob.secretId),
    auth_validity_sec: auth?.validity.seconds,
    services: services.map((each) => each.serviceId),
    service_validity_sec: validity,
  };
  check.tree('', computed, expected);
}

/** CephXResponseHeader, AUTH ticket, connection secret and the tickets that were asked for. */
function openLogin(
  sealer: Sealer,
  key: CryptoKey,
  bytes: string,
  oldKey: CryptoKey | undefined,
): Login {
  const reader = new Reader(fromHex(bytes));
  const out = new Writer();
  protocol.encodeResponseHeader(out, protocol.decodeResponseHeader(reader));
  const auth = openTicketReply(sealer, key, reader, oldKey);
  out.bytes(sealTicketReply(sealer, key, auth, zeros, oldKey));
  const enc = auth.map(() => (oldKey === undefined ? 0 : 1));
  if (reader.left === 0) {
    const rebuilt = toHex(out.finish());
    return { grants: auth, secret: zeros(0), hasExtra: false, enc, rebuilt };
  }
  const authKey = auth[0]?.sessionKey ?? CryptoKey.none();
  const secret = openConnectionSecret(sealer, authKey, reader.bl());
  const extra = openTicketReply(sealer, authKey, new Reader(reader.bl()));
  reader.end();
  out.bl(sealConnectionSecret(sealer, authKey, secret, zeros));
  out.bl(sealTicketReply(sealer, authKey, extra, zeros));
  const grants = [...auth, ...extra];
  const rebuilt = toHex(out.finish());
  return { grants, secret, hasExtra: true, enc: [...enc, ...extra.map(() => 0)], rebuilt };
}

/** A Sealer that seals with the confounders of what it opened, first come first served. */
function replaying(sealer: Sealer): Sealer {
  const seen: { usage: number; confounder: Uint8Array }[] = [];
  return {
    open(key, usage, ciphertext) {
      const whole = aes256kOpenWhole(key.secret, usage, ciphertext);
      if (whole !== undefined) seen.push({ usage, confounder: whole.slice(0, 16) });
      return sealer.open(key, usage, ciphertext);
    },
    seal(key, usage, plaintext, confounder) {
      const at = seen.findIndex((each) => each.usage === usage);
      const [used] = at < 0 ? [] : seen.splice(at, 1);
      return sealer.seal(key, usage, plaintext, used?.confounder ?? confounder);
    },
    hmacSha256: (key, data) => sealer.hmacSha256(key, data),
  };
}

/** Authorizer, challenge, answer and reply of an OSD under `aes256k`. */
function authorizer(rig: Rig, check: Check, vector: Vector): void {
  const key = CryptoKey.fromBase64(vector.session_key as string);
  const sealed = decode((reader) => reader.bl(), fromHex(vector.challenge as string), 'reject');
  const challenge = rig.both((sealer) => openAuthorizeChallenge(sealer, key, sealed));
  const confounder = confounderOf(key, abi.USAGE_AUTHORIZE_CHALLENGE, sealed);
  const resealed = rig.both((sealer) => sealAuthorizeChallenge(sealer, key, challenge, confounder));
  check.same('challenge', toHex(new Writer().bl(resealed).finish()), vector.challenge as string);
  const first = authorizerBytes(rig, check, vector, 'authorizer1', undefined);
  const second = authorizerBytes(rig, check, vector, 'authorizer2', challenge);
  const reply = fromHex(vector.reply as string);
  const secret = rig.both((sealer) => openAuthorizeReply(sealer, key, second.nonce, reply));
  const random = confounderOf(key, abi.USAGE_AUTHORIZE_REPLY, reply.subarray(4));
  const again = rig.both((sealer) => sealAuthorizeReply(sealer, key, second.nonce, secret, random));
  check.same('reply', toHex(again), vector.reply as string);
  const computed = {
    global_id: Number(first.globalId),
    service_id: first.serviceId,
    secret_id: Number(first.secretId),
    nonce1: `${first.nonce}`,
    nonce2: `${second.nonce}`,
    server_challenge: `${challenge}`,
    plus_one: `${second.plusOne}`,
    // openAuthorizeReply has compared it with the nonce.
    reply_nonce: `${plusOne(second.nonce)}`,
    connection_secret_len: secret.length,
  };
  check.tree('expect', computed, vector.expect);
}

interface Seen {
  readonly globalId: bigint;
  readonly serviceId: number;
  readonly secretId: bigint;
  readonly nonce: bigint;
  readonly plusOne: bigint | undefined;
}

/** One authorizer decoded and opened with the session key, then built again. */
function authorizerBytes(
  rig: Rig,
  check: Check,
  vector: Vector,
  field: 'authorizer1' | 'authorizer2',
  answered: bigint | undefined,
): Seen {
  const sessionKey = CryptoKey.fromBase64(vector.session_key as string);
  const bytes = vector[field] as string;
  const { globalId, serviceId, ticket, sealed } = decode(
    protocol.decodeAuthorizer,
    fromHex(bytes),
    'reject',
  );
  const usage = abi.USAGE_AUTHORIZE;
  const authorize = rig.both((sealer) => {
    const object = openObject(sealer, sessionKey, usage, sealed, { prefixed: false });
    return decode(protocol.decodeAuthorize, object, 'reject');
  });
  const { nonce, answer } = authorize;
  const random = confounderOf(sessionKey, usage, sealed);
  const known = { globalId, serviceId, sessionKey, blob: ticket };
  const built = rig.both((sealer) => buildAuthorizer(sealer, known, nonce, random, answered));
  check.same(field, toHex(built), bytes);
  return { globalId, serviceId, secretId: ticket.secretId, nonce, plusOne: answer?.plusOne };
}

/** The confounder that was used, as a source of randomness. */
function confounderOf(
  key: CryptoKey,
  usage: number,
  sealed: Uint8Array,
): (n: number) => Uint8Array {
  const confounder = aes256kOpenWhole(key.secret, usage, sealed)?.slice(0, 16) ?? zeros(16);
  return () => confounder;
}

/** `aes` takes no randomness, so zeros must do. */
function zeros(n: number): Uint8Array {
  return new Uint8Array(n);
}

const CON_MODE_CRC = 1;
const CON_MODE_SECURE = 2;
