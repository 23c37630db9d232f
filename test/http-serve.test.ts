/** `npm start`: what a fresh sidecar makes, opens and prints, and how it ends. */

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatSecrets } from '../src/http/secretsfile.ts';
import { SECRETS } from './http-kit.ts';
import {
  type HttpAnswer,
  type SpawnedSidecar,
  send,
  spawnCephgate,
  spawnSidecar,
  temporaryFolder,
} from './spawn.ts';
import { storedSecrets } from './stored-secrets.ts';

const folder = temporaryFolder('serve');
let sidecar: SpawnedSidecar;
beforeAll(async () => {
  sidecar = await spawnSidecar(folder.path);
});
afterAll(async () => {
  await sidecar?.stop();
  folder.remove();
});

describe('a sidecar in an empty folder', () => {
  it('makes its data for nobody but its owner', () => {
    const data = join(folder.path, 'data');
    expect(statSync(data).mode & 0o777).toBe(0o700);
    expect(filesIn(data)).toEqual(['admin.sock', 'cephgate.sock', ...LASTING].sort());
    for (const name of ['admin.sock', ...LASTING]) {
      expect([name, statSync(join(data, name)).mode & 0o777]).toEqual([name, 0o600]);
    }
    expect(statSync(join(data, 'cephgate.sock')).mode & 0o777).toBe(0o660);
    expect(sidecar.socketPath).toBe(join(data, 'cephgate.sock'));
  });

  it('says where the key of client.admin is, and never the key', () => {
    const path = join(folder.path, 'data', 'ceph.client.admin.keyring');
    expect(sidecar.out).toContain(`made client.admin: its key is in ${path}\n`);
    const key = /key = (\S+)/.exec(readFileSync(path, 'utf8'))![1]!;
    expect(sidecar.out + sidecar.err).not.toContain(key);
  });

  it('is live and ready on both listeners', async () => {
    for (const where of [sidecar, { socketPath: sidecar.socketPath }]) {
      expect((await send(where, '/livez')).status).toBe(200);
      expect((await send(where, '/readyz?verbose')).body).toMatchObject({ status: 'ready' });
    }
  });
});

describe('the printed lines', () => {
  const commands = (): string[] =>
    sidecar.out.split('\n').filter((line) => line.startsWith('curl '));

  it('are two calls over the unix socket: yes, and no with the reason', async () => {
    const [yes, no, ...rest] = commands();
    expect(rest).toEqual([]);
    expectYes(await request(yes!));
    expectNo(await request(no!));
  });

  it.skipIf(spawnSync('curl', ['--version']).status !== 0)('work as printed', () => {
    const [yes, no] = commands().map((command) => {
      const { status, stdout } = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
      expect(status).toBe(0);
      expect(stdout.endsWith('}\n')).toBe(true);
      return JSON.parse(stdout);
    });
    expectYes({ status: 200, body: yes });
    expectNo({ status: 200, body: no });
  });

  function expectYes({ status, body }: Pick<HttpAnswer, 'status' | 'body'>): void {
    expect(status).toBe(200);
    expect(body).toMatchObject({ decision: true, authenticated: false, reason: { code: 'ok' } });
  }

  function expectNo({ status, body }: Pick<HttpAnswer, 'status' | 'body'>): void {
    expect(status).toBe(200);
    expect(body).toMatchObject({
      decision: false,
      authenticated: false,
      reason: { code: 'caps.no_matching_grant' },
      grants: [{ grant: 0, text: 'allow rw pool=liverpool', failed: 'pool' }],
    });
  }

  /** The request that the line's curl would make. */
  function request(command: string): Promise<HttpAnswer> {
    const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map((word) => word[1] ?? word[2]!);
    const wordAfter = (flag: string): string => words[words.indexOf(flag) + 1]!;
    const url = new URL(words.at(-1)!);
    const [name, value] = wordAfter('-H').split(': ');
    const where = { socketPath: wordAfter('--unix-socket'), host: url.host };
    return send(where, url.pathname + url.search, wordAfter('-d'), { [name!]: value! });
  }
});

it('without flags opens ./data/cephgate.sock and port 6480', async (test) => {
  const empty = temporaryFolder('start');
  try {
    const second = await spawnSidecar(empty.path, []).catch((error: Error) => error);
    if (second instanceof Error) {
      // Somebody else's port: then that is what it says.
      expect(second.message).toContain(
        'cannot listen on tcp:127.0.0.1:6480: the address is in use',
      );
      return test.skip();
    }
    expect(second.out.split('\n')[0]).toBe(
      `listening on http://127.0.0.1:6480, unix:${join(empty.path, 'data', 'cephgate.sock')}`,
    );
    expect(await second.stop()).toBe(0);
  } finally {
    empty.remove();
  }
});

