/**
 * What a verify or a check costs when there is more of something: users, service secrets, grants,
 * sessions, revocations. Only the number of grants may be felt, since a check looks at them.
 */

import { Buffer } from 'node:buffer';
import { type Challenge, Engine } from '../src/engine/index.ts';
import { engineSealer } from '../src/sealer.ts';
import { makeSecret, makeTicket } from '../test/authorizers.ts';
import { Rng } from '../test/rng.ts';
import { HOST } from './contenders.ts';
import type { Ratio } from './goals.ts';
import { CAPS, MATCH_OP, SERVICE } from './items.ts';
import { type Case, type Measured, ratio } from './measure.ts';
import type { Result } from './report.ts';
import type { Bench, Section } from './section.ts';
import { warmCheck } from './tables.ts';

export const scaleSection: Section = {
  name: 'scale',
  about: 'cost against the number of users, tickets, secrets, grants, sessions, revocations',
  everywhere: false,
  async run(bench) {
    const results: Result[] = [];
    for (const curve of CURVES) {
      const cases: Case[] = [];
      const sizes = bench.smoke ? curve.sizes.slice(0, 2) : curve.sizes;
      for (const size of sizes) {
        const run = await curve.at(size, bench);
        cases.push({ name: `${size.toLocaleString('en')} ${curve.of}`, items: 1, run });
      }
      const title = `scale, ${curve.what} by ${curve.of}`;
      results.push(await bench.table({ title, cases }, (rows) => flatness(curve.of, rows)));
    }
    return results;
  },
};

/** The least against the most: 1 is flat, less than 1 has grown. */
function flatness(of: string, rows: readonly Measured[]): Ratio[] {
  const [least, most] = [rows[0] as Measured, rows[rows.length - 1] as Measured];
  const name = `scale: ${least.name} / ${most.name}`;
  return [{ name, value: ratio(least, most), goal: of === 'grants' ? undefined : FLAT }];
}

interface Curve {
  readonly of: string;
  readonly what: string;
  readonly sizes: readonly number[];
  /** Makes `size` of them and gives what is measured. */
  readonly at: (size: number, bench: Bench) => Promise<(i: number) => unknown>;
}

const SECRET_ID = 2n;

/** One secret of a service, and an engine that has it. */
async function engineWithSecret(
  options: Parameters<typeof Engine.create>[0] = {},
): Promise<{ engine: Engine; key: ReturnType<typeof makeSecret>['key']; rng: Rng }> {
  const rng = new Rng(SEED);
  const engine = await Engine.create(options);
  const { key, encoded } = makeSecret('aes', rng.random);
  engine.putSecret({ service: SERVICE, secretId: SECRET_ID, key: encoded });
  return { engine, key, rng };
}

type Kit = Awaited<ReturnType<typeof engineWithSecret>>;

const CHALLENGE: Extract<Challenge, { mode: 'issued' }> = { mode: 'issued', value: 7n };

function authorizerOf(kit: Kit, user: number): Uint8Array {
  const { engine, key, rng } = kit;
  const ticket = makeTicket(
    key,
    rng.random,
    {
      ...{ entity: `client.user${user}`, globalId: BigInt(4000 + user), caps: CAPS },
      ...{ sessionType: 'aes', secretId: SECRET_ID },
    },
    engineSealer(engine),
  );
  return ticket.authorizer(CHALLENGE.value);
}

/** Authorizers of as many users, end to end. */
interface Packed {
  readonly bytes: Buffer;
  /** Of each. */
  readonly length: number;
  readonly count: number;
}

function authorizersOf(kit: Kit, count: number): Packed {
  const { length } = authorizerOf(kit, FIRST_USER);
  const bytes = Buffer.alloc(count * length);
  for (let i = 0; i < count; i++) bytes.set(authorizerOf(kit, FIRST_USER + i), i * length);
  return { bytes, length, count };
}

function at({ bytes, length, count }: Packed, i: number): Buffer {
  const from = (i % count) * length;
  return bytes.subarray(from, from + length);
}

/** Decides over authorizers, one after another. */
function deciding(engine: Engine, packed: Packed): (i: number) => unknown {
  const peer = { family: 4, bytes: Uint8Array.of(10, 0, 0, 1) } as const;
  return (i) => {
    const authorizer = at(packed, i);
    const request = { service: SERVICE, authorizer, challenge: CHALLENGE, peer, op: MATCH_OP };
    const { reason } = engine.decide(request, HOST);
    if (reason !== 'ok') throw new Error(`Cannot decide for item ${i}: ${reason}`);
    return reason;
  };
}

const users: Curve = {
  ...{ of: 'users', what: 'verify', sizes: [1_000, 10_000, 100_000, 1_000_000] },
  async at(size) {
    const kit = await engineWithSecret();
    return deciding(kit.engine, authorizersOf(kit, size));
  },
};

/** Every verify finds its ticket in the cache, which has room for 32,768. */
const tickets: Curve = {
  ...{ of: 'cached tickets', what: 'verify', sizes: [1_000, 10_000, 20_000] },
  async at(size) {
    const kit = await engineWithSecret({ preset: 'large', ticketCache: true });
    const run = deciding(kit.engine, authorizersOf(kit, size));
    for (let i = 0; i < size; i++) run(i);
    return run;
  },
};

const secrets: Curve = {
  ...{ of: 'secrets', what: 'verify', sizes: [1, 3, 16, 64] },
  async at(size) {
    const kit = await engineWithSecret();
    for (let i = 1; i < size; i++) {
      const { encoded } = makeSecret('aes', kit.rng.random);
      kit.engine.putSecret({ service: SERVICE, secretId: SECRET_ID + BigInt(i), key: encoded });
    }
    return deciding(kit.engine, authorizersOf(kit, FEW));
  },
};

const revocations: Curve = {
  ...{ of: 'revocations', what: 'verify', sizes: [0, 16, 128, 768] },
  async at(size) {
    const kit = await engineWithSecret();
    for (let i = 0; i < size; i++) {
      kit.engine.revoke('deny', { globalId: BigInt(10 ** 9 + i) });
    }
    return deciding(kit.engine, authorizersOf(kit, FEW));
  },
};

const sessions: Curve = {
  ...{ of: 'sessions', what: 'check', sizes: [1_000, 10_000, 100_000, 250_000] },
  async at(size) {
    const kit = await engineWithSecret({ preset: 'large' });
    const some = authorizersOf(kit, FEW);
    const handles = Array.from({ length: size }, (_, i) => {
      const authorizer = at(some, i);
      const request = { service: SERVICE, authorizer, challenge: CHALLENGE, session: true };
      return kit.engine.verify({ ...request, tail: false }, HOST).handle;
    });
    return (i) => {
      const handle = handles[i % size] as bigint;
      const { reason } = kit.engine.check({ service: SERVICE, handle, op: MATCH_OP }, HOST);
      if (reason !== 'ok') throw new Error(`Cannot check session ${i}: ${reason}`);
      return reason;
    };
  },
};

const grants: Curve = {
  ...{ of: 'grants', what: 'check', sizes: [1, 10, 100, 1_000, 10_000] },
  at: async (size, { engine }) => warmCheck(engine, size),
};

const CURVES: readonly Curve[] = [users, tickets, secrets, revocations, sessions, grants];
const SEED = 11;
const FEW = 256;
/** All names have one length, so that all authorizers have. */
const FIRST_USER = 10_000_000;
/** What noise and caches of the processor are allowed. */
const FLAT = 0.8;
