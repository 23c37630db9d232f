/**
 * What real daemons said and sent: 44 authorizers shown to an MDS, 27 cases shown to an OSD,
 * logins of 16.2.15 and 19.2.6 (the only recorded bytes under `aes256k`).
 */

import { describe, expect, test } from 'vitest';
import * as abi from '../assembly/abi.ts';
import {
  buildAuthorizer,
  challengeHash,
  openAuthorizeChallenge,
  openAuthorizeReply,
  sealAuthorizeChallenge,
  sealAuthorizeReply,
} from '../src/cephx/authorizer.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { decode, Reader, Writer } from '../src/cephx/denc.ts';
import * as protocol from '../src/cephx/protocol.ts';
import {
  openConnectionSecret,
  openServiceTicket,
  openTicketReply,
  sealConnectionSecret,
  sealServiceTicket,
  sealTicketReply,
} from '../src/cephx/ticket.ts';
import { fromHex, loadVectors, toHex } from './twin/load.ts';
import { aes256kOpenWhole, twinSealer } from './twin/sealer.ts';
import { type TwinInput, type TwinPolicy, type TwinSecret, verify } from './twin/verify.ts';

const zeros = (n: number): Uint8Array => new Uint8Array(n);
const RELEASED: TwinPolicy = {
  plausibility: 'released',
  expiry: 'ring',
  skewNs: 0n,
  allowedTypes: 'ring',
  generalSecret: true,
};

/** Shows an authorizer and, if a challenge came back, the second one. */
function present(
  input: Pick<TwinInput, 'service' | 'secrets' | 'nowNs'>,
  first: string,
  second: string | undefined,
  challenge: string | undefined,
): { first: ReturnType<typeof verify>; second: ReturnType<typeof verify> | undefined } {
  const shared = { ...input, policy: RELEASED };
  const required = { mode: 'required' } as const;
  const asked = verify({ ...shared, bytes: fromHex(first), challenge: required });
  if (second === undefined) return { first: asked, second: undefined };
  const issued = { mode: 'issued', value: BigInt(challenge!) } as const;
  return { first: asked, second: verify({ ...shared, bytes: fromHex(second), challenge: issued }) };
}

test('observed-mds-16.2.15: the verdicts of a real MDS on 44 authorizers', () => {
  interface Row {
    id: string;
    result: number | null;
    session_key: string;
    authorizer1: string;
    challenge?: string;
    server_challenge?: string;
    authorizer2?: string;
    reply?: string;
    nonce_last: string;
    connection_secret_len?: number;
  }
  interface File {
    service_id: number;
    secrets: { secret_id: string; key: string; expiration: number }[];
    rows: Row[];
  }
  const file = loadVectors<File>('observed-mds-16.2.15.json');
  const service = file.service_id;
  const secrets = file.secrets.map(({ secret_id, key }) => ({
    service,
    secretId: BigInt(secret_id),
    key: CryptoKey.fromBase64(key),
  }));
  let accepted = 0;
  for (const row of file.rows) {
    const input = { service, secrets, nowNs: 0n };
    const seen = present(input, row.authorizer1, row.authorizer2, row.server_challenge);
    const challenged = seen.first.reason === abi.REASON_AUTHORIZER_CHALLENGE_REQUIRED;
    expect([row.id, challenged]).toEqual([row.id, row.challenge !== undefined]);
    expect([row.id, seen.second?.decision ?? false]).toEqual([row.id, row.result === 0]);
    const key = CryptoKey.fromBase64(row.session_key);
    if (row.challenge !== undefined) {
      const sealed = new Reader(fromHex(row.challenge)).bl();
      const challenge = openAuthorizeChallenge(twinSealer, key, sealed);
      expect(challenge).toBe(BigInt(row.server_challenge!));
    }
    if (row.reply === undefined) continue;
    accepted += 1;
    const nonce = BigInt(row.nonce_last);
    expect(seen.second!.nonce).toBe(nonce);
    const secret = openAuthorizeReply(twinSealer, key, nonce, fromHex(row.reply));
    expect(secret.length).toBe(row.connection_secret_len);
    expect(toHex(sealAuthorizeReply(twinSealer, key, nonce, secret, zeros))).toBe(row.reply);
  }
  expect([file.rows.length, accepted]).toEqual([44, 25]);
});

