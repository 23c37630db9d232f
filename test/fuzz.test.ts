/** Seeded authorizers through every build: no trap, no throw, the twin's verdict every time. */

import { describe, expect, it } from 'vitest';
import { Engine } from '../src/engine/index.ts';
import { embedded } from '../src/engine/wasm.ts';
import { fuzzTickets } from './fuzz/tickets.ts';
import { fuzzVerify, type Histogram } from './fuzz/verify.ts';
import { seedOf } from './rng.ts';

const seed = seedOf(42);
const cases = Number(globalThis.process?.env?.FUZZ_CASES ?? 100_000);

/** Reasons that `verify` of the core can give. */
const REASONS = [
  'ok',
  'authorizer.malformed',
  'authorizer.mode',
  'authorizer.service',
  'authorizer.secret_unknown',
  'authorizer.invalid',
  'authorizer.challenge_required',
  'authorizer.challenge_mismatch',
  'ticket.implausible',
  'ticket.cipher_not_allowed',
  'ticket.revoked',
  'ticket.expired',
  'ticket.not_yet_valid',
  'limit.exceeded',
] as const;

/** Reasons that a ticket which was taken before can be refused for. */
const WARM_REASONS = [
  'ok',
  'authorizer.challenge_mismatch',
  'authorizer.challenge_required',
  'ticket.revoked',
  'ticket.expired',
];

// Node 20 validates relaxed SIMD only behind a flag; other runtimes take it as it is.
const relaxed = WebAssembly.validate(await embedded('relaxed'));
const builds = ['simd', 'plain', ...(relaxed ? (['relaxed'] as const) : [])] as const;

describe.each(builds)('verify, %s build', (build) => {
  it(`agrees with the twin on ${cases} authorizers (seed ${seed})`, {
    timeout: 14_400_000,
  }, async () => {
    const engine = await Engine.create({ build, preset: 'small' });
    const histogram: Histogram = fuzzVerify(engine, seed, cases);
    console.log(build, histogram);
    if (cases < 100_000) return;
    for (const reason of REASONS) {
      expect(histogram[reason] ?? 0, reason).toBeGreaterThanOrEqual(100);
    }
  });
});

describe.each(builds)('ticket cache, %s build', (build) => {
  const steps = Math.max(10_000, cases / 10);
  it(`changes nothing but the source in ${steps} steps of a history (seed ${seed})`, {
    timeout: 14_400_000,
  }, async () => {
    const warm = await Engine.create({ build, preset: 'small', ticketCache: true });
    const cold = await Engine.create({ build, preset: 'small' });
    const histogram: Histogram = fuzzTickets(warm, cold, seed, steps);
    console.log(build, histogram, warm.ticketCache);
    for (const reason of WARM_REASONS) {
      expect(histogram[`${reason}, warm`] ?? 0, reason).toBeGreaterThan(10);
    }
    expect(cold.ticketCache.hits).toBe(0);
  });
});
