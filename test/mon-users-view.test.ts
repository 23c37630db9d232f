/** The view of a cluster's users: what it answers, when it is old, and who may have it. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { utimeFromNs } from '../src/cephx/denc.ts';
import { Engine } from '../src/engine/engine.ts';
import { MonError } from '../src/errors.ts';
import { ClusterUsers } from '../src/http/clusterusers.ts';
import { type FakeMonitor, randomBytes } from './mon-fake.ts';
import { MonKit, until } from './mon-kit.ts';
import { send, spawnCephgate, spawnSidecar, temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('users');
const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
let kit: MonKit;
beforeAll(async () => {
  kit = new MonKit(await Engine.create());
});
afterEach(() => kit.end());
afterAll(() => folder.remove());

/** `auth ls` of users by their osd caps. */
function listed(users: Readonly<Record<string, string>>): Uint8Array {
  const list = Object.entries(users).map(([entity, osd]) => ({ entity, key: KEY, caps: { osd } }));
  return new TextEncoder().encode(JSON.stringify({ auth_dump: list }));
}

/** A view on answers that the test gives. */
function rig(first: Uint8Array | MonError) {
  const state = { answer: first, nowMs: 1_000_000, log: [] as string[], denied: ['client.bad'] };
  const users = new ClusterUsers({
    client: {
      async command() {
        if (state.answer instanceof MonError) throw state.answer;
        return { result: 0, status: '', output: state.answer.slice() };
      },
    },
    refreshMs: 20,
    denied: async (names) => new Set(names.filter((name) => state.denied.includes(name))),
    clock: () => BigInt(state.nowMs) * 1_000_000n,
    log: ({ event }) => void state.log.push(String(event)),
  });
  const capsOf = async (name: string) => {
    const { entities } = await users.read([name]);
    return entities.get(name)?.caps.get('osd');
  };
  return { state, users, capsOf };
}

const AWAY = new MonError('mon.timeout', 'away');

describe('the view', () => {
  it('follows the cluster; keeps what it has while that is away, and says that it is old', async () => {
    const { state, users, capsOf } = rig(
      listed({ 'client.a': 'allow r', 'client.bad': 'allow *' }),
    );
    await users.start();
    expect(await capsOf('client.a')).toBe('allow r');
    expect(await capsOf('client.b')).toBeUndefined();
    const { entities, snapshot } = await users.read(['client.bad', 'client.a', 'nonsense']);
    expect([...entities].map(([name, { denied }]) => [name, denied])).toEqual([
      ['client.bad', true],
      ['client.a', false],
    ]);
    state.answer = listed({ 'client.a': 'allow rw' });
    await until(() => state.log.length === 2);
    expect(await capsOf('client.a')).toBe('allow rw');
    expect((await users.read([])).snapshot).toBeGreaterThan(snapshot);
    state.answer = AWAY;
    await until(() => state.log.includes('users_failed'));
    expect(users.isStale(BigInt(state.nowMs) * 1_000_000n)).toBe(false);
    state.nowMs += 60_000;
    expect(users.isStale(BigInt(state.nowMs) * 1_000_000n)).toBe(true);
    expect(await capsOf('client.a')).toBe('allow rw');
    state.answer = listed({ 'client.a': 'allow rw' });
    await until(() => state.log.at(-1) === 'users_fetched');
    expect(users.isStale(BigInt(state.nowMs) * 1_000_000n)).toBe(false);
    await users.stop();
    expect(state.log.filter((event) => event === 'users_failed')).toHaveLength(1);
  });

  it('knows nobody before it has seen them', async () => {
    const { state, users, capsOf } = rig(AWAY);
    await expect(users.start()).rejects.toBe(AWAY);
    await expect(capsOf('client.a')).rejects.toMatchObject({ code: 'store.unreachable' });
    expect(users.isStale(0n)).toBe(true);
    state.answer = listed({ 'client.a': 'allow r' });
    await until(() => state.log.at(-1) === 'users_fetched');
    expect(await capsOf('client.a')).toBe('allow r');
    await users.stop();
  });
});

describe('serve', () => {
  const view = CryptoKey.create('aes256k', utimeFromNs(0n), randomBytes);

  async function monitor(): Promise<FakeMonitor> {
    const list = [{ entity: 'client.a', key: KEY, caps: { osd: 'allow rw pool=p' } }];
    return kit.monitor({
      entities: new Map([
        ['osd.0', kit.key],
        ['client.view', view],
      ]),
      commands: { 'auth ls': JSON.stringify({ auth_dump: list }) },
    });
  }

  function flagsOf({ address }: FakeMonitor, ...more: string[]): string[] {
    const keyring = join(folder.path, 'keyring');
    const keys = { 'osd.0': kit.key, 'client.same': kit.key, 'client.view': view };
    const sections = Object.entries(keys).map(
      ([name, key]) => `[${name}]\n\tkey = ${key.toBase64()}\n`,
    );
    writeFileSync(keyring, sections.join(''), { mode: 0o600 });
    const where = ['--mon-host', `v2:127.0.0.1:${address.port}`, '--keyring', keyring];
    return [...where, '--name', 'osd.0', '--users-keyring', keyring, ...more];
  }

  async function ask(socketPath: string): Promise<{ decision: boolean; reason: { code: string } }> {
    const op = { pool: 'p', object: 'o', write: true };
    const question = { service: 'osd', entity: 'client.a', op };
    return (await send({ socketPath }, '/v1/check', question)).body;
  }

  it('asks nobody for users unless it is told to, and then its own entity only', async () => {
    const fake = await monitor();
    const plain = await spawnSidecar(folder.path, undefined, flagsOf(fake));
    expect((await ask(plain.socketPath)).reason.code).toBe('entity.unknown');
    expect(await plain.stop()).toBe(0);
    const flags = flagsOf(fake, '--users-name', 'client.view');
    const seeing = await spawnSidecar(folder.path, undefined, flags);
    const answer = await ask(seeing.socketPath);
    expect(answer).toMatchObject({ decision: true, authenticated: false, entity: 'client.a' });
    expect(seeing.err).not.toContain(KEY);
    expect(await seeing.stop()).toBe(0);
  }, 40_000);

  it.each([
    ['osd.0', 'must be a client of its own'],
    ['client.same', 'must be a client of its own'],
    ['nobody', 'TYPE.ID'],
  ])(
    'refuses %s as that entity',
    async (name, words) => {
      const flags = flagsOf(await monitor(), '--users-name', name);
      const listen = ['--listen', 'tcp:127.0.0.1:0', '--data', 'refused'];
      const refused = spawnCephgate(['serve', ...listen, ...flags], { cwd: folder.path });
      expect(await refused.ended).toBe(2);
      expect(refused.err).toContain(words);
    },
    30_000,
  );
});