describe('the life of a sidecar', () => {
  it('ends with 0 on SIGTERM and SIGINT, takes its socket away and keeps its secrets', async () => {
    const own = temporaryFolder('life');
    const data = join(own.path, 'data');
    const kept: Awaited<ReturnType<typeof storedSecrets>>[] = [];
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const process = await spawnSidecar(own.path);
      expect(await process.stop(signal)).toBe(0);
      expect(filesIn(data)).toEqual(LASTING);
      kept.push(await storedSecrets(data));
    }
    expect(kept[0]).toEqual(kept[1]);
    const ids = kept[0]!.map(({ service, secretId }) => `${service} ${secretId}`);
    const services = ['auth', 'mon', 'mds', 'osd', 'mgr'];
    expect(ids).toEqual(services.flatMap((name) => [1, 2, 3].map((id) => `${name} ${id}`)));
    expect(new Set(kept[0]!.map(({ key }) => key.join())).size).toBe(15);
    own.remove();
  });

  it('reloads static secrets on SIGHUP and keeps the last good ones', async () => {
    const own = temporaryFolder('reload');
    const file = join(own.path, 'secrets.json');
    const good = formatSecrets(SECRETS);
    writeFileSync(file, good, { mode: 0o600 });
    const process = await spawnSidecar(own.path, undefined, ['--secrets', file]);
    const reloaded = async (text: string): Promise<Record<string, unknown>> => {
      writeFileSync(file, text);
      const before = process.err.split('\n').length;
      process.raise('SIGHUP');
      while (process.err.split('\n').length === before) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return JSON.parse(process.err.trim().split('\n').at(-1)!);
    };
    expect(process.out.trim().split('\n')).toHaveLength(1);
    expect(await reloaded(good)).toMatchObject({
      event: 'reload',
      secrets: SECRETS.length,
      snapshot: '2',
    });
    const bad = await reloaded('{');
    expect(bad).toMatchObject({ level: 'error', event: 'reload' });
    expect(bad.message).toContain('it is not JSON');
    expect((await send(process, '/readyz')).status).toBe(200);
    expect(await process.stop()).toBe(0);
    own.remove();
  });

  it.each([
    ['an unknown flag', ['--no-such'], 2, 'unknown flag "--no-such"'],
    ['an address that is none', ['--listen', 'tcp:x'], 2, 'expected unix:PATH or tcp:HOST:PORT'],
    ['an address without TLS', ['--listen', 'tcp:0.0.0.0:0'], 3, 'only loopback addresses'],
    ['a file that is missing', ['--secrets', 'none.json'], 3, 'cannot open "none.json": ENOENT'],
    ['a word', ['word'], 2, 'unexpected word "word"'],
  ])('does not begin with %s', async (_, args, code, message) => {
    const own = temporaryFolder('bad');
    mkdirSync(join(own.path, 'data'), { mode: 0o700 });
    const process = spawnCephgate(['serve', ...args], { cwd: own.path });
    expect(await process.ended).toBe(code);
    expect(process.err).toContain(message);
    expect(process.out).toBe('');
    own.remove();
  });

  it('does not open a store that another process has, and says which', async () => {
    const process = spawnCephgate(['serve', '--listen', 'unix:second.sock'], { cwd: folder.path });
    expect(await process.ended).toBe(3);
    expect(process.out).toBe('');
    expect(process.err).toContain(`process ${sidecar.child.pid} holds its lock since `);
    expect((await send(sidecar, '/readyz')).status).toBe(200);
  });

  it('does not use secrets that others may read', async () => {
    const own = temporaryFolder('mode');
    writeFileSync(join(own.path, 's.json'), '{}', { mode: 0o644 });
    const process = spawnCephgate(['serve', '--secrets', 's.json'], { cwd: own.path });
    expect(await process.ended).toBe(3);
    expect(process.err).toBe(
      'cephgate serve: cannot use "s.json": its mode is 0644, expected 0600\n',
    );
    own.remove();
  });
});

/** SQLite has further files beside the store, and libsql leaves them there. */
function filesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => !/-(?:shm|wal|journal)$/.test(name))
    .sort();
}

/** What a sidecar that has ended leaves behind. */
const LASTING = [
  'ceph.client.admin.keyring',
  'cephgate.db',
  'cephgate.db.lock',
  'mon.keyring',
  'state.key',
];
