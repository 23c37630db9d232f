/** Values sealed in etcd, and who may talk to it: certificates, names, passwords. */

import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { Engine } from '../src/engine/engine.ts';
import { engineSealer } from '../src/sealer.ts';
import type { EtcdAccess } from '../src/store/etcd/open.ts';
import { type Envelope, plaintextEnvelope, sealedEnvelope } from '../src/store/etcd/seal.ts';
import { openStore } from '../src/store/open.ts';
import { ENTITIES } from '../src/store/records.ts';
import { type Store, TRANSACTION_BYTES_MAX } from '../src/store/store.ts';
import { transaction } from '../src/store/transaction.ts';
import { beside } from './beside.ts';
import { privateFile, run } from './cli-kit.ts';
import { call, ETCD_NAME, EtcdCluster, etcdMissing, QUICK } from './etcd.ts';
import { Rng, seedOf } from './rng.ts';
import { bytes, CALL, leaseContract, pair, storeContract, take, text } from './store-contract.ts';

const rng = new Rng(seedOf(20261126));
const sealer = engineSealer(await Engine.create());
const key = () => CryptoKey.create('aes256k', { seconds: 1, nanoseconds: 0 }, rng.random);
const [first, second, third] = [key(), key(), key()];
const sealed = (...keys: CryptoKey[]): Envelope => sealedEnvelope(sealer, keys, rng.random);

/** Not in this thread: the suites beside it go on meanwhile. */
const execute = promisify(execFile);
const RUNTIMES = fileURLToPath(new URL('runtimes', import.meta.url));
const RUNTIME = join(RUNTIMES, 'node_modules', '.bin', 'deno');

const contains = (all: Uint8Array, part: Uint8Array): boolean =>
  Buffer.from(all).includes(Buffer.from(part));

describe('the envelope of stored values', () => {
  const path = bytes('cephgate/g/0/d/entity/client.a');
  const content = { code: 'store.content' };

  it('opens what it closed, of any length', () => {
    const envelope = sealed(first);
    for (const length of [0, 1, 49_151, 49_152, 49_153, 200_000]) {
      const value = rng.bytes(length);
      const stored = envelope.close(path, value);
      expect(envelope.open(path, stored)).toEqual(value);
      if (length > 16) expect(contains(stored, value.slice(0, 16))).toBe(false);
    }
  });

  it('opens under the current and the previous key, and seals under the current one', () => {
    const old = sealed(first).close(path, bytes('v'));
    const both = sealed(second, first);
    expect(text(both.open(path, old))).toBe('v');
    const fresh = both.close(path, bytes('v'));
    expect(text(sealed(second).open(path, fresh))).toBe('v');
    expect(() => sealed(first).open(path, fresh)).toThrow(expect.objectContaining(content));
    expect(() => sealed(first, second, third)).toThrow(RangeError);
    expect(() => sealed()).toThrow(RangeError);
    const aes = CryptoKey.create('aes', { seconds: 1, nanoseconds: 0 }, rng.random);
    expect(() => sealed(aes)).toThrow(TypeError);
  });

  it('opens in no other place', () => {
    const envelope = sealed(first);
    const stored = envelope.close(path, bytes('v'));
    for (const other of ['cephgate/g/0/d/entity/client.b', 'cephgate/g/1/d/entity/client.a', '']) {
      expect(() => envelope.open(bytes(other), stored)).toThrow(expect.objectContaining(content));
    }
  });

  it('opens nothing that was altered, cut, put together anew, or not sealed', () => {
    const envelope = sealed(first);
    const value = rng.bytes(100_000);
    const stored = envelope.close(path, value);
    const twin = envelope.close(path, value);
    const chunk = 4 + new DataView(stored.buffer).getUint32(1, true);
    const parts = (from: Uint8Array, ...which: number[]) => [
      ...which.map((i) => from.slice(1 + i * chunk, 1 + (i + 1) * chunk)),
    ];
    const glue = (chunks: Uint8Array[]) =>
      Uint8Array.from(Buffer.concat([Buffer.of(1), ...chunks]));
    expect(envelope.open(path, glue(parts(stored, 0, 1, 2)))).toEqual(value);
    const wrong = [
      glue(parts(stored, 0, 1)),
      glue(parts(stored, 1, 0, 2)),
      glue(parts(stored, 0, 0, 2)),
      glue([...parts(stored, 0, 1, 2), ...parts(stored, 2)]),
      glue([...parts(stored, 0), ...parts(twin, 1), ...parts(stored, 2)]),
      plaintextEnvelope().close(path, value),
      new Uint8Array(),
      new Uint8Array([1]),
      new Uint8Array([2, 0, 0, 0, 0]),
    ];
    for (let i = 0; i < 40; i++) {
      const altered = new Uint8Array(stored);
      altered[rng.int(altered.length)]! ^= 1 << rng.int(8);
      wrong.push(altered, stored.slice(0, rng.int(stored.length)));
    }
    for (const each of wrong) {
      expect(() => envelope.open(path, each)).toThrow(expect.objectContaining(content));
    }
  });
});

