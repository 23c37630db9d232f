/**
 * The recorded part of the demo: logins and authorizers of real daemons. Key type `aes` has no
 * randomness of its own, so our answers must be the recorded bytes.
 */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  buildAuthorizer,
  challengeHash,
  openAuthorizeChallenge,
  openAuthorizeReply,
} from '../cephx/authorizer.ts';
import { CryptoKey } from '../cephx/cryptokey.ts';
import { DecodeError, equalBytes, Reader } from '../cephx/denc.ts';
import { decodeResponseHeader, ENTITY_TYPES, entityTypeName } from '../cephx/protocol.ts';
import { openConnectionSecret, openTicketReply, type ServiceTicketGrant } from '../cephx/ticket.ts';
import type { Engine } from '../engine/engine.ts';
import type { Challenge } from '../engine/types.ts';
import { decodeHex } from '../http/codec.ts';
import { engineSealer } from '../sealer.ts';
import type { Step } from './demo.ts';

interface Login {
  readonly id: string;
  readonly client_key: string;
  readonly server_challenge: string;
  readonly client_challenge: string;
  readonly challenge_hash: string;
  readonly auth_done: string;
  readonly tickets: readonly { service_id: number; session_key: string }[];
  readonly session_keys: Readonly<Record<string, string>>;
}
interface AesCapture {
  readonly rotating: Readonly<Record<string, readonly { secret_id: string; key: string }[]>>;
  readonly vectors: readonly Login[];
}
interface Exchange {
  readonly id: string;
  readonly authorizer1: string;
  readonly challenge: string;
  readonly server_challenge: string;
  readonly authorizer2: string;
  readonly reply: string;
  readonly session_key: string;
  readonly expect: Readonly<Record<string, string>>;
}

/** A login, an authorizer that an MDS accepted, and what the caps of the OSD ticket allow. */
export function recordedAes(engine: Engine): Step[] {
  const capture = readVectors<AesCapture>('crypto-capture-16.2.15.json');
  const mds = readVectors<{ rows: Exchange[] }>('observed-mds-16.2.15.json');
  for (const [service, secrets] of Object.entries(capture.rotating)) {
    for (const { secret_id, key } of secrets) {
      const encoded = CryptoKey.fromBase64(key).encode();
      engine.putSecret({ service: Number(service), secretId: BigInt(secret_id), key: encoded });
    }
  }
  const login = capture.vectors[0]!;
  const { steps, grants } = openLogin(engine, login, (grant) => {
    return login.tickets.find((each) => each.service_id === grant.serviceId)?.session_key;
  });
  return [
    proof(engine, login),
    ...steps,
    ...authorizers(engine, mds.rows[0]!),
    ...operations(engine, grants),
  ];
}

/** A login and the authorizer of an OSD, as its client sees them: the OSD's secret is not known. */
export function recordedAes256k(engine: Engine): Step[] {
  const file = readVectors<{ vectors: (Login & Exchange)[] }>('crypto-capture-19.2.6.json');
  const login = file.vectors.find(({ id }) => id === 'mon-secure')!;
  const exchange = file.vectors.find(({ id }) => id === 'osd-authorizer')!;
  const { steps } = openLogin(engine, login, ({ serviceId }) => {
    return login.session_keys[entityTypeName(serviceId) ?? ''];
  });
  const sealer = engineSealer(engine);
  const key = CryptoKey.fromBase64(exchange.session_key);
  const sealed = new Reader(bytesOf(exchange.challenge)).bl();
  const challenge = openAuthorizeChallenge(sealer, key, sealed);
  const nonce = BigInt(exchange.expect.nonce2!);
  const reply = bytesOf(exchange.reply);
  const secret = openAuthorizeReply(sealer, key, nonce, reply);
  const altered = flipped(reply, -1);
  return [
    ...steps,
    step('the challenge of the OSD opens', challenge, BigInt(exchange.expect.server_challenge!)),
    step('its reply proves the OSD and holds a secret of', `${secret.length} bytes`, '64 bytes'),
    step(
      'a reply with one bit flipped',
      attempt(() => openAuthorizeReply(sealer, key, nonce, altered)),
      'refused',
    ),
  ];
}

function proof(engine: Engine, login: Login): Step {
  const server = BigInt(login.server_challenge);
  const client = BigInt(login.client_challenge);
  const key = CryptoKey.fromBase64(login.client_key);
  const hash = challengeHash(engineSealer(engine), key, { server, client });
  return step('the proof of the client is the recorded number', hash, BigInt(login.challenge_hash));
}

