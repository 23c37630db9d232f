/** What is as of 2026 in the `auth` commands: hand-made, as no newer program can be asked. */

import { describe, expect, it } from 'vitest';
import { setCipher } from '../src/auth/cipherpolicy.ts';
import type { CommandDeps } from '../src/auth/commands.ts';
import { KeyServer } from '../src/auth/keyserver.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { command, commandDeps, dump, load, monKeyring, sharedEngine } from './auth-kit.ts';

const MON_KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';

function deps20(options: Partial<CommandDeps> = {}): CommandDeps {
  return commandDeps({ release: 20, ...options });
}

async function keysOf(deps: CommandDeps, entity: string): Promise<Record<string, string>> {
  const { output } = await command(deps, { prefix: 'auth get', entity, format: 'json' });
  return (JSON.parse(output) as [Record<string, string>])[0];
}

describe('texts', () => {
  it('says nothing where it used to', async () => {
    const deps = deps20();
    const said = async (prefix: string, entity = 'client.a') =>
      (await command(deps, { prefix: `auth ${prefix}`, entity })).status;
    expect(await said('add')).toBe('added key for client.a');
    for (const prefix of ['get', 'export', 'ls', 'rm', 'rm']) expect(await said(prefix)).toBe('');
    const keyring = `[client.b]\nkey = ${MON_KEY}\ncaps mon = "allow r"\n`;
    expect((await command(deps, { prefix: 'auth import' }, keyring)).status).toBe('');
  });

  it('answers caps with the keyring, and keeps the first of repeated caps everywhere', async () => {
    const deps = deps20();
    const caps = ['mon', 'allow r', 'mon', 'allow rw'];
    await command(deps, { prefix: 'auth add', entity: 'client.a', caps });
    const { key } = await keysOf(deps, 'client.a');
    const reply = await command(deps, { prefix: 'auth caps', entity: 'client.a', caps });
    expect(reply).toEqual({
      retcode: 0,
      status: 'updated caps for client.a',
      output: `[client.a]\n\tkey = ${key}\n\tcaps mon = "allow r"\n`,
    });
  });

  it('complains about caps in order of the subsystem', async () => {
    const cmd = { prefix: 'auth add', entity: 'client.a', caps: ['osd', 'bad', 'mds', 'bad'] };
    const [old, late] = [await command(commandDeps(), cmd), await command(deps20(), cmd)];
    expect(old.status).toMatch(/^osd capability parse failed/);
    expect(late.status).toMatch(/^mds capability parse failed/);
  });
});

describe('key types', () => {
  it('makes aes256k keys', async () => {
    const deps = deps20();
    const { output } = await command(deps, {
      prefix: 'auth get-or-create-key',
      entity: 'client.a',
    });
    expect(output).toMatch(/^Ag.{58}\n$/);
    expect(CryptoKey.fromBase64(output.trim()).secret).toHaveLength(32);
  });

  it.each([
    ['nosuch', 'invalid key type: nosuch'],
    ['aes', 'creating key with insecure key type ("aes") not allowed'],
    ['NONE', 'creating key with insecure key type ("none") not allowed'],
  ])('refuses %s', async (key_type, status) => {
    for (const prefix of ['auth add', 'auth get-or-create', 'auth rotate']) {
      const reply = await command(deps20(), { prefix, entity: 'client.a', key_type });
      expect(reply).toEqual({ retcode: -22, status, output: '' });
    }
  });

  it('checks the type also when the key comes along, or the entity is there', async () => {
    const deps = deps20({ cipherOptions: { allowInsecureKey: true } });
    const reply = await command(
      deps,
      { prefix: 'auth add', entity: 'client.a', key_type: 'aes' },
      'not a keyring',
    );
    expect(reply.status).toBe(
      'refusing to create key with type (aes) that cannot be used for auth (auth_allowed_ciphers)',
    );
    await command(deps, { prefix: 'auth get-or-create', entity: 'client.a' });
    await setCipher(deps.store, 'auth_preferred_cipher', 'aes');
    const again = await command(deps, { prefix: 'auth get-or-create', entity: 'client.a' });
    expect(again.status).toBe(
      "refusing to create key with type (`preferred' AKA aes) that cannot be used for auth " +
        '(auth_allowed_ciphers)',
    );
  });

  it('makes what the policy allows', async () => {
    const deps = deps20();
    await setCipher(deps.store, 'auth_allowed_ciphers', 'aes,aes256k');
    for (const [key_type, start] of [
      ['AES', 'AQ'],
      ['aes256k', 'Ag'],
      ['preferred', 'Ag'],
    ] as const) {
      const entity = `client.${key_type}`;
      const cmd = { prefix: 'auth get-or-create-key', entity, key_type };
      expect((await command(deps, cmd)).output.slice(0, 2)).toBe(start);
    }
  });
});