beside(`${ETCD_NAME}: sealed`, etcdMissing, () => {
  let cluster: EtcdCluster;
  const opened: Store[] = [];
  let prefixes = 0;
  beforeAll(async () => {
    cluster = await EtcdCluster.start({ flags: QUICK });
  });
  afterAll(() => cluster?.stop());
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
  });
  const open = async (access: EtcdAccess): Promise<Store> => {
    const store = await openStore(cluster.address, access);
    opened.push(store);
    return store;
  };

  const empty = () =>
    openStore(cluster.address, { prefix: `sealed/${prefixes++}/`, envelope: sealed(first) });
  storeContract('etcd, sealed', empty, 60);
  leaseContract('etcd, sealed', empty, 1_000);

  it('keeps no key in the clear, and opens nothing that was put elsewhere', async () => {
    const prefix = `sealed/${prefixes++}/`;
    const store = await open({ prefix, envelope: sealed(first) });
    const names = ['client.a', 'client.b'];
    const keys = names.map(() => rng.bytes(44));
    const puts = names.map((name, i) => ({
      key: ENTITIES.key(name),
      value: ENTITIES.encode({ key: keys[i]!, pendingKey: keys[i], caps: new Map() }),
    }));
    await store.commit(transaction({ puts }), CALL);
    const { url } = cluster.members[0]!;
    const b64 = (value: string): string => Buffer.from(value).toString('base64');
    const all = await call(url, '/v3/kv/range', { key: b64(prefix), range_end: b64('sealed0') });
    const [a, b] = all.kvs.filter((kv: { key: string }) => atob(kv.key).includes('/d/entity/'));
    for (const kv of all.kvs) {
      for (const each of keys)
        expect(contains(Buffer.from(kv.value ?? '', 'base64'), each)).toBe(false);
    }
    await call(url, '/v3/kv/put', { key: a.key, value: b.value });
    const reading = store.get(ENTITIES.key('client.a'), CALL);
    await expect(reading).rejects.toMatchObject({ code: 'store.content' });
  });

  it('takes the largest transaction', async () => {
    const store = await open({ prefix: `sealed/${prefixes++}/`, envelope: sealed(first) });
    const value = rng.bytes(TRANSACTION_BYTES_MAX - 1);
    const watch = store.watch((await store.get(bytes('a'), CALL)).snapshot);
    const told = take(watch, 1);
    const tx = transaction({ puts: [{ key: bytes('a'), value }] });
    expect((await store.commit(tx, { timeoutMs: 20_000 })).status).toBe('committed');
    const change = (await told)[0];
    const found = change?.type === 'transaction' ? change.changes[0]?.value : undefined;
    expect(Buffer.compare(found!, value)).toBe(0);
  });

  it('wants the way of sealing that the database has', async () => {
    const prefix = `sealed/${prefixes++}/`;
    const store = await open({ prefix, envelope: sealed(first) });
    await store.commit(transaction({ puts: [pair('a', '1')] }), CALL);
    const plain = open({ prefix, envelope: plaintextEnvelope() });
    await expect(plain).rejects.toMatchObject({ code: 'store.content' });
    const foreign = await open({ prefix, envelope: sealed(second) });
    await expect(foreign.get(bytes('a'), CALL)).rejects.toMatchObject({ code: 'store.content' });
    await expect(open({ prefix })).rejects.toMatchObject({ code: 'store.address' });
  });
});