function openLogin(
  engine: Engine,
  login: Login,
  recordedKey: (grant: ServiceTicketGrant) => string | undefined,
): { steps: Step[]; grants: readonly ServiceTicketGrant[] } {
  const sealer = engineSealer(engine);
  const reader = new Reader(bytesOf(login.auth_done));
  const { status } = decodeResponseHeader(reader);
  const auth = openTicketReply(sealer, CryptoKey.fromBase64(login.client_key), reader);
  const authKey = auth[0]!.sessionKey;
  openConnectionSecret(sealer, authKey, reader.bl()).fill(0);
  const grants = [...auth, ...openTicketReply(sealer, authKey, new Reader(reader.bl()))];
  const same = grants.filter((grant) => grant.sessionKey.toBase64() === recordedKey(grant));
  const names = grants.map(({ serviceId }) => entityTypeName(serviceId)).join(' ');
  return {
    steps: [
      step('the login is answered with status', status, 0),
      step(`session keys as recorded for ${names}`, same.length, grants.length),
    ],
    grants,
  };
}

/** Both authorizers of a connection to an MDS, and what is made of altered ones. */
function authorizers(engine: Engine, row: Exchange): Step[] {
  const [first, second] = [bytesOf(row.authorizer1), bytesOf(row.authorizer2)];
  const value = BigInt(row.server_challenge);
  const issued: Challenge = { mode: 'issued', value };
  const verify = (authorizer: Uint8Array, challenge: Challenge) =>
    engine.verify({ service: ENTITY_TYPES.mds!, authorizer, challenge, reply: true }, AT);
  const asked = verify(first, { mode: 'required', value });
  const accepted = verify(second, issued);
  const sealed = new Reader(bytesOf(row.challenge)).bl();
  return [
    step('the first authorizer gets', asked.reason, 'authorizer.challenge_required'),
    step('with the challenge in the bytes of the MDS', isSame(asked.reply, sealed), 'the same'),
    step('the second authorizer, which answers it, gets', accepted.reason, 'ok'),
    step('with the reply of the MDS', isSame(accepted.reply, bytesOf(row.reply)), 'the same'),
    step(
      'with one bit of its ticket flipped',
      verify(flipped(second, 140), issued).reason,
      'authorizer.invalid',
    ),
    step(
      'replayed to another challenge',
      verify(second, { mode: 'issued', value: value ^ 1n }).reason,
      'authorizer.challenge_mismatch',
    ),
  ];
}

/** What the OSD ticket of the login allows: its caps are `allow rw pool=foo`. */
function operations(engine: Engine, grants: readonly ServiceTicketGrant[]): Step[] {
  const service = ENTITY_TYPES.osd!;
  const grant = grants.find(({ serviceId }) => serviceId === service)!;
  const ticket = { ...grant, globalId: LOGIN_GLOBAL_ID };
  const challenge = 4242n;
  const zeros = (n: number): Uint8Array => new Uint8Array(n);
  const authorizer = buildAuthorizer(engineSealer(engine), ticket, 1n, zeros, challenge);
  const verdict = engine.verify(
    { service, authorizer, challenge: { mode: 'issued', value: challenge }, session: true },
    AT,
  );
  const write = (pool: string) =>
    engine.check({ service, handle: verdict.handle, op: { pool, object: 'o', write: true } }, AT);
  return [
    step('an authorizer of ours with the OSD ticket of the login gets', verdict.reason, 'ok'),
    step('the caps in it', verdict.caps, 'allow rw pool=foo'),
    step('a write to pool foo', write('foo').reason, 'ok'),
    step('a write to pool bar', write('bar').reason, 'caps.no_matching_grant'),
  ];
}

/** A step that is good if what was seen is what was expected. */
export function step<T extends string | number | bigint>(what: string, seen: T, expected: T): Step {
  const good = seen === expected;
  return { what, good, seen: good ? `${seen}` : `${seen}, expected ${expected}` };
}

/** A copy with one bit flipped; a negative place counts from the end. */
export function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at < 0 ? copy.length + at : at]! ^= 1;
  return copy;
}

function attempt(open: () => unknown): string {
  try {
    open();
    return 'accepted';
  } catch (error) {
    if (error instanceof DecodeError) return 'refused';
    throw error;
  }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array): string {
  return a !== undefined && equalBytes(a, b) ? 'the same' : 'other bytes';
}

function bytesOf(hex: string): Uint8Array {
  const bytes = decodeHex(hex);
  if (bytes === undefined) throw new TypeError('a vector is not hex');
  return bytes;
}

/** A file of test/vectors, which lies beside package.json. */
function readVectors<T>(name: string): T {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    try {
      return JSON.parse(readFileSync(join(folder, 'test', 'vectors', name), 'utf8')) as T;
    } catch (error) {
      const parent = dirname(folder);
      if (parent === folder || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      folder = parent;
    }
  }
}

const LOGIN_GLOBAL_ID = 14108n;
/** Half a minute after the login; judged as the release that was recorded. */
const AT = {
  nowNs: 1_795_289_970_000_000_000n,
  policy: { plausibility: 'released', release: 16 },
} as const;
