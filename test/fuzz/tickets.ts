/**
 * One history, three witnesses: an engine with the ticket cache, one without, and the twin. The
 * same authorizers come again and again while clock, policy, ring and revocations change.
 */

import { VERDICT_SOURCE } from '../../assembly/abi.ts';
import { CryptoKey } from '../../src/cephx/cryptokey.ts';
import { encode } from '../../src/cephx/denc.ts';
import type { Engine, Policy, Verdict } from '../../src/engine/index.ts';
import { makeTicket, type TestTicket } from '../authorizers.ts';
import { Rng } from '../rng.ts';
import { type TwinInput, type TwinPolicy, type TwinSecret, verify } from '../twin/verify.ts';
import { makeInput, makePolicy, makeSecrets, NOW_SECONDS } from './corpus.ts';
import { Difference, enginePolicy, type Histogram } from './verify.ts';

const SECOND = 1_000_000_000n;
const NOW = BigInt(NOW_SECONDS) * SECOND;
const TICKETS = 60;
const INPUTS = 60;

/** What the engines and the twin know at one moment. */
interface World {
  readonly engines: readonly Engine[];
  secrets: TwinSecret[];
  policy: TwinPolicy;
  /** The same object for as long as the policy is the same. */
  ours: Partial<Policy>;
  nowNs: bigint;
  readonly denied: Set<bigint>;
  notBeforeNs: bigint;
}

/** Runs `steps` of a seeded history; throws Difference at the first verdict that is not equal. */
export function fuzzTickets(warm: Engine, cold: Engine, seed: number, steps: number): Histogram {
  const rng = new Rng(seed);
  const all = makeSecrets(rng);
  const policy = somePolicy(rng);
  const world: World = {
    ...{ engines: [warm, cold], secrets: [], policy, ours: enginePolicy(policy), nowNs: NOW },
    ...{ denied: new Set(), notBeforeNs: 0n },
  };
  for (const engine of world.engines) {
    engine.wipe();
    engine.revoke('clear', 'all');
  }
  setRing(world, all);
  const tickets = Array.from({ length: TICKETS }, () => someTicket(rng, all));
  const inputs = Array.from({ length: INPUTS }, () => makeInput(rng, all, [policy]));
  const histogram: Histogram = {};
  for (let step = 0; step < steps; step++) {
    if (rng.chance(0.006)) empty(rng, world, all);
    if (rng.chance(0.05)) spoil(rng, world);
    const input = rng.chance(0.7) ? fresh(rng, rng.pick(tickets)) : { ...rng.pick(inputs) };
    const name = judgeAll(world, rng.chance(0.15) ? altered(rng, input) : input, seed, step);
    histogram[name] = (histogram[name] ?? 0) + 1;
  }
  return histogram;
}

/** Mostly one under which tickets are taken while their time is not over. */
function somePolicy(rng: Rng): TwinPolicy {
  const policy = makePolicy(rng);
  if (rng.chance(0.2)) return policy;
  return { ...policy, expiry: 'enforce', skewNs: 300n * SECOND, allowedTypes: 'ring' };
}

interface Held {
  readonly service: number;
  readonly ticket: TestTicket;
}

function someTicket(rng: Rng, secrets: readonly TwinSecret[]): Held {
  const { service, secretId, key } = rng.pick(secrets.filter((each) => each.key.secret.length > 0));
  const ticket = makeTicket(key, rng.random, {
    ...{ service, secretId, entity: rng.pick(['client.john', 'osd.3', 'client.mallory']) },
    caps: rng.pick([null, '', 'allow *', 'allow r pool=a', `allow r pool=${'b'.repeat(700)}`]),
    createdNs: NOW + BigInt(rng.pick([0, 0, 0, -3000, -7200, 400])) * SECOND,
    ...{ globalId: BigInt(rng.int(12)), allowAll: rng.chance(0.1) },
    sessionType: rng.pick(['aes', 'aes256k'] as const),
  });
  return { service, ticket };
}

/** A new authorizer of a ticket, as each connection has one; mostly with the right answer. */
function fresh(
  rng: Rng,
  { service, ticket }: Held,
): Pick<TwinInput, 'bytes' | 'service' | 'challenge'> {
  const value = rng.u64();
  const bytes = ticket.authorizer(rng.chance(0.9) ? value : undefined);
  const challenge = rng.chance(0.9)
    ? ({ mode: 'issued', value: rng.chance(0.95) ? value : value ^ 1n } as const)
    : ({ mode: rng.pick(['off', 'required'] as const) } as const);
  return { bytes, service, challenge };
}