beside(`${ETCD_NAME}: TLS and login`, etcdMissing, () => {
  const folder = mkdtempSync(join(tmpdir(), 'cephgate-tls-'));
  const file = (name: string): string => join(folder, name);
  const envelope = plaintextEnvelope();
  let cluster: EtcdCluster;
  let ca: string;
  beforeAll(async () => {
    for (const name of ['own', 'other']) await openssl(name, '/CN=ca');
    // One that is a CA itself is no server's for Deno.
    const leaf = ['subjectAltName=IP:127.0.0.1', 'basicConstraints=critical,CA:FALSE'];
    const extensions = leaf.flatMap((each) => ['-addext', each]);
    const signed = ['-CA', file('own.crt'), '-CAkey', file('own.key')];
    await openssl('etcd', '/CN=etcd', ...extensions, ...signed);
    ca = readFileSync(file('own.crt'), 'utf8');
    cluster = await EtcdCluster.start({ tls: { cert: file('etcd.crt'), key: file('etcd.key') } });
    await makeLogin();
  });
  afterAll(async () => {
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** etcd's own client does what our gateway driver has no call for. */
  async function etcdctl(...argv: string[]): Promise<void> {
    const env = { ...process.env, ETCDCTL_API: '3' };
    const flags = [`--endpoints=${cluster.members[0]!.url}`, `--cacert=${file('own.crt')}`];
    await execute('etcdctl', [...flags, ...argv], { env });
  }
  async function makeLogin(): Promise<void> {
    await etcdctl('user', 'add', 'root:rootpass');
    await etcdctl('role', 'add', 'cephgate');
    await etcdctl('role', 'grant-permission', 'cephgate', '--prefix=true', 'readwrite', 'mine/');
    await etcdctl('user', 'add', 'gate:secret');
    await etcdctl('user', 'grant-role', 'gate', 'cephgate');
    await etcdctl('auth', 'enable');
  }
  const login = { name: 'gate', password: 'secret' };

  it('works with a role for its prefix alone, and after a member forgot our session', async () => {
    const store = await openStore(cluster.address, { ca, login, envelope, prefix: 'mine/' });
    const watch = store.watch((await store.get(bytes('a'), CALL)).snapshot);
    const told = take(watch, 2);
    expect((await store.commit(transaction({ puts: [pair('a', '1')] }), CALL)).status).toBe(
      'committed',
    );
    expect(await store.lease('l', 60_000, CALL)).toBeDefined();
    const [member] = cluster.members;
    await member!.kill();
    await member!.start();
    const tx = transaction({ puts: [pair('a', '2')] });
    let outcome = await store.commit(tx, CALL);
    while (outcome.status === 'unknown') outcome = await store.commit(tx, CALL);
    expect(outcome.status).toBe('committed');
    expect((await told).map((event) => event.type)).toEqual(['transaction', 'transaction']);
    await store.close();
  });

  it.each([
    ['a wrong password', { login: { ...login, password: 'wrong' } }, 'store.refused'],
    ['no login', { login: undefined }, 'store.refused'],
    ['a prefix of somebody else', { prefix: 'other/' }, 'store.refused'],
    ['another CA', { ca: 'other.crt' }, 'store.unreachable'],
    ['the CAs of the system', { ca: undefined }, 'store.unreachable'],
  ])('does not open with %s', async (_, wrong, code) => {
    const access = { ca, login, envelope, prefix: 'mine/', ...wrong };
    if (access.ca === 'other.crt') access.ca = readFileSync(file('other.crt'), 'utf8');
    const { openEtcdStore } = await import('../src/store/etcd/etcd.ts');
    const members = [cluster.members[0]!.url];
    const opening = openEtcdStore({ ...access, members, timeoutMs: 1_000 });
    const error = await opening.then(
      () => undefined,
      (each: unknown) => each,
    );
    expect(error).toMatchObject({ code });
    expect(String(error)).not.toMatch(/secret|wrong/);
  });

  const isAbsent = !existsSync(RUNTIME) && process.env.REQUIRE_SERVICES !== '1';
  it.skipIf(isAbsent).each([
    ['deno', ['run', '-A']],
    ['bun', []],
  ])('works on %s (npm ci --prefix test/runtimes)', async (name, args) => {
    const program = join(RUNTIMES, 'node_modules', '.bin', name);
    const use = async (caFile: string, ms: number) => {
      const asked = [cluster.members[0]!.url, caFile, 'gate:secret', `mine/${name}/`, `${ms}`];
      const argv = [...args, join(RUNTIMES, 'etcd.mjs'), ...asked];
      // What it rejects with has what was printed too, and the exit code.
      const done = await execute(program, argv, { timeout: 60_000 }).catch((error) => error);
      return done as { code?: unknown; stdout: string; stderr: string };
    };
    const said = await use(file('own.crt'), 20_000);
    expect(said.stdout.trim() || said.stderr).toBe('committed true note');
    const refused = await use(file('other.crt'), 1_000);
    expect([refused.code === undefined, refused.stdout]).toEqual([false, '']);
    expect(refused.stderr).toMatch(/store\.unreachable|cannot reach etcd/);
  });

  it('is open to "cephgate auth", by flags and by the environment', async () => {
    const [storeKey, mon] = [file('store.key'), file('mon.keyring')];
    expect((await run(['store', 'key', storeKey])).code).toBe(0);
    const monKey = CryptoKey.create('aes256k', { seconds: 1, nanoseconds: 0 }, rng.random);
    privateFile(folder, 'mon.keyring', `[mon.]\n\tkey = ${monKey.toBase64()}\n`);
    const logins = privateFile(folder, 'gate.login', 'gate:secret\n');
    const env = { CEPHGATE_DATA: folder };
    const place = ['--store', cluster.address, '--store-ca', file('own.crt')];
    const access = ['--store-login', logins, '--store-prefix=mine/cli/', '--store-key', storeKey];
    const words = ['get-or-create', 'client.admin', 'mon', 'allow *', '-o', file('admin.keyring')];
    const make = ['auth', '-n', 'mon.', '-k', mon, ...place, ...access, ...words];
    expect(await run(make, { env })).toEqual({ code: 0, out: '', err: '' });
    const settings = {
      ...{ CEPHGATE_STORE: cluster.address, CEPHGATE_STORE_CA: file('own.crt') },
      ...{ CEPHGATE_STORE_LOGIN: logins, CEPHGATE_STORE_PREFIX: 'mine/cli/' },
      CEPHGATE_STORE_KEY: storeKey,
    };
    const ls = ['auth', '-k', file('admin.keyring'), 'ls'];
    const listed = await run(ls, { env: { ...env, ...settings } });
    expect(listed.err).toBe('');
    expect(listed.out).toMatch(/^client\.admin\n\tkey: \S{60}\n\tcaps: \[mon\] allow \*\n$/);
    const plain = await run([...ls, '--store-plaintext'], { env: { ...env, ...settings } });
    expect([plain.code, plain.err]).toEqual([2, expect.stringContaining('store-plaintext')]);
    // Without a key, nothing of another seal is read.
    const open = await run([...ls, ...place, ...access.slice(0, 3), '--store-plaintext'], { env });
    expect(open.code).not.toBe(0);
    expect(open.out + open.err).not.toMatch(/secret/);
  });

  /** A certificate and its key, by default signed by itself. */
  async function openssl(name: string, subject: string, ...more: string[]): Promise<void> {
    const what = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    const out = ['-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)];
    const argv = [...what, '-subj', subject, '-days', '2', ...out, ...more];
    await execute('openssl', argv);
  }
});