describe('pending keys', () => {
  it('are made once, shown without caps, committed and cleared', async () => {
    const deps = deps20();
    const entity = 'client.a';
    await command(deps, { prefix: 'auth add', entity, caps: ['mon', 'allow r'] });
    const { key } = await keysOf(deps, entity);
    const made = await command(deps, { prefix: 'auth get-or-create-pending', entity });
    const { pending_key: pending } = await keysOf(deps, entity);
    expect(made.output).toBe(`[${entity}]\n\tkey = ${key}\n\tpending key = ${pending}\n`);
    const json = { prefix: 'auth get-or-create-pending', entity, format: 'json' };
    expect((await command(deps, json)).output).toBe(
      `[{"entity":"${entity}","key":"${key}","pending_key":"${pending}","caps":{}}]`,
    );
    const list = await command(deps, { prefix: 'auth ls', format: 'json' });
    expect(list.output).not.toContain('pending');
    const commit = { prefix: 'auth commit-pending', entity };
    expect(await command(deps, commit)).toEqual({ retcode: 0, status: '', output: '' });
    expect(await command(deps, commit)).toMatchObject({ retcode: 0, status: 'no pending key' });
    expect(await keysOf(deps, entity)).toEqual({ entity, key: pending, caps: { mon: 'allow r' } });
    await command(deps, { prefix: 'auth get-or-create-pending', entity });
    const clear = { prefix: 'auth clear-pending', entity };
    expect(await command(deps, clear)).toEqual({ retcode: 0, status: '', output: '' });
    expect(await command(deps, clear)).toEqual({ retcode: 0, status: '', output: '' });
    expect(await keysOf(deps, entity)).not.toHaveProperty('pending_key');
  });

  it.each(['get-or-create-pending', 'commit-pending', 'clear-pending'])(
    '%s needs an entity',
    async (verb) => {
      const reply = await command(deps20(), { prefix: `auth ${verb}`, entity: 'client.a' });
      expect(reply).toEqual({
        retcode: -2,
        status: 'entity client.a does not exist',
        output: '',
      });
    },
  );

  it('stay over a rotation and over an import of the export', async () => {
    const deps = deps20();
    const entity = 'client.a';
    await command(deps, { prefix: 'auth add', entity, caps: ['mon', 'allow r'] });
    await command(deps, { prefix: 'auth get-or-create-pending', entity });
    const before = await keysOf(deps, entity);
    const { output } = await command(deps, { prefix: 'auth rotate', entity });
    const after = await keysOf(deps, entity);
    expect(after.key).not.toBe(before.key);
    expect(after.pending_key).toBe(before.pending_key);
    expect(output).toBe((await command(deps, { prefix: 'auth get', entity })).output);
    expect(output).toContain('\tcaps mon = "allow r"\n');
    const other = deps20();
    await command(other, { prefix: 'auth import' }, output);
    expect(await dump(other.store)).toBe(output);
  });
});

describe('rotate', () => {
  it('names its errors', async () => {
    const rotate = (entity: string) => command(deps20(), { prefix: 'auth rotate', entity });
    for (const entity of ['', 'user.x']) {
      expect(await rotate(entity)).toMatchObject({ retcode: -22, status: 'bad entity name' });
    }
    expect(await rotate('client.a')).toMatchObject({
      retcode: -2,
      status: 'entity does not exist',
    });
  });

  it('puts the key of mon. into the map', async () => {
    const deps = deps20({ monKeyring: monKeyring(MON_KEY) });
    const { output } = await command(deps, { prefix: 'auth rotate', entity: 'mon.' });
    expect(output).toMatch(/^\[mon\.\]\n\tkey = Ag\S+\n\tcaps mon = "allow \*"\n$/);
    expect(await dump(deps.store)).toBe(output);
  });
});

