/** Rotation with clocks that are half a minute off, which it has to live with. */

import { describe, expect, it } from 'vitest';
import type { RotatingService } from '../src/auth/keyserver.ts';
import {
  ring,
  round,
  SECOND,
  SERVICES,
  type SimInstance,
  started,
  TTLS,
} from './auth-leader-sim.ts';
import { seedOf } from './rng.ts';

const seed = seedOf(20261202);
const TTL = TTLS.authServiceTicketTtlNs;
const AHEAD = 30n * SECOND;

interface Ticket {
  readonly service: RotatingService;
  readonly secretId: bigint;
  /** True time. */
  readonly endNs: bigint;
}

/** A run of instances of which all seal each second, and what became of the tickets. */
class Sealed {
  /** The longest part of a ticket's life that was lost because its secret was gone somewhere. */
  lostNs = 0n;
  readonly #tickets = new Map<string, Ticket>();

  note(each: SimInstance, nowNs: bigint): void {
    for (const service of SERVICES) {
      const sealing = each.keyServer.sealing(service, each.nowNs);
      expect(sealing, `${service} seals`).toBeDefined();
      const { secretId, lifeNs } = sealing!;
      // The last one made under a secret ends last.
      this.#tickets.set(`${service}/${secretId}`, { service, secretId, endNs: nowNs + lifeNs });
    }
  }

  look(all: readonly SimInstance[], nowNs: bigint): void {
    for (const { service, secretId, endNs } of this.#tickets.values()) {
      if (endNs <= nowNs || all.every(({ table }) => table.has(service, secretId))) continue;
      const leftNs = endNs - nowNs;
      if (leftNs > this.lostNs) this.lostNs = leftNs;
      this.#tickets.delete(`${service}/${secretId}`);
    }
  }
}

async function running(offNs: bigint) {
  const { world, store, all } = await started(seed, 3);
  const sealed = new Sealed();
  const go = async (ns: bigint, who: readonly SimInstance[]): Promise<void> => {
    for (const end = world.monoNs + ns; world.monoNs < end; world.monoNs += SECOND) {
      for (const each of who) await round(each);
      // The first secrets have to be ready first.
      if (world.monoNs < 20n * SECOND) continue;
      for (const each of who) sealed.note(each, world.monoNs);
      sealed.look(who, world.monoNs);
    }
  };
  const [leader, ...others] = all as [SimInstance, ...SimInstance[]];
  leader.skewNs = offNs;
  await go(40n * SECOND, all);
  expect(leader.leader.leads).toBe(true);
  return { world, store, all, leader, others, sealed, go };
}

/** The times, by the true clock, at which the ring of the OSDs turns, `count` of them. */
async function turns(
  { world, store, go }: Awaited<ReturnType<typeof running>>,
  who: readonly SimInstance[],
  count: number,
): Promise<bigint[]> {
  const out: bigint[] = [];
  let { secretIdMax } = await ring(store, 'osd');
  for (let i = 0n; i < 3n * TTL * BigInt(count) && out.length < count; i += SECOND) {
    await go(SECOND, who);
    const now = (await ring(store, 'osd')).secretIdMax;
    expect(now - secretIdMax).toBeLessThanOrEqual(1n);
    if (now > secretIdMax) out.push(world.monoNs);
    secretIdMax = now;
  }
  expect(out).toHaveLength(count);
  return out;
}

describe('a leader whose clock is half a minute off', () => {
  it.each([
    ['ahead', AHEAD],
    ['behind', -AHEAD],
  ])('(%s) turns the rings each ttl, and no ticket loses its secret', async (_, offNs) => {
    const state = await running(offNs);
    const times = await turns(state, state.all, 4);
    for (const [i, at] of times.slice(1).entries()) {
      expect(at - times[i]!).toBeGreaterThanOrEqual(TTL - 2n * SECOND);
      expect(at - times[i]!).toBeLessThanOrEqual(TTL + 2n * SECOND);
    }
    expect(state.leader.leader.leads).toBe(true);
    // What is sealed between its turn and the news of it.
    expect(state.sealed.lostNs).toBeLessThanOrEqual(2n * SECOND);
  });

  it('is followed by one that is right, and by one again that is not', async () => {
    const state = await running(AHEAD);
    const [first] = await turns(state, state.all, 1);
    // It stands still; the others are right, and turn by their own clocks.
    await state.go(20n * SECOND, state.others);
    const next = state.others.find(({ leader }) => leader.leads)!;
    expect(next).toBeDefined();
    const [second] = await turns(state, state.others, 1);
    expect(second! - first!).toBeGreaterThanOrEqual(TTL + AHEAD - 2n * SECOND);
    expect(second! - first!).toBeLessThanOrEqual(TTL + AHEAD + 5n * SECOND);
    expect(state.sealed.lostNs).toBeLessThanOrEqual(2n * SECOND);
    // Back again, and the only one to lead: this turn comes early, by what its clock is off.
    for (const each of state.others) each.pausedUntilNs = 2n ** 62n;
    await round(state.leader);
    for (const each of state.others) await each.leader.close();
    await state.go(SECOND * 5n, [state.leader]);
    expect(state.leader.leader.leads).toBe(true);
    const [third] = await turns(state, [state.leader], 1);
    expect(third! - second!).toBeGreaterThanOrEqual(TTL - AHEAD - 5n * SECOND);
    // The end of a ticket's life is lost then, by as much: clients renew long before.
    expect(state.sealed.lostNs).toBeLessThanOrEqual(AHEAD + 5n * SECOND);
  });
});
