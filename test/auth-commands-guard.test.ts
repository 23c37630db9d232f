/** Imports as a whole, guard rails, and keys that must not show. */

import { describe, expect, it } from 'vitest';
import type { CommandDeps } from '../src/auth/commands.ts';
import { runCommand } from '../src/auth/commands.ts';
import { AuthDb } from '../src/auth/entities.ts';
import { MemoryStore } from '../src/store/memory.ts';
import { IMPORT, STAGED } from '../src/store/records.ts';
import type { Outcome, Store } from '../src/store/store.ts';
import { command, commandDeps, dump, load } from './auth-kit.ts';

const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
const ADMIN = `[client.admin]\n\tkey = ${KEY}\n\tcaps mon = "allow *"\n`;

function guarded(options: Partial<CommandDeps> = {}): CommandDeps {
  return commandDeps({ guard: true, ...options });
}

function manyUsers(count: number): string {
  const name = (i: number) => String(i).padStart(6, '0');
  return Array.from(
    { length: count },
    (_, i) => `[client.u${name(i)}]\n\tkey = ${KEY}\n\tcaps mon = "allow r"\n`,
  ).join('');
}

describe('import', () => {
  it('takes nothing of a keyring that it refuses', async () => {
    const deps = commandDeps();
    const keyring = `${ADMIN}[client.b]\n\tkey = ${KEY}\n`;
    const reply = await command(deps, { prefix: 'auth import' }, keyring);
    expect(reply).toMatchObject({ retcode: -22, status: 'auth import: no caps supplied' });
    expect(await dump(deps.store)).toBe('');
  });

  it('answers at once when there is no section', async () => {
    const reply = await command(commandDeps(), { prefix: 'auth import' }, '# nothing\n');
    expect(reply).toEqual({ retcode: 0, status: 'imported keyring', output: '' });
  });

  it('of many entities is seen whole or not at all, whatever commit is the last', async () => {
    const before = manyUsers(3).replaceAll('allow r', 'allow rw');
    const after = manyUsers(400);
    let seen = 0;
    for (let commits = 0; ; commits++) {
      const memory = new MemoryStore();
      await load(memory, before);
      const dying = new Dying(memory, commits);
      const deps = commandDeps({ store: dying });
      const done = await command(deps, { prefix: 'auth import' }, after).then(
        () => true,
        () => false,
      );
      const left = await dump(memory);
      expect([before, after]).toContain(left);
      if (left === after) seen++;
      // Nothing hides, and the next import works whatever this one left.
      const again = await command(commandDeps({ store: memory }), { prefix: 'auth import' }, after);
      expect(again.retcode).toBe(0);
      expect(await dump(memory)).toBe(after);
      const staged = { prefix: STAGED.prefix, timeoutMs: 1000 };
      if (done) {
        expect((await memory.list(staged)).entries).toEqual([]);
        expect(
          (await memory.get(IMPORT.key(undefined), { timeoutMs: 1000 })).entry,
        ).toBeUndefined();
        break;
      }
    }
    expect(seen).toBeGreaterThan(3);
  });

  it('and changes beside it lose nothing of each other', async () => {
    const deps = commandDeps();
    await load(deps.store, manyUsers(2));
    const [imported, ...changed] = await Promise.all([
      command(deps, { prefix: 'auth import' }, manyUsers(300)),
      ...['mon', 'osd', 'mds'].map((service) =>
        command(deps, { prefix: 'auth caps', entity: 'client.u000001', caps: [service, 'allow'] }),
      ),
      command(deps, { prefix: 'auth add', entity: 'client.beside' }),
    ]);
    expect(imported!.retcode).toBe(0);
    expect(changed.at(-1)!.retcode).toBe(0);
    const held = await new AuthDb(deps.store, undefined).list();
    expect(held).toHaveLength(301);
  });
});