test('authorizer-cases: the answers of a real OSD to 27 cases, with its ring of secrets', () => {
  interface Secret {
    id: string;
    key: { encoded: string };
    expiration: { sec: number; nsec: number };
  }
  interface Row {
    case: string;
    seconds_after_secret_expiry: number;
    outcome: string;
    authorizer_1: string;
    server_challenge?: string;
    authorizer_2?: string;
  }
  const file = loadVectors<{ osd_rotating_secrets: Secret[]; rows: Row[] }>(
    'authorizer-cases.json',
  );
  const secrets = file.osd_rotating_secrets.map((secret) => ({
    service: abi.ENTITY_TYPE_OSD,
    secretId: BigInt(secret.id),
    key: CryptoKey.fromBase64(secret.key.encoded),
    expiresNs: BigInt(secret.expiration.sec) * 1_000_000_000n + BigInt(secret.expiration.nsec),
  }));
  // The ticket is sealed with secret 2; times are given relative to its expiration.
  const sealing = secrets.find((secret) => secret.secretId === 2n)!;
  for (const row of file.rows) {
    const after = BigInt(Math.round(row.seconds_after_secret_expiry * 1000)) * 1_000_000n;
    const nowNs = sealing.expiresNs + after;
    const input = { service: abi.ENTITY_TYPE_OSD, secrets: ringAt(secrets, nowNs), nowNs };
    const seen = present(input, row.authorizer_1, row.authorizer_2, row.server_challenge);
    const challenged = seen.first.reason === abi.REASON_AUTHORIZER_CHALLENGE_REQUIRED;
    expect([row.case, challenged]).toEqual([row.case, row.authorizer_2 !== undefined]);
    const accepted = seen.second?.decision ?? false;
    expect([row.case, accepted]).toEqual([row.case, row.outcome === 'ACCEPTED']);
  }
  expect(file.rows.length).toBe(27);
  const last = file.rows.at(-1)!;
  const whole = { service: abi.ENTITY_TYPE_OSD, secrets, nowNs: 0n };
  const kept = present(whole, last.authorizer_1, undefined, undefined);
  expect(kept.first.proven).toBe(true);
});

/** A static set as a ring: a secret leaves when the expiration of the next id has passed. */
function ringAt(
  secrets: readonly (TwinSecret & { expiresNs: bigint })[],
  nowNs: bigint,
): TwinSecret[] {
  return secrets.filter((secret) => {
    const next = secrets.find((each) => each.secretId === secret.secretId + 1n);
    return next === undefined || next.expiresNs > nowNs;
  });
}

