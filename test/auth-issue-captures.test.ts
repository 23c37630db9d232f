/**
 * The issuing side against single logins recorded from 16.2.15 (byte for byte) and 19.2.6 (every
 * field in its place: the service secrets of that cluster are not known), and rotation against the
 * rings that a 16.2.15 monitor stored one after the other.
 */

import { describe, expect, test } from 'vitest';
import { DEFAULT_TTLS } from '../src/auth/keyserver.ts';
import { answerLogin } from '../src/auth/login.ts';
import { dueNs, rotated } from '../src/auth/rotation.ts';
import { challengeHash } from '../src/cephx/authorizer.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { encode, Reader, utimeNs } from '../src/cephx/denc.ts';
import {
  decodeRotatingSecrets,
  decodeServiceTicketReply,
  encodeAuthenticate,
  entityTypeName,
  parseEntityName,
} from '../src/cephx/protocol.ts';
import { openConnectionSecret, openTicketReply } from '../src/cephx/ticket.ts';
import type { RotatingRecord } from '../src/store/index.ts';
import { BOTH_CIPHERS, entity, Rig } from './auth-issue-kit.ts';
import type { LabFile } from './lab.ts';
import { fromHex, loadVectors, toHex } from './twin/load.ts';
import { twinSealer } from './twin/sealer.ts';

const SECOND = 1_000_000_000n;

interface Login {
  id: string;
  op: string;
  entity: string;
  client_key: string;
  server_challenge: string;
  client_challenge: string;
  challenge_hash: string;
  global_id: string;
  con_mode: number;
  auth_done: string;
  connection_secret?: string;
  previous_session_key?: string;
  session_keys: Record<string, string>;
  tickets: {
    service_id: number;
    secret_id: string;
    session_key: string;
    blob: string;
    ticket: { created: [number, number]; caps_hex: string };
  }[];
}

describe('16.2.15', () => {
  const file = loadVectors<{
    rotating: Record<string, { secret_id: string; key: string; expiration: number }[]>;
    vectors: Login[];
  }>('crypto-capture-16.2.15.json');
  const rings: Record<string, RotatingRecord> = {};
  for (const [type, secrets] of Object.entries(file.rotating)) {
    rings[entityTypeName(Number(type))!] = {
      secretIdMax: 3n,
      secrets: secrets.map((each) => ({
        secretId: BigInt(each.secret_id),
        key: CryptoKey.fromBase64(each.key).encode(),
        expiresNs: BigInt(each.expiration) * SECOND,
      })),
    };
  }
  const caps = { mon: 'allow r', mds: 'allow rw path=/x', osd: 'allow rw pool=foo' };

  test.each(file.vectors)('$id, byte for byte', async (login) => {
    const key = CryptoKey.fromBase64(login.client_key);
    const entities = { [login.entity]: entity(key, caps) };
    const created = login.tickets.map(
      ({ ticket }) => BigInt(ticket.created[0]) * SECOND + BigInt(ticket.created[1]),
    );
    const globalId = BigInt(login.global_id);
    const rig = await Rig.create({
      entities,
      rings,
      nowNs: created[0]!,
      ciphers: { ...BOTH_CIPHERS, service: 'aes' },
      globalIdMax: globalId - 1n,
      issuer: { policy: { release: 16 } },
    });
    const isReclaim = login.previous_session_key !== undefined;
    const keys = login.tickets.map(({ session_key }) => CryptoKey.fromBase64(session_key));
    rig.times = [created[0]!, ...(isReclaim ? [created[0]!] : [])];
    for (const [i, sessionKey] of keys.entries()) {
      rig.times.push(created[i]!, created[i]!, utimeNs(sessionKey.created));
    }
    const secret = fromHex(login.connection_secret ?? '');
    rig.randoms = [
      ...[keys[0]!.secret, undefined, undefined],
      ...(isReclaim ? [undefined] : []),
      ...(secret.length > 0 ? [secret] : []),
      ...(keys.length > 1 ? [undefined] : []),
      ...keys.slice(1).flatMap((each) => [each.secret, undefined]),
    ];
    // The old ticket of the reclaim is the one of the first login.
    const old = file.vectors[0]!.tickets[0]!;
    const oldTicket = isReclaim
      ? { secretId: BigInt(old.secret_id), blob: fromHex(old.blob) }
      : { secretId: 0n, blob: new Uint8Array(0) };
    const mask = login.tickets.slice(1).reduce((sum, { service_id }) => sum | service_id, 0);
    const body = encode(encodeAuthenticate, {
      version: 3,
      clientChallenge: BigInt(login.client_challenge),
      key: BigInt(login.challenge_hash),
      oldTicket,
      otherKeys: mask,
    });
    const exchange = {
      name: parseEntityName(login.entity)!,
      globalId: isReclaim ? globalId : 0n,
      serverChallenge: BigInt(login.server_challenge),
    };
    const connection = login.con_mode === 2 ? 'secure' : 'crc';
    const answer = await answerLogin(rig.issuer, exchange, body, { connection, source: 'test' });
    expect(toHex(answer.payload!)).toBe(login.auth_done.slice(12));
    expect('globalId' in answer && answer.globalId).toBe(globalId);
  });
});

