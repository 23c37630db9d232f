/** Who may give which command: the keys that are taken, and the mon caps that suffice. */

import { describe, expect, it } from 'vitest';
import { callerOf } from '../src/auth/callers.ts';
import { setCipher } from '../src/auth/cipherpolicy.ts';
import { type CommandArgs, runCommand } from '../src/auth/commands.ts';
import { readAddress } from '../src/caps/network.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { parseEntityName } from '../src/cephx/protocol.ts';
import { commandDeps, dump, load, monKeyring } from './auth-kit.ts';

const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
const OTHER = 'AQBwZWxgAAAAABAAEBESExQVFhcYGRobHB0eHw==';
const NAME = parseEntityName('client.r')!;
const LOOPBACK = readAddress('127.0.0.1');

function section(caps: string, pending = ''): string {
  return `[client.r]\n\tkey = ${KEY}\n${pending}${caps}`;
}

async function isCaller(
  text: string,
  key: string,
  options: Parameters<typeof commandDeps>[0] = {},
) {
  const deps = commandDeps(options);
  await load(deps.store, text);
  return (await callerOf(deps, NAME, CryptoKey.fromBase64(key), LOOPBACK)) !== undefined;
}

describe('a key is taken', () => {
  const mon = '\tcaps mon = "allow r"\n';

  it('if it is the key or the pending key of an entity with mon caps', async () => {
    expect(await isCaller(section(mon), KEY)).toBe(true);
    expect(await isCaller(section(mon), OTHER)).toBe(false);
    expect(await isCaller(section(mon, `\tpending key = ${OTHER}\n`), OTHER)).toBe(true);
    expect(await isCaller(section('\tcaps osd = "allow *"\n'), KEY)).toBe(false);
    expect(await isCaller(section(''), KEY)).toBe(false);
    expect(await isCaller('', KEY)).toBe(false);
  });

  it('but not the key of nothing', async () => {
    const nothing = 'AAAAAAAAAAAAAAAA';
    expect(await isCaller(section(mon).replace(KEY, nothing), nothing)).toBe(false);
  });

  it('of a type that may log in', async () => {
    const deps = commandDeps({ release: 20 });
    await load(deps.store, section(mon));
    const key = CryptoKey.fromBase64(KEY);
    expect(await callerOf(deps, NAME, key, LOOPBACK)).toBeUndefined();
    const emergency = { ...deps, cipherOptions: { emergencyAllowed: ['aes'] as const } };
    expect(await callerOf(emergency, NAME, key, LOOPBACK)).toBeDefined();
    await setCipher(deps.store, 'auth_allowed_ciphers', 'aes aes256k');
    expect(await callerOf(deps, NAME, key, LOOPBACK)).toBeDefined();
  });

  it('and that of mon. may everything', async () => {
    const deps = commandDeps({ monKeyring: { ...monKeyring(KEY), caps: new Map() } });
    const name = parseEntityName('mon.')!;
    const caller = await callerOf(deps, name, CryptoKey.fromBase64(KEY), LOOPBACK);
    expect(caller?.monCaps).toBe('allow *');
  });
});

/** Columns: mon caps, `auth get client.foo`, `auth add client.new`. */
const TABLE: readonly (readonly [string, boolean, boolean])[] = [
  ['allow *', true, true],
  ['allow all', true, true],
  ['allow rwx', true, true],
  ['allow rx', true, false],
  ['allow r', false, false],
  ['allow rw', false, false],
  ['allow x', false, false],
  ['allow r, allow service auth rx', true, false],
  ['allow r, allow service auth rwx', true, true],
  ['allow service auth r', false, false],
  ['profile role-definer', true, true],
  ['profile rbd', false, false],
  ['allow r, allow command "auth get"', true, false],
  ['allow command "auth get" with entity="client.foo"', true, false],
  ['allow command "auth get" with entity="client.bar"', false, false],
  ['allow command "auth get" with entity prefix "client.f"', true, false],
  ['allow * network 10.0.0.0/8', false, false],
  ['allow * network 127.0.0.0/8', true, true],
  ['no caps at all', false, false],
];

describe('mon caps', () => {
  it.each(TABLE)('%s', async (monCaps, mayGet, mayAdd) => {
    const deps = commandDeps();
    await load(deps.store, `[client.foo]\n\tkey = ${KEY}\n\tcaps mon = "allow r"\n`);
    const caller = { name: NAME, monCaps, peer: LOOPBACK };
    const run = (prefix: string, args: CommandArgs) => runCommand(deps, { prefix, args, caller });
    const got = await run('auth get', { entity: 'client.foo' });
    expect(got.retcode).toBe(mayGet ? 0 : -13);
    const before = await dump(deps.store);
    const added = await run('auth add', { entity: 'client.new', caps: ['mon', 'allow r'] });
    expect(added.retcode).toBe(mayAdd ? 0 : -13);
    expect((await dump(deps.store)) === before).toBe(!mayAdd);
    if (mayGet) return;
    expect(got).toEqual({ retcode: -13, status: 'access denied', output: '' });
    // Before any look at the arguments.
    expect(await run('auth get', { entity: 'nonsense' })).toEqual(got);
  });

  it('of a bootstrap profile allow one command with its caps', async () => {
    const caller = { name: NAME, monCaps: 'profile bootstrap-mds', peer: LOOPBACK };
    const run = (entity: string, caps: readonly string[]) =>
      runCommand(commandDeps(), { prefix: 'auth get-or-create', args: { entity, caps }, caller });
    const exact = ['osd', 'allow rwx', 'mds', 'allow', 'mon', 'allow profile mds'];
    expect(await run('mds.a', exact)).toMatchObject({ retcode: 0 });
    expect(await run('mds.a', ['osd', 'allow *', ...exact.slice(2)])).toMatchObject({
      retcode: -13,
    });
    expect(await run('client.a', exact)).toMatchObject({ retcode: -13 });
  });
});
