/** `decide`: verify and check in one call say what the two say apart, and leave nothing behind. */

import { beforeEach, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { type DecideRequest, Engine, type Verdict } from '../src/engine/index.ts';
import { makeSecret, makeTicket, NOW_NS } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';

const OSD = abi.ENTITY_TYPE_OSD;
const HOST = { nowNs: NOW_NS };
const CASES = 2000;

const seed = seedOf(41);
const rng = new Rng(seed);
const keys = [makeSecret('aes', rng.random), makeSecret('aes256k', rng.random)] as const;

let engine: Engine;

beforeEach(async () => {
  engine = await Engine.create({ preset: 'small' });
  keys.forEach(({ encoded }, i) => {
    engine.putSecret({ service: OSD, secretId: BigInt(i), key: encoded });
  });
});

/** An authorizer, often altered or wrongly challenged, and an operation, often not allowed. */
function request(): DecideRequest {
  const which = rng.int(2);
  const ticket = makeTicket((keys[which] as (typeof keys)[0]).key, rng.random, {
    secretId: BigInt(which),
    caps: rng.pick([null, 'no caps', 'allow r', 'allow rw pool=a', 'allow r network 10.0.0.0/8']),
    allowAll: rng.chance(0.1),
    sessionType: rng.pick(['aes', 'aes256k'] as const),
  });
  const value = rng.u64();
  const authorizer = ticket.authorizer(rng.chance(0.9) ? value : undefined);
  if (rng.chance(0.2)) {
    const at = rng.int(authorizer.length);
    authorizer[at] = (authorizer[at] as number) ^ (1 << rng.int(8));
  }
  return {
    ...{ service: OSD, authorizer, challenge: { mode: 'issued', value }, tail: rng.chance(0.5) },
    peer: { family: 4, bytes: Uint8Array.of(rng.pick([10, 11]), 0, 0, 1) },
    op: { pool: rng.pick(['a', 'bä']), object: 'o', read: true, write: rng.chance(0.3) },
    explain: rng.chance(0.2),
  };
}

/** The same by two calls. */
function apart(asked: DecideRequest): Verdict {
  const verdict = engine.verify({ ...asked, session: true, tail: asked.tail ?? false }, HOST);
  if (!verdict.decision) return verdict;
  const { service, op, explain, tail } = asked;
  const checked = engine.check(
    { service, op, handle: verdict.handle, explain: explain ?? false, tail: tail ?? false },
    HOST,
  );
  engine.sessionRelease(verdict.handle);
  return checked;
}

function told(verdict: Verdict): unknown {
  const { decision, reason, check, condition, grant, info, globalId, secretId } = verdict;
  const { created, expires, entityId, detail } = verdict;
  const numbers = [decision, reason, check, condition, grant, info, globalId, secretId];
  return [...numbers, created, expires, entityId, detail];
}

describe(`decide (seed ${seed})`, () => {
  it('says what verify and check say', () => {
    const asked = Array.from({ length: CASES }, request);
    const reasons = new Map<string, number>();
    const expected = asked.map((each) => told(apart(each)));
    asked.forEach((each, i) => {
      const verdict = engine.decide(each, HOST);
      expect(told(verdict)).toEqual(expected[i]);
      expect([verdict.handle, verdict.source]).toEqual([0n, abi.SOURCE_COLD]);
      reasons.set(verdict.reason, (reasons.get(verdict.reason) ?? 0) + 1);
    });
    for (let at = 0; at < CASES; at += 512) {
      const batch = engine.decideBatch(asked.slice(at, at + 512), HOST);
      expect(batch.map(told)).toEqual(expected.slice(at, at + 512));
    }
    for (const reason of ['ok', 'authorizer.invalid', 'caps.none', 'caps.unparsable']) {
      expect(reasons.get(reason), reason).toBeGreaterThan(20);
    }
    for (const reason of ['caps.no_matching_grant', 'caps.network_mismatch']) {
      expect(reasons.get(reason), reason).toBeGreaterThan(20);
    }
  });

  it('leaves a session only where it is asked to', () => {
    const { key } = keys[1];
    const ticket = makeTicket(key, rng.random, { secretId: 1n, caps: 'allow r' });
    const asked: DecideRequest = {
      ...{ service: OSD, authorizer: ticket.authorizer(), challenge: { mode: 'off' } },
      op: { pool: 'a', read: true },
    };
    const { handle } = engine.decide({ ...asked, session: true }, HOST);
    const check = (of: bigint): string =>
      engine.check({ service: OSD, handle: of, op: asked.op }, HOST).reason;
    expect(check(handle)).toBe('ok');
    // The next one takes the next slot, and gives it back.
    const next = handle + 1n;
    expect(engine.decide(asked, HOST).decision).toBe(true);
    expect(check(next)).toBe('session.unknown');
    const write = { ...asked, op: { pool: 'a', write: true }, session: true };
    const refused = engine.decide(write, HOST);
    expect(refused.reason).toBe('caps.no_matching_grant');
    expect(check(refused.handle)).toBe('ok');
  });

  it('of the previous session needs a verify right before it', () => {
    const previous = 0xffffffffffffffffn;
    const op = { pool: 'a', read: true };
    expect(engine.check({ service: OSD, handle: previous, op }, HOST).reason).toBe(
      'session.unknown',
    );
  });
});