describe('captured exchanges', () => {
  interface Login {
    id: string;
    op: string;
    client_key: string;
    server_challenge: string;
    client_challenge: string;
    challenge_hash: string;
    auth_done: string;
    connection_secret?: string;
    connection_secret_len?: number;
    previous_session_key?: string;
    tickets: {
      service_id: number;
      secret_id: string;
      validity: number;
      session_key: string;
      blob: string;
      ticket: { entity: string; global_id: string; created: number[]; caps_hex: string };
    }[];
    session_keys: Record<string, string>;
    session_key: string;
    global_id: number;
    authorizer1: string;
    challenge: string;
    authorizer2: string;
    reply: string;
    expect: Record<string, string | number>;
  }
  const pacific = loadVectors<{
    rotating: Record<string, { secret_id: string; key: string }[]>;
    vectors: Login[];
  }>('crypto-capture-16.2.15.json');
  const squid = loadVectors<{ vectors: Login[] }>('crypto-capture-19.2.6.json');

  test.each(pacific.vectors)('16.2.15 $id', (login) => {
    const clientKey = CryptoKey.fromBase64(login.client_key);
    const server = BigInt(login.server_challenge);
    const challenges = { server, client: BigInt(login.client_challenge) };
    expect(challengeHash(twinSealer, clientKey, challenges)).toBe(BigInt(login.challenge_hash));
    const old = login.previous_session_key;
    const oldKey = old === undefined ? undefined : CryptoKey.fromBase64(old);
    const reader = new Reader(fromHex(login.auth_done));
    const out = new Writer();
    protocol.encodeResponseHeader(out, protocol.decodeResponseHeader(reader));
    const auth = openTicketReply(twinSealer, clientKey, reader, oldKey);
    out.bytes(sealTicketReply(twinSealer, clientKey, auth, zeros, oldKey));
    const grants = [...auth];
    if (reader.left > 0) {
      const authKey = auth[0]!.sessionKey;
      const secret = openConnectionSecret(twinSealer, authKey, reader.bl());
      expect(toHex(secret)).toBe(login.connection_secret);
      const extra = openTicketReply(twinSealer, authKey, new Reader(reader.bl()));
      grants.push(...extra);
      out.bl(sealConnectionSecret(twinSealer, authKey, secret, zeros));
      out.bl(sealTicketReply(twinSealer, authKey, extra, zeros));
    }
    expect(toHex(out.finish())).toBe(login.auth_done);
    expect(grants.length).toBe(login.tickets.length);
    for (const [i, grant] of grants.entries()) {
      const expected = login.tickets[i]!;
      expect(grant.serviceId).toBe(expected.service_id);
      expect(grant.validity).toEqual({ seconds: expected.validity, nanoseconds: 0 });
      expect(grant.sessionKey.toBase64()).toBe(expected.session_key);
      expect(toHex(grant.blob.blob)).toBe(expected.blob);
      const ring = pacific.rotating[expected.service_id]!;
      const secret = ring.find((each) => each.secret_id === `${grant.blob.secretId}`)!;
      const key = CryptoKey.fromBase64(secret.key);
      const info = openServiceTicket(twinSealer, key, grant.blob.blob);
      expect(protocol.formatEntityName(info.ticket.name)).toBe(expected.ticket.entity);
      expect(`${info.ticket.globalId}`).toBe(expected.ticket.global_id);
      expect(toHex(info.ticket.caps.caps)).toBe(expected.ticket.caps_hex);
      expect(info.sessionKey.toBase64()).toBe(expected.session_key);
      const again = sealServiceTicket(twinSealer, key, grant.blob.secretId, info, zeros);
      expect(toHex(again.blob)).toBe(expected.blob);
    }
  });

  test.each(squid.vectors.filter((each) => each.op === 'capture-auth-done'))(
    '19.2.6 $id',
    (login) => {
      const clientKey = CryptoKey.fromBase64(login.client_key);
      const reader = new Reader(fromHex(login.auth_done));
      expect(protocol.decodeResponseHeader(reader).status).toBe(0);
      const [auth] = openTicketReply(twinSealer, clientKey, reader);
      expect(auth!.sessionKey.toBase64()).toBe(login.session_keys.auth);
      const secret = openConnectionSecret(twinSealer, auth!.sessionKey, reader.bl());
      expect(toHex(secret)).toBe(login.connection_secret ?? '');
      const extra = openTicketReply(twinSealer, auth!.sessionKey, new Reader(reader.bl()));
      reader.end();
      for (const grant of extra) {
        const name = protocol.entityTypeName(grant.serviceId)!;
        expect(grant.sessionKey.toBase64()).toBe(login.session_keys[name]);
        expect(grant.validity.seconds).toBe(3600);
      }
      expect(extra.length).toBe(3);
    },
  );

  test('19.2.6 authorizer, challenge, answer and reply, rebuilt to the same bytes', () => {
    const capture = squid.vectors.find((each) => each.op === 'capture-authorizer')!;
    const sessionKey = CryptoKey.fromBase64(capture.session_key);
    const challenge = BigInt(capture.expect.server_challenge!);
    for (const [bytes, nonce, answered] of [
      [capture.authorizer1, capture.expect.nonce1!, undefined],
      [capture.authorizer2, capture.expect.nonce2!, challenge],
    ] as const) {
      const authorizer = decode(protocol.decodeAuthorizer, fromHex(bytes), 'reject');
      expect(authorizer.ticket.secretId).toBe(BigInt(capture.expect.secret_id!));
      const { globalId, serviceId, ticket: blob, sealed } = authorizer;
      expect([globalId, serviceId]).toEqual([6793n, 4]);
      const ticket = { globalId, serviceId, sessionKey, blob };
      const random = confounderOf(sessionKey, abi.USAGE_AUTHORIZE, sealed);
      const built = buildAuthorizer(twinSealer, ticket, BigInt(nonce), random, answered);
      expect(toHex(built)).toBe(bytes);
    }
    const sealed = decode((reader) => reader.bl(), fromHex(capture.challenge), 'reject');
    expect(openAuthorizeChallenge(twinSealer, sessionKey, sealed)).toBe(challenge);
    const again = confounderOf(sessionKey, abi.USAGE_AUTHORIZE_CHALLENGE, sealed);
    const resealed = sealAuthorizeChallenge(twinSealer, sessionKey, challenge, again);
    expect(toHex(resealed)).toBe(toHex(sealed));
    const reply = fromHex(capture.reply);
    const nonce = BigInt(capture.expect.nonce2!);
    const secret = openAuthorizeReply(twinSealer, sessionKey, nonce, reply);
    expect(secret.length).toBe(64);
    const random = confounderOf(sessionKey, abi.USAGE_AUTHORIZE_REPLY, reply.subarray(4));
    const rebuilt = sealAuthorizeReply(twinSealer, sessionKey, nonce, secret, random);
    expect(toHex(rebuilt)).toBe(capture.reply);
  });

  /** The confounder that was used, as a source of randomness. */
  function confounderOf(key: CryptoKey, usage: number, sealed: Uint8Array) {
    const confounder = aes256kOpenWhole(key.secret, usage, sealed)!.slice(0, 16);
    return (): Uint8Array => confounder;
  }
});