function altered<T extends Pick<TwinInput, 'bytes'>>(rng: Rng, input: T): T {
  const bytes = input.bytes.slice();
  const at = rng.int(bytes.length);
  if (bytes.length > 0) bytes[at] = (bytes[at] as number) ^ (1 << rng.int(8));
  return { ...input, bytes };
}

/** One event that empties the cache. */
function empty(rng: Rng, world: World, all: readonly TwinSecret[]): void {
  const event = rng.int(4);
  if (event === 0) {
    world.policy = somePolicy(rng);
    world.ours = enginePolicy(world.policy);
  } else if (event === 1) {
    const left = all.filter(() => rng.chance(0.9));
    setRing(world, left);
  } else if (event === 2) swapKey(rng, world, all);
  else for (const engine of world.engines) engine.cacheClear();
}

/** One event that leaves the cache as it is and may make its tickets worthless. */
function spoil(rng: Rng, world: World): void {
  const { engines, denied } = world;
  const event = rng.int(6);
  if (event < 2) {
    // All is well again.
    world.nowNs = NOW;
    world.notBeforeNs = 0n;
    denied.clear();
    for (const engine of engines) engine.revoke('clear', 'all');
  } else if (event < 4) {
    world.nowNs = NOW + BigInt(rng.pick([-5000, -400, 500, 4000])) * SECOND;
  } else if (event === 4) {
    const globalId = BigInt(rng.int(12));
    const op = denied.delete(globalId) ? 'lift' : 'deny';
    if (op === 'deny') denied.add(globalId);
    for (const engine of engines) engine.revoke(op, { globalId });
  } else {
    world.notBeforeNs = rng.pick([NOW - 100n * SECOND, NOW + 500n * SECOND]);
    for (const engine of engines) engine.revoke('not_before', 'all', world.notBeforeNs);
  }
}

/** Puts what is new or differs and removes what is gone. */
function setRing(world: World, secrets: readonly TwinSecret[]): void {
  for (const engine of world.engines) {
    for (const { service, secretId } of world.secrets) {
      if (!secrets.some((each) => each.service === service && each.secretId === secretId)) {
        engine.removeSecret(service, secretId);
      }
    }
    for (const { service, secretId, key, expiresNs } of secrets) {
      engine.putSecret({ service, secretId, key: encode(CryptoKey.encode, key), expiresNs });
    }
  }
  world.secrets = [...secrets];
}

/** The same id with another key: what was sealed with the old one must not open any more. */
function swapKey(rng: Rng, world: World, all: readonly TwinSecret[]): void {
  const victim = rng.pick(all);
  const swapped = all.map((each) => {
    if (each !== victim) return each;
    const { type, created, secret } = each.key;
    return { ...each, key: new CryptoKey(type, created, rng.bytes(secret.length)) };
  });
  setRing(world, swapped);
}

function judgeAll(
  world: World,
  asked: Pick<TwinInput, 'bytes' | 'service' | 'challenge'>,
  seed: number,
  step: number,
): string {
  const { secrets, policy, nowNs, denied, notBeforeNs } = world;
  const expected = verify({
    ...{ ...asked, secrets, policy, nowNs },
    revoked: ({ globalId, created }) =>
      denied.has(globalId) ||
      (notBeforeNs !== 0n &&
        BigInt(created.seconds) * SECOND + BigInt(created.nanoseconds) <
          notBeforeNs + policy.skewNs),
  });
  const challenge =
    asked.challenge.mode === 'required' ? { ...asked.challenge, value: 99n } : asked.challenge;
  const { service, bytes: authorizer } = asked;
  const request = { service, authorizer, challenge, secrets: true, unproven: step % 3 === 0 };
  const [warm, cold] = world.engines.map((engine) =>
    engine.verify(request, { nowNs, policy: world.ours }),
  ) as [Verdict, Verdict];
  const said = `${warm.checkNumber} ${warm.reasonNumber} ${warm.decision} ${warm.proven}`;
  const wanted = `${expected.check} ${expected.reason} ${expected.decision} ${expected.proven}`;
  const where = `seed ${seed}, step ${step}, build ${world.engines[0]?.build}`;
  if (said !== wanted) throw new Difference(`${where}: twin says ${wanted}, warm says ${said}`);
  if (all(warm) !== all(cold)) {
    throw new Difference(`${where}: warm says ${all(warm)}, cold says ${all(cold)}`);
  }
  return `${warm.reason}${warm.source === 0 ? '' : ', warm'}`;
}

/** Every byte of a verdict and of its secrets but the source. */
function all(verdict: Verdict): string {
  const bytes = verdict.bytes.slice();
  bytes[VERDICT_SOURCE] = 0;
  const { nonce, sessionKey } = verdict.secrets ?? {};
  return `${Buffer.from(bytes).toString('hex')} ${nonce} ${sessionKey?.join()}`;
}