describe('19.2.6', () => {
  const file = loadVectors<{ vectors: Login[] }>('crypto-capture-19.2.6.json');
  const logins = file.vectors.filter((each) => each.op === 'capture-auth-done');

  test.each(logins)('$id: every part as long and in the same place', async (login) => {
    // What the lengths tell: an id of 39 characters, and caps of 7, 24 and none.
    const name = `client.${'n'.repeat(39)}`;
    const key = CryptoKey.fromBase64(login.client_key);
    const theirs = readLogin(key, login.auth_done.slice(12));
    const entities = { [name]: entity(key, { mon: 'allow *', osd: 'x'.repeat(24) }) };
    const rig = await Rig.create({ entities });
    const challenges = { server: 7n, client: 8n };
    const body = encode(encodeAuthenticate, {
      version: 3,
      clientChallenge: challenges.client,
      key: challengeHash(twinSealer, key, challenges),
      oldTicket: { secretId: 0n, blob: new Uint8Array(0) },
      otherKeys: 1 | 4 | 16,
    });
    const exchange = { name: parseEntityName(name)!, globalId: 0n, serverChallenge: 7n };
    const connection = login.con_mode === 2 ? 'secure' : 'crc';
    const answer = await answerLogin(rig.issuer, exchange, body, { connection, source: 'test' });
    const ours = readLogin(key, toHex(answer.payload!));
    expect(ours).toEqual(theirs);
    expect(answer.payload!.length).toBe(login.auth_done.length / 2 - 6);
  });

  function readLogin(key: CryptoKey, payload: string) {
    const reader = new Reader(fromHex(payload));
    const [auth] = openTicketReply(twinSealer, key, reader);
    const secret = openConnectionSecret(twinSealer, auth!.sessionKey, reader.bl());
    const extra = reader.bl();
    const grants = openTicketReply(twinSealer, auth!.sessionKey, new Reader(extra));
    const entries = decodeServiceTicketReply(new Reader(extra));
    return {
      left: reader.left,
      authBlobLen: auth!.blob.blob.length,
      authKeyType: auth!.sessionKey.type,
      authSecretId: auth!.blob.secretId,
      authValidity: auth!.validity,
      secretLen: secret.length,
      extraLen: extra.length,
      services: grants.map((grant, i) => ({
        service: grant.serviceId,
        keyType: grant.sessionKey.type,
        validity: grant.validity,
        secretId: grant.blob.secretId,
        blobLen: grant.blob.blob.length,
        sealedLen: entries[i]!.sealedTicket.length,
        isBlobSealed: entries[i]!.blobSealed,
      })),
    };
  }
});

describe('rotation', () => {
  test.each([
    ['vectors-v2-alpha.json', DEFAULT_TTLS.authMonTicketTtlNs, DEFAULT_TTLS.authServiceTicketTtlNs],
    ['vectors-v1-gamma.json', DEFAULT_TTLS.authMonTicketTtlNs, DEFAULT_TTLS.authServiceTicketTtlNs],
    ['vectors-renewal-epsilon.json', 20n * SECOND, 6n * SECOND],
  ] as const)('%s: each stored ring follows from the one before', (name, monTtl, serviceTtl) => {
    let steps = 0;
    const before = new Map<string, RotatingRecord>();
    for (const { raw } of loadVectors<LabFile>(name).rotating_raw) {
      for (const [service, { ring, created }] of readRings(raw)) {
        const ttlNs = service === 'auth' ? monTtl : serviceTtl;
        const from = before.get(service) ?? { secretIdMax: 0n, secrets: [] };
        before.set(service, ring);
        if (ring.secretIdMax === from.secretIdMax) continue;
        // The monitor read its clock just before it made the first new key.
        const known = from.secrets.map(({ secretId }) => secretId);
        const fresh = ring.secrets.filter(({ secretId }) => !known.includes(secretId));
        const nowNs = nowOf(fresh[0]!, from, ttlNs) ?? created.get(fresh[0]!.secretId)!;
        expect(created.get(fresh[0]!.secretId)! - nowNs).toBeLessThan(SECOND / 1000n);
        const keys = fresh.map(({ key }) => key);
        expect(rotated(from, nowNs, ttlNs, () => keys.shift()!)).toEqual(ring);
        expect(keys).toEqual([]);
        if (from.secrets.length === 3) {
          expect(dueNs(from.secrets)).toBeLessThanOrEqual(nowNs);
          expect(rotated(from, dueNs(from.secrets) - 1n, ttlNs, () => new Uint8Array(0))).toBe(
            from,
          );
        }
        steps += 1;
      }
    }
    expect(steps).toBe(name === 'vectors-renewal-epsilon.json' ? 26 : 5);
  });

  /** The clock reading in an expiration, where it shows: not if it follows the one before. */
  function nowOf(
    first: { expiresNs: bigint },
    from: RotatingRecord,
    ttlNs: bigint,
  ): bigint | undefined {
    const next = from.secrets.at(-1);
    if (next === undefined) return first.expiresNs - ttlNs;
    return first.expiresNs === next.expiresNs + ttlNs ? undefined : first.expiresNs - 2n * ttlNs;
  }

  /** u8 1, u64 version, map of service to RotatingSecrets. */
  function readRings(raw: string) {
    const reader = new Reader(fromHex(raw));
    reader.u8();
    reader.u64();
    const rings = new Map<string, { ring: RotatingRecord; created: Map<bigint, bigint> }>();
    for (let left = reader.count(4); left > 0; left--) {
      const service = entityTypeName(reader.u32())!;
      const rotating = decodeRotatingSecrets(reader);
      const secrets = [...rotating.secrets].map(([secretId, { key, expiration }]) => ({
        secretId,
        key: key.encode(),
        expiresNs: utimeNs(expiration),
      }));
      const created = new Map(
        [...rotating.secrets].map(([id, { key }]) => [id, utimeNs(key.created)]),
      );
      rings.set(service, { ring: { secretIdMax: rotating.maxVersion, secrets }, created });
    }
    return rings;
  }
});
