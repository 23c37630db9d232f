/** What goes wrong, in an order that a seed gives, each kind at least once. */

import { until } from '../etcd.ts';
import type { Rng } from '../rng.ts';
import type { World } from './world.ts';

export interface Fault {
  readonly name: string;
  /** Whether a member of etcd is away for a while. */
  readonly isOfMember: boolean;
  /** At least, milliseconds: one that would end too late leaves the time to others. */
  readonly lastsMs: number;
  /** Does it and heals it. */
  readonly run: (world: World, rng: Rng) => Promise<string>;
}

const DOWN_MS = 3_000;
const STOP_MS = 10_000;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function killMember(world: World, index: number): Promise<string> {
  const member = world.cluster.members[index]!;
  await member.kill();
  await pause(DOWN_MS);
  await member.start();
  return `m${index}`;
}

async function leaderIndex(world: World): Promise<number> {
  const leader = await world.cluster.leader();
  return leader === undefined ? 0 : world.cluster.members.indexOf(leader);
}

export const FAULTS: readonly Fault[] = [
  {
    name: 'kill -9 of the leading member',
    isOfMember: true,
    lastsMs: DOWN_MS,
    run: async (world) => await killMember(world, await leaderIndex(world)),
  },
  {
    name: 'kill -9 of another member',
    isOfMember: true,
    lastsMs: DOWN_MS,
    run: async (world, rng) => {
      const leader = await leaderIndex(world);
      return await killMember(world, (leader + 1 + rng.int(2)) % 3);
    },
  },
  {
    name: 'SIGSTOP of a member, 10 s',
    isOfMember: true,
    lastsMs: STOP_MS,
    run: async (world, rng) => {
      const index = rng.int(3);
      const member = world.cluster.members[index]!;
      member.signal('SIGSTOP');
      await pause(STOP_MS);
      member.signal('SIGCONT');
      return `m${index}`;
    },
  },
  {
    name: 'a member wiped and added again',
    isOfMember: true,
    lastsMs: 0,
    run: async (world, rng) => {
      const index = rng.int(3);
      await world.cluster.replace(index);
      return `m${index}`;
    },
  },
  {
    name: 'compaction',
    isOfMember: false,
    lastsMs: 0,
    run: async (world) => {
      const revision = await world.cluster.revision();
      await world.cluster.compact(revision);
      return `up to ${revision}`;
    },
  },
  {
    name: 'kill -9 of an instance',
    isOfMember: false,
    lastsMs: DOWN_MS,
    run: async (world, rng) => {
      const index = rng.int(3);
      await world.instances[index]!.kill();
      await pause(rng.int(DOWN_MS));
      await world.instances[index]!.start();
      return `instance ${index}`;
    },
  },
  {
    name: 'SIGSTOP of an instance, 10 s',
    isOfMember: false,
    lastsMs: STOP_MS,
    run: async (world, rng) => {
      const index = rng.int(3);
      world.instances[index]!.pause();
      await pause(STOP_MS);
      world.instances[index]!.goOn();
      return `instance ${index}`;
    },
  },
];

/**
 * Runs faults for `runMs`, and longer where one was not there yet; prints them. Towards the end
 * come those that fit in: the load ends when it is to end.
 */
export async function chaos(world: World, rng: Rng, runMs: number): Promise<Map<string, number>> {
  const startMs = performance.now();
  const done = new Map<string, number>();
  let left: Fault[] = [];
  const restMs = (): number => runMs - (performance.now() - startMs);
  const fits = ({ name, lastsMs }: Fault): boolean =>
    !done.has(name) || lastsMs + HEALED_MS < restMs();
  while (restMs() > 0 || done.size < FAULTS.length) {
    if (left.length === 0) left = shuffled(FAULTS, rng);
    const fault = left.findLast(fits) ?? FAULTS.find(fits);
    if (fault === undefined) {
      await pause(restMs());
      continue;
    }
    left = left.filter((each) => each !== fault);
    const atMs = performance.now() - startMs;
    if (fault.isOfMember) world.membersUpMs = undefined;
    const where = await fault.run(world, rng);
    done.set(fault.name, (done.get(fault.name) ?? 0) + 1);
    console.log(`  ${(atMs / 1000).toFixed(1)} s: ${fault.name} (${where})`);
    await whole(world);
    world.membersUpMs ??= performance.now();
    await pause(CALM_MS + rng.int(CALM_MS));
  }
  return done;
}

/** Until all members answer, one of them leads, and all instances are ready. */
export async function whole(world: World): Promise<void> {
  await until(async () => (await world.cluster.leader()) !== undefined, HEAL_MS);
  await until(async () => {
    const statuses = await Promise.all(world.cluster.members.map((each) => each.status()));
    return statuses.every((status) => status?.leader !== undefined);
  }, HEAL_MS);
  await until(async () => {
    for (const { url } of world.instances) {
      const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(
        () => undefined,
      );
      await answer?.body?.cancel();
      if (answer?.status !== 200) return false;
    }
    return true;
  }, HEAL_MS);
}

function shuffled<T>(list: readonly T[], rng: Rng): T[] {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}

const CALM_MS = 1_500;
/** What healing and the calm after it take on the whole. */
const HEALED_MS = 4_000;
const HEAL_MS = 60_000;