describe('dump-keys and wipe-rotating-service-keys', () => {
  it('show types and times of everything, and no secret', async () => {
    const store = deps20().store;
    const engine = await sharedEngine();
    const { random, clock } = commandDeps();
    const failed = (error: unknown) => expect(error).toBeUndefined();
    const server = await KeyServer.open({ store, engine, random, failed }, clock());
    const deps = deps20({ store, wipeRotating: () => server.wipe(clock()) });
    const add = { prefix: 'auth add', entity: 'client.a', caps: ['mon', 'allow r'] };
    await command(deps, add);
    const { key } = await keysOf(deps, 'client.a');
    const dumped = async () => {
      const reply = await command(deps, { prefix: 'auth dump-keys', format: 'json' });
      expect(reply.output).not.toContain(key);
      return JSON.parse(reply.output) as Dump;
    };
    const before = await dumped();
    expect(before.data.secrets).toEqual([
      {
        entity: { type: 8, type_str: 'client', id: 'a' },
        auth: {
          key: { type: 2, type_str: 'aes256k', created: expect.stringMatching(/^20\d\d-/) },
          pending_key: { type: 0, type_str: 'none', created: '0.000000' },
          caps: [{ service_name: 'mon', access_spec: '\u0007\0\0\0allow r' }],
        },
      },
    ]);
    const idsOf = ({ rotating_secrets }: Dump, id: number) =>
      rotating_secrets.find(({ entity }) => entity.type === id)?.secrets.keys.map((k) => k.id);
    expect(idsOf(before, 4)).toEqual([1, 2, 3]);
    const wiped = await command(deps, { prefix: 'auth wipe-rotating-service-keys' });
    expect(wiped).toEqual({ retcode: 0, status: 'wiped rotating service keys!', output: '' });
    const after = await dumped();
    expect(idsOf(after, 4)).toEqual([4, 5, 6]);
    expect(idsOf(after, 32)).toEqual(idsOf(before, 32));
  });

  it('wipes a store that nobody else has open', async () => {
    const deps = deps20();
    const wipe = { prefix: 'auth wipe-rotating-service-keys' };
    expect(await command(deps, wipe)).toMatchObject({ retcode: 0 });
    const { output } = await command(deps, { prefix: 'auth dump-keys', format: 'json' });
    const { rotating_secrets } = JSON.parse(output) as Dump;
    expect(rotating_secrets.map(({ entity }) => entity.type_str)).toEqual([
      'mon',
      'mds',
      'osd',
      'mgr',
    ]);
  });

  it('has no plain form', async () => {
    expect(await command(deps20(), { prefix: 'auth dump-keys' })).toMatchObject({
      retcode: -22,
      status: 'format type "plain" not supported by this command; try json',
    });
  });
});

interface Dump {
  readonly data: { readonly secrets: readonly unknown[] };
  readonly rotating_secrets: readonly {
    readonly entity: { readonly type: number; readonly type_str: string };
    readonly secrets: { readonly keys: readonly { readonly id: number }[] };
  }[];
}

describe('fs authorize', () => {
  const cmd = (caps: readonly string[]) => ({
    prefix: 'fs authorize',
    filesystem: '*',
    entity: 'client.a',
    caps,
  });

  it('merges caps since 16, and says so when there is nothing to merge', async () => {
    const deps = deps20();
    await command(deps, cmd(['/', 'r']));
    expect(await command(deps, cmd(['/', 'r']))).toMatchObject({
      retcode: 0,
      status: 'no update for caps of client.a',
    });
    await command(deps, cmd(['/home', 'rw']));
    expect((await keysOf(deps, 'client.a')).caps).toEqual({
      mds: 'allow r, allow rw path=/home',
      mon: 'allow r',
      osd: 'allow r tag cephfs data=*, allow rw tag cephfs data=*',
    });
  });

  it.each([
    [['/', 'x'], "Permission flags must start with 'r' or 'rw'."],
    [['/', 'rwz'], "Unknown permission flag 'z'."],
    [['/', 'rwsp'], "Permission flags (except 'rw') must be specified in alphabetical order."],
  ])('refuses %s', async (caps, status) => {
    expect(await command(deps20(), cmd(caps))).toMatchObject({ retcode: -22, status });
  });

  it('wants the same caps under 16', async () => {
    const deps = commandDeps();
    await command(deps, cmd(['/', 'rwps']));
    expect(await command(deps, cmd(['/', 'rwps']))).toMatchObject({ retcode: 0, status: '' });
    const other = await command(deps, cmd(['/', 'r']));
    expect(other.retcode).toBe(-22);
    expect(other.status).toMatch(/^client\.a already has fs capabilities that differ/);
  });
});

describe('release 16', () => {
  it.each(['rotate', 'commit-pending', 'dump-keys'])('does not know %s', async (verb) => {
    const reply = await command(commandDeps(), { prefix: `auth ${verb}`, entity: 'client.a' });
    expect(reply).toEqual({ retcode: -22, status: 'command not known', output: '' });
  });

  it('shows what a newer release left', async () => {
    const deps = commandDeps();
    await load(deps.store, `[client.a]\nkey = ${MON_KEY}\npending key = ${MON_KEY}\n`);
    const { output } = await command(deps, { prefix: 'auth get', entity: 'client.a' });
    expect(output).toBe(`[client.a]\n\tkey = ${MON_KEY}\n\tpending key = ${MON_KEY}\n`);
  });
});