describe('an import that is committed and not carried out', () => {
  const caps = { prefix: 'auth caps', entity: 'client.u000001', caps: ['mon', 'allow rw'] };
  const changed = manyUsers(100).replace(
    /(\[client\.u000001\][^[]*)"allow r"/,
    (_, section) => `${section}"allow rw"`,
  );

  it('goes before the change that was read before it', async () => {
    const memory = new MemoryStore();
    await load(memory, manyUsers(2).replaceAll('allow r', 'allow x'));
    // Two transactions stage, the third commits.
    const deps = commandDeps({ store: new Dying(memory, 3) });
    const late = new Held(memory);
    const change = command(commandDeps({ store: late }), caps);
    await late.reached;
    await expect(command(deps, { prefix: 'auth import' }, manyUsers(100))).rejects.toThrow('died');
    late.release();
    expect(await change).toMatchObject({ retcode: 0 });
    expect(await dump(memory)).toBe(changed);
  });

  it('is not carried out once more by one who comes late', async () => {
    const memory = new MemoryStore();
    const deps = commandDeps({ store: new Dying(memory, 3) });
    await expect(command(deps, { prefix: 'auth import' }, manyUsers(100))).rejects.toThrow('died');
    const late = new Held(memory);
    const list = command(commandDeps({ store: late }), { prefix: 'auth ls' });
    await late.reached;
    expect(await command(commandDeps({ store: memory }), caps)).toMatchObject({ retcode: 0 });
    late.release();
    expect(await list).toMatchObject({ retcode: 0 });
    expect(await dump(memory)).toBe(changed);
  });
});

describe('guard rails', () => {
  const caps = { prefix: 'auth caps', entity: 'client.admin', caps: ['mon', 'allow r'] };
  const rm = { prefix: 'auth rm', entity: 'client.admin' };
  const less = `[client.admin]\n\tkey = ${KEY}\n\tcaps mon = "allow r"\n`;

  it('without them everybody locks everybody out, as with the real monitor', async () => {
    for (const [cmd, input] of [
      [caps, ''],
      [rm, ''],
      [{ prefix: 'auth import' }, less],
    ] as const) {
      const deps = commandDeps();
      await load(deps.store, ADMIN);
      expect(await command(deps, cmd, input)).toMatchObject({ retcode: 0 });
    }
  });

  it.each([
    ['caps', caps, ''],
    ['rm', rm, ''],
    ['import', { prefix: 'auth import' }, less],
  ])('%s does not take the last one away who may do everything', async (_, cmd, input) => {
    const deps = guarded();
    await load(deps.store, ADMIN);
    const reply = await command(deps, cmd, input);
    expect(reply.retcode).toBe(-1);
    expect(reply.status).toMatch(/^refusing to .*: .* \(--yes-i-really-mean-it or /);
    expect(await dump(deps.store)).toBe(ADMIN);
    const { prefix, ...args } = cmd;
    const inbuf = new TextEncoder().encode(input);
    expect(await runCommand(deps, { prefix, args, inbuf, force: true })).toMatchObject({
      retcode: 0,
    });
  });

  it('lets one of two go, but not both at once', async () => {
    const deps = guarded();
    const entities = ['client.x', 'client.y'];
    await load(deps.store, entities.map((name) => ADMIN.replace('client.admin', name)).join(''));
    const replies = await Promise.all(
      entities.map((entity) => command(deps, { prefix: 'auth rm', entity })),
    );
    expect(replies.map(({ retcode }) => retcode).sort()).toEqual([-1, 0]);
  });

  it('client.admin keeps mon "allow *" although others have it too', async () => {
    const deps = guarded();
    await load(deps.store, ADMIN + ADMIN.replace('client.admin', 'client.x'));
    expect(await command(deps, caps)).toMatchObject({ retcode: -1 });
    expect(await command(deps, { ...caps, entity: 'client.x' })).toMatchObject({ retcode: 0 });
  });

  it('a key that is refused is not quoted', async () => {
    const keyring = '[client.a]\nkey = AQDsecretsecret\n';
    const reply = (deps: CommandDeps) => command(deps, { prefix: 'auth import' }, keyring);
    expect((await reply(commandDeps())).status).toContain('val=AQDsecretsecret');
    expect((await reply(guarded())).status).toBe(
      'error decoding keyring error setting modifier for [client.a] type=key val=(not shown): ' +
        'Malformed input',
    );
  });
});

describe('keys', () => {
  it('show in no answer that is not about keys', async () => {
    const deps = guarded({ release: 20 });
    await load(deps.store, ADMIN);
    const quiet: Parameters<typeof command>[1][] = [
      { prefix: 'auth add', entity: 'client.a', caps: ['mon', 'allow r'] },
      { prefix: 'auth add', entity: 'client.a', caps: ['mon', 'allow rw'] },
      { prefix: 'auth get-or-create', entity: 'client.admin', caps: ['mon', 'allow r'] },
      { prefix: 'auth get', entity: 'client.zz' },
      { prefix: 'auth commit-pending', entity: 'client.a' },
      { prefix: 'auth rm', entity: 'client.admin' },
      { prefix: 'auth dump-keys', format: 'json' },
      { prefix: 'auth import' },
    ];
    for (const cmd of quiet) {
      const { status, output } = await command(
        deps,
        cmd,
        cmd.prefix === 'auth import' ? ADMIN : '',
      );
      expect(status + output).not.toMatch(/A[QgI][A-Za-z0-9+/]{30,}/);
    }
  });
});

/** Passes everything on. */
class Passing implements Store {
  protected readonly store: Store;

  constructor(store: Store) {
    this.store = store;
  }
  get: Store['get'] = (...args) => this.store.get(...args);
  list: Store['list'] = (...args) => this.store.list(...args);
  watch: Store['watch'] = (...args) => this.store.watch(...args);
  lease: Store['lease'] = (...args) => this.store.lease(...args);
  leases: Store['leases'] = (...args) => this.store.leases(...args);
  close: Store['close'] = () => this.store.close();
  commit: Store['commit'] = (...args) => this.store.commit(...args);
}

/** Holds its first commit back. */
class Held extends Passing {
  release: () => void = () => {};
  #arrive: () => void = () => {};
  readonly reached: Promise<void> = new Promise((resolve) => {
    this.#arrive = resolve;
  });
  readonly #released: Promise<void> = new Promise((resolve) => {
    this.release = resolve;
  });
  override commit: Store['commit'] = async (...args) => {
    this.#arrive();
    await this.#released;
    return await this.store.commit(...args);
  };
}

/** Dies after so many commits. */
class Dying extends Passing {
  #left: number;

  constructor(store: Store, commits: number) {
    super(store);
    this.#left = commits;
  }
  override commit: Store['commit'] = async (...args): Promise<Outcome> => {
    if (this.#left-- <= 0) throw new Error('died');
    return await this.store.commit(...args);
  };
}
