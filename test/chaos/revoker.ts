/**
 * Revokes clients one after the other, and asks everybody whether they are accepted still. Accepted
 * is who is accepted without the warning `stale`: a caller that hears it knows that revocations may
 * be missing, and an instance that serves on says so.
 */

import type { Rng } from '../rng.ts';
import { type ChaosClient, pause, type Record, verifyAt } from './client.ts';
import type { Instance, World } from './world.ts';

export interface Revoked {
  /** From the acknowledgement to the last acceptance, 0 if there was none. */
  readonly reachMs: number;
  readonly acceptedAfterBound: readonly string[];
  /** Whether all members of etcd were up from before it until a second after. */
  readonly isCalm: boolean;
  /** Accepted after the bound with the warning. */
  readonly warned: number;
}

/**
 * Revokes one client that has a ticket, watches for WATCH_MS, lifts it. Undefined when nobody
 * acknowledged the revocation.
 */
export async function revokeOnce(
  world: World,
  client: ChaosClient,
  { fair }: Record,
  rng: Rng,
  boundMs: number,
): Promise<Revoked | undefined> {
  if (!(await client.logIn())) return undefined;
  const authorizer = client.authorizer();
  if (authorizer === undefined) return undefined;
  const rule = { deny: { entity: client.name } };
  if (!(await acknowledged(world, rng, (at) => at.admin('POST', '/revocations', rule)))) {
    // Perhaps it was made all the same: from here on it is as if it never had been.
    await lift(world, rng, rule);
    return undefined;
  }
  const ackMs = fair.nowMs;
  const isUp = (): boolean =>
    world.membersUpMs !== undefined && performance.now() - world.membersUpMs > SETTLED_MS;
  let isCalm = isUp();
  let reachMs = 0;
  let warned = 0;
  const accepted: string[] = [];
  while (fair.nowMs - ackMs < boundMs + WATCH_MS) {
    await Promise.all(
      world.running.map(async (instance) => {
        const sentMs = fair.nowMs - ackMs;
        // One that dies or stops in between answers late or never: when it was asked counts.
        const said = await verifyAt(instance, authorizer);
        if (said === 'ok, stale' && sentMs > boundMs) warned += 1;
        if (said !== 'ok') return;
        reachMs = Math.max(reachMs, sentMs);
        if (sentMs > boundMs) accepted.push(`${sentMs.toFixed(0)} ms after, at ${instance.data}`);
      }),
    );
    if (fair.nowMs - ackMs < CALM_FOR_MS) isCalm &&= isUp();
    await pause(POLL_MS);
  }
  await lift(world, rng, rule);
  return { reachMs, acceptedAfterBound: accepted, isCalm, warned };
}

async function lift(world: World, rng: Rng, rule: unknown): Promise<void> {
  for (let tries = 0; tries < LIFT_TRIES; tries++) {
    const done = await acknowledged(world, rng, (at) => at.admin('DELETE', '/revocations', rule));
    if (done) return;
    await pause(POLL_MS);
  }
  throw new Error('a revocation could not be lifted');
}

/** Asks one instance; a 404 is what is left of an earlier try. */
async function acknowledged(
  world: World,
  rng: Rng,
  ask: (instance: Instance) => Promise<{ readonly status: number }>,
): Promise<boolean> {
  if (world.running.length === 0) return false;
  const answer = await ask(rng.pick(world.running)).catch(() => undefined);
  return answer?.status === 200 || answer?.status === 404;
}

const WATCH_MS = 1_500;
/** So long all members have to be up before and after it. */
const SETTLED_MS = 1_000;
const CALM_FOR_MS = 1_000;
const POLL_MS = 100;
const LIFT_TRIES = 600;
