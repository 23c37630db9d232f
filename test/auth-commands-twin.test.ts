/** Random sequences of commands against the obvious twin, and writers that race. */

import { describe, expect, it } from 'vitest';
import { KeyRing } from '../src/keyring/keyring.ts';
import { MemoryStore } from '../src/store/memory.ts';
import type { Store } from '../src/store/store.ts';
import { command, commandDeps, dump } from './auth-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { type TwinAnswer, TwinAuthDb } from './twin/authdb.ts';

const NAMES = ['client.a', 'client.b', 'client.B', 'osd.9', 'osd.10', 'mgr.x', 'mds.', 'client.é'];
const CAPS: readonly (readonly [string, string])[] = [
  ['mon', 'allow r'],
  ['mon', 'allow rw'],
  ['osd', 'allow rw pool=a'],
  ['osd', 'allow *'],
  ['mds', 'allow'],
  ['mgr', 'allow r'],
];

describe('random sequences', () => {
  it.each([1, 2, 3])('the map of round %i is that of the twin', async (round) => {
    const rng = new Rng(seedOf(20_000) + round);
    const deps = commandDeps();
    const twin = new TwinAuthDb();
    const keys = new Map<number, string>();
    for (let step = 0; step < 400; step++) {
      const entity = rng.pick(NAMES);
      const pairs = Array.from({ length: rng.int(4) }, () => [...rng.pick(CAPS)]);
      const verb = rng.pick(VERBS);
      const caps = pairs.flat();
      const reply = await command(deps, { prefix: `auth ${verb}`, entity, caps, format: 'json' });
      const wanted = ask(twin, verb, entity, pairs as [string, string][]);
      const shown = `${step} ${verb} ${entity} ${caps.join(' ')}`;
      expect([shown, reply.retcode, reply.status]).toEqual([
        shown,
        wanted.ok ? 0 : -wanted.errno,
        wanted.said,
      ]);
      if (wanted.ok && wanted.entity !== undefined) {
        const [got] = JSON.parse(reply.output) as [{ key: string; caps: object }];
        expect(got.caps).toEqual(Object.fromEntries(wanted.entity.caps));
        expect(keys.get(wanted.entity.key) ?? got.key).toBe(got.key);
        keys.set(wanted.entity.key, got.key);
      }
    }
    const list = await command(deps, { prefix: 'auth ls', format: 'json' });
    const listed = (JSON.parse(list.output) as { auth_dump: { entity: string; caps: object }[] })
      .auth_dump;
    expect(listed.map(({ entity }) => entity)).toEqual(twin.names());
    for (const { entity, caps } of listed) {
      expect(caps).toEqual(Object.fromEntries(twin.entities.get(entity)!.caps));
    }
    const exported = await command(deps, { prefix: 'auth export' });
    expect(exported.output).toBe(await dump(deps.store));
  });
});

const VERBS = ['add', 'get-or-create', 'caps', 'get', 'rm'] as const;

function ask(
  twin: TwinAuthDb,
  verb: (typeof VERBS)[number],
  name: string,
  pairs: readonly [string, string][],
): TwinAnswer {
  switch (verb) {
    case 'add':
      return twin.add(name, pairs);
    case 'get-or-create':
      return twin.getOrCreate(name, pairs);
    case 'caps':
      return twin.caps(name, pairs);
    case 'get':
      return twin.get(name);
    case 'rm':
      return twin.rm(name);
  }
}

describe('writers that race', () => {
  it('all get the same key of a new entity', async () => {
    const deps = commandDeps();
    const calls = Array.from({ length: 12 }, () =>
      command(deps, {
        prefix: 'auth get-or-create-key',
        entity: 'client.x',
        caps: ['mon', 'allow r'],
      }),
    );
    const replies = await Promise.all(calls);
    expect(new Set(replies.map(({ output }) => output)).size).toBe(1);
    expect(replies.every(({ retcode }) => retcode === 0)).toBe(true);
  });

  it('lose no update: each of many rotations and changes of caps is seen by the next', async () => {
    const store = new Interleaved(new MemoryStore());
    const deps = commandDeps({ store, release: 20 });
    await command(deps, { prefix: 'auth add', entity: 'client.x' });
    const replies = await Promise.all([
      ...Array.from({ length: 6 }, () =>
        command(deps, { prefix: 'auth rotate', entity: 'client.x' }),
      ),
      command(deps, { prefix: 'auth caps', entity: 'client.x', caps: ['mon', 'allow r'] }),
      command(deps, { prefix: 'auth get-or-create-pending', entity: 'client.x' }),
    ]);
    expect(replies.map(({ retcode }) => retcode)).toEqual(replies.map(() => 0));
    const end = KeyRing.parse(new TextEncoder().encode(await dump(store))).entities();
    const [[, entity]] = end as [(typeof end)[number]];
    // What was put down beside the rotations is there whatever came last.
    expect([...entity.caps]).toEqual([['mon', 'allow r']]);
    expect(entity.pendingKey).toBeDefined();
    const keys = replies.slice(0, 6).map(({ output }) => /key = (\S+)/.exec(output)?.[1]);
    expect(new Set(keys).size).toBe(6);
    expect(keys).toContain(entity.key.toBase64());
    expect(store.failed).toBeGreaterThan(0);
  });
});

/** Counts the commits that came too late. */
class Interleaved {
  readonly #store: Store;
  failed = 0;

  constructor(store: Store) {
    this.#store = store;
  }
  get: Store['get'] = (...args) => this.#store.get(...args);
  list: Store['list'] = (...args) => this.#store.list(...args);
  watch: Store['watch'] = (...args) => this.#store.watch(...args);
  lease: Store['lease'] = (...args) => this.#store.lease(...args);
  leases: Store['leases'] = (...args) => this.#store.leases(...args);
  close: Store['close'] = () => this.#store.close();
  commit: Store['commit'] = async (...args) => {
    const outcome = await this.#store.commit(...args);
    if (outcome.status === 'failed-compare') this.failed++;
    return outcome;
  };
}
