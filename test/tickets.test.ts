/** The ticket cache: what enters it, what is found, what empties it; that it decides nothing. */

import { beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { encode } from '../src/cephx/denc.ts';
import {
  type Challenge,
  Engine,
  type HostContext,
  type Policy,
  type Verdict,
} from '../src/engine/index.ts';
import { HOUR_NS, makeSecret, makeTicket, NOW_NS, type TestTicket } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(911);
const rng = new Rng(seed);
const OSD = abi.ENTITY_TYPE_OSD;
const HOST: HostContext = { nowNs: NOW_NS };

describe.each(['aes', 'aes256k'] as const)(`ticket cache, %s (seed ${seed})`, (type) => {
  const secret = makeSecret(type, rng.random);
  const other = makeSecret(type, rng.random);
  const put = { service: OSD, secretId: 2n, key: secret.encoded };
  let engine: Engine;
  let ticket: TestTicket;

  beforeAll(async () => {
    engine = await Engine.create({ preset: 'small', ticketCache: true });
  });

  /** An engine with one ticket in its cache. */
  function warm(options: Parameters<typeof makeTicket>[2] = {}): void {
    engine.wipe();
    engine.revoke('clear', 'all');
    engine.putSecret(put);
    ticket = makeTicket(secret.key, rng.random, { sessionType: type, ...options });
    expect(show().source).toBe(abi.SOURCE_COLD);
    expect(engine.ticketCache.held).toBe(1);
  }

  /** The ticket again, in an authorizer of its own that answers a challenge of its own. */
  function show(host: HostContext = HOST, from: TestTicket = ticket): Verdict {
    const value = rng.u64();
    return ask(from.authorizer(value), { mode: 'issued', value }, host);
  }

  function ask(authorizer: Uint8Array, challenge: Challenge, host: HostContext = HOST): Verdict {
    return engine.verify({ service: OSD, authorizer, challenge, secrets: true }, host);
  }

  it('finds a ticket that was shown before, with all that it says', () => {
    warm({ entity: 'client.some-one', caps: 'allow r pool=a', globalId: 77n });
    const verdict = show();
    expect(verdict.source).toBe(abi.SOURCE_TICKET_CACHE);
    expect([verdict.decision, verdict.proven, verdict.challenged]).toEqual([true, true, true]);
    expect([verdict.entityId, verdict.caps]).toEqual(['some-one', 'allow r pool=a']);
    expect([verdict.globalId, verdict.secretId]).toEqual([77n, 2n]);
    expect(verdict.secrets?.sessionKey).toEqual(encode(CryptoKey.encode, ticket.sessionKey));
    expect([verdict.ticketKeyType, verdict.sessionKeyType]).toEqual([type, type]);
  });

  it('takes nothing in before part b and the challenge', () => {
    engine.wipe();
    engine.putSecret(put);
    const client = makeTicket(secret.key, rng.random, { sessionType: type });
    const right = client.authorizer(5n);
    const broken = right.slice();
    broken[broken.length - 3] = (broken[broken.length - 3] as number) ^ 1;
    const refused: [string, Uint8Array, Challenge, HostContext?][] = [
      ['authorizer.invalid', broken, { mode: 'issued', value: 5n }],
      ['authorizer.challenge_mismatch', right, { mode: 'issued', value: 6n }],
      ['authorizer.challenge_mismatch', client.authorizer(), { mode: 'issued', value: 5n }],
      ['authorizer.challenge_required', right, { mode: 'required', value: 5n }],
      ['ticket.expired', right, { mode: 'off' }, { nowNs: NOW_NS + 3n * HOUR_NS }],
    ];
    for (const [reason, authorizer, challenge, host] of refused) {
      expect(ask(authorizer, challenge, host).reason).toBe(reason);
      expect(engine.ticketCache.held, reason).toBe(0);
    }
    // Accepted, but it answered no challenge: it may be a replay.
    expect(ask(right, { mode: 'off' }).reason).toBe('ok');
    expect(engine.ticketCache.held, 'unchallenged').toBe(0);
    expect(ask(right, { mode: 'issued', value: 5n }).reason).toBe('ok');
    expect(engine.ticketCache.held).toBe(1);
  });

  it('judges part b, challenge, global_id, clock and revocations on every use', () => {
    warm();
    const right = ticket.authorizer(5n);
    const broken = right.slice();
    broken[broken.length - 3] = (broken[broken.length - 3] as number) ^ 1;
    const elsewhere = right.slice();
    elsewhere[1] = (elsewhere[1] as number) ^ 1;
    const issued = { mode: 'issued', value: 5n } as const;
    expect(ask(broken, issued).reason).toBe('authorizer.invalid');
    expect(ask(elsewhere, issued).check).toBe('authorizer.global_id');
    expect(ask(right, { mode: 'issued', value: 6n }).reason).toBe('authorizer.challenge_mismatch');
    expect(ask(right, { mode: 'required', value: 6n }).reason).toBe(
      'authorizer.challenge_required',
    );
    expect(show({ nowNs: NOW_NS + 2n * HOUR_NS }).reason).toBe('ticket.expired');
    expect(show({ nowNs: NOW_NS - 2n * HOUR_NS }).reason).toBe('ticket.not_yet_valid');
    for (const subject of [{ entity: { type: 8, id: 'john' } }, { globalId: 4153n }]) {
      engine.revoke('deny', subject);
      const verdict = show();
      expect([verdict.reason, verdict.source]).toEqual(['ticket.revoked', 1]);
      engine.revoke('lift', subject);
      expect(show().reason).toBe('ok');
    }
    engine.revoke('not_before', { service: OSD }, NOW_NS + 1n);
    expect(show().reason).toBe('ticket.revoked');
    engine.revoke('clear', 'all');
    expect(show().source).toBe(abi.SOURCE_TICKET_CACHE);
    expect(engine.ticketCache.held).toBe(1);
  });

  it('does not find a blob of which any bit differs, nor under another id or service', () => {
    warm();
    const authorizer = ticket.authorizer(5n);
    const { hits } = engine.ticketCache;
    const end = 26 + ticket.blob.blob.length;
    for (let at = 26; at < end; at++) {
      const altered = authorizer.slice();
      altered[at] = (altered[at] as number) ^ (1 << (at & 7));
      expect(ask(altered, { mode: 'issued', value: 5n }).decision, `byte ${at}`).toBe(false);
    }
    engine.putSecret({ ...put, secretId: 2n + 256n });
    expect(show().source).toBe(abi.SOURCE_COLD);
    const second = authorizer.slice();
    second[15] = 1;
    expect(ask(second, { mode: 'issued', value: 5n }).source).toBe(abi.SOURCE_COLD);
    expect(engine.ticketCache.hits).toBe(hits);
    expect(engine.ticketCache.held).toBe(2);
  });

  const policies: readonly Partial<Policy>[] = [
    { skewNs: 1n },
    { plausibility: 'strict' },
    { plausibility: 'released' },
    { expiry: 'report' },
    { allowedTypes: ['none', 'aes', 'aes256k'] },
    { sessionLifetime: 'connection' },
    { sessionMaxAgeNs: 1n },
    { release: 16 },
    { generalSecret: true },
    { msgr1Aes256k: true },
  ];
  it.each(policies)('is emptied by a change of policy to %o', (policy) => {
    warm();
    expect(show({ nowNs: NOW_NS, policy }).source).toBe(abi.SOURCE_COLD);
    expect(show({ nowNs: NOW_NS, policy }).source).toBe(abi.SOURCE_TICKET_CACHE);
    expect(show().source).toBe(abi.SOURCE_COLD);
  });

  it('denies a key type that is no longer allowed', () => {
    warm();
    const verdict = show({ nowNs: NOW_NS, policy: { allowedTypes: [] } });
    expect(verdict.reason).toBe('ticket.cipher_not_allowed');
    expect(engine.ticketCache.held).toBe(0);
  });

  it('is emptied by a change of the ring, not by the same ring again', () => {
    const changes: [string, () => void][] = [
      ['another id', () => engine.putSecret({ ...put, secretId: 3n, key: other.encoded })],
      ['another expiration', () => engine.putSecret({ ...put, expiresNs: NOW_NS })],
      ['another service', () => engine.putSecret({ ...put, service: abi.ENTITY_TYPE_MDS })],
      ['remove', () => engine.removeSecret(OSD, 2n)],
      ['clear', () => engine.clearSecrets()],
      ['cacheClear', () => engine.cacheClear()],
    ];
    for (const [name, change] of changes) {
      warm();
      engine.putSecret(put);
      engine.removeSecret(OSD, 9n);
      expect(show().source, name).toBe(abi.SOURCE_TICKET_CACHE);
      const { emptied } = engine.ticketCache;
      change();
      expect(engine.ticketCache, name).toMatchObject({ held: 0, emptied: emptied + 1 });
    }
    warm();
    engine.putSecret({ ...put, key: other.encoded });
    expect(show().reason).toBe('authorizer.invalid');
  });

  it('keeps no ticket whose blob is longer than the limit', () => {
    engine.wipe();
    engine.putSecret(put);
    const caps = (length: number): string => `allow r pool=${'a'.repeat(length)}`;
    for (const [length, held] of [
      [450, 1],
      [900, 1],
    ] as const) {
      const client = makeTicket(secret.key, rng.random, { caps: caps(length) });
      expect(show(HOST, client).reason).toBe('ok');
      expect(show(HOST, client).source).toBe(length === 450 ? 1 : 0);
      expect(engine.ticketCache.held).toBe(held);
    }
  });

  it('is bounded: others give way and are wiped; all of it is wiped in the end', () => {
    warm();
    const before = engine.ticketCache;
    const { max } = before;
    const keys = Array.from({ length: 3 * max }, () => {
      const client = makeTicket(secret.key, rng.random, { sessionType: type });
      expect(show(HOST, client).reason).toBe('ok');
      return client.sessionKey;
    });
    const memory = Buffer.from(engine.memory);
    const there = keys.filter(({ secret: bytes }) => memory.includes(Buffer.from(bytes))).length;
    const { held, evicted } = engine.ticketCache;
    expect(evicted - before.evicted).toBe(before.held + keys.length - held);
    expect(held).toBeGreaterThan(max / 2);
    expect(held).toBeLessThanOrEqual(max);
    expect([held, held - 1]).toContain(there);
    engine.cacheClear();
    engine.run(new Uint8Array(0), HOST);
    expect(keys.filter(({ secret: bytes }) => memory.includes(Buffer.from(bytes)))).toEqual([]);
  });

  it('is off unless asked for, and names the source of a decision', async () => {
    const cold = await Engine.create({ preset: 'small' });
    cold.putSecret(put);
    warm();
    const authorizer = ticket.authorizer(5n);
    const challenge = { mode: 'issued', value: 5n } as const;
    const op = { pool: 'liverpool', read: true };
    const request = { service: OSD, authorizer, challenge, op };
    expect([0, 0].map(() => cold.decide(request, HOST).source)).toEqual([0, 0]);
    expect(cold.ticketCache).toMatchObject({ held: 0, hits: 0, misses: 0 });
    expect(engine.decide(request, HOST).source).toBe(abi.SOURCE_TICKET_CACHE);
    expect(engine.decideBatch([request, request], HOST).map((each) => each.source)).toEqual([1, 1]);
  });
});
