/** The admin listener: commands and resources over HTTP, and `cephgate auth` through its socket. */

import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { authCommand } from '../src/cli/auth.ts';
import { ADMIN_BODY_LIMITS, createAdminApp } from '../src/http/admin.ts';
import { listen } from '../src/http/listen.ts';
import { MemoryStore } from '../src/store/memory.ts';
import { commandDeps, dump, load } from './auth-kit.ts';

const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
const ADMIN = `[client.admin]\n\tkey = ${KEY}\n\tcaps mon = "allow *"\n`;
const UNIX = { listener: { kind: 'unix' } } as const;

function rig(options: Parameters<typeof commandDeps>[0] = {}) {
  const logged: string[] = [];
  const command = commandDeps({ release: 20, guard: true, ...options });
  const log = (record: object) => void logged.push(JSON.stringify(record));
  const app = createAdminApp({ command, body: ADMIN_BODY_LIMITS, log });
  const call = async (method: string, path: string, body?: unknown) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
    const response = await app.request(`http://localhost/v1/admin${path}`, init, UNIX);
    const text = await response.text();
    const document = text === '' ? undefined : JSON.parse(text);
    return { status: response.status, document, text, headers: response.headers };
  };
  return { app, call, command, logged };
}

describe('POST /v1/admin/command', () => {
  it('gives what the ceph command gives', async () => {
    const { call } = rig({ release: 16, guard: false });
    const added = { prefix: 'auth get-or-create', entity: 'client.a', caps: ['mon', 'allow r'] };
    const { document } = await call('POST', '/command', added);
    expect(document).toMatchObject({ retcode: 0, status: '' });
    expect(document.output).toMatch(/^\[client\.a\]\n\tkey = AQ.{38}\n$/);
    const bad = await call('POST', '/command', { prefix: 'auth get', entity: 'x' });
    expect([bad.status, bad.document]).toEqual([
      200,
      { retcode: -22, status: 'invalid entity_auth x', output: '' },
    ]);
    const input = btoa(ADMIN);
    expect((await call('POST', '/command', { prefix: 'auth import', input })).document).toEqual({
      retcode: 0,
      status: 'imported keyring',
      output: '',
    });
  });

  it.each([
    [{}, 'prefix'],
    [{ prefix: 'auth get', entity: 7 }, 'entity'],
    [{ prefix: 'auth add', caps: [['mon']] }, 'caps'],
    [{ prefix: 'auth import', input: 'zz!' }, 'input'],
    [[], 'object'],
  ])('refuses the body %j', async (body, named) => {
    const { status, document } = await rig().call('POST', '/command', body);
    expect(status).toBe(400);
    expect(document.detail).toContain(named);
  });
});

describe('users as resources', () => {
  it('are made, read, changed and deleted, and hide their keys', async () => {
    const { call, command } = rig();
    const path = '/users/client.john';
    expect(await call('GET', path)).toMatchObject({
      status: 404,
      document: { code: 'entity.unknown' },
    });
    const made = await call('PUT', path, {
      caps: { mon: 'allow r', osd: 'allow rw pool=liverpool' },
    });
    expect(made.status).toBe(201);
    expect(made.document).toEqual({
      entity: 'client.john',
      caps: { mon: 'allow r', osd: 'allow rw pool=liverpool' },
      key_type: 'aes256k',
      created: expect.stringMatching(/^20/),
      pending: false,
    });
    const { key } = (await call('GET', `${path}/key`)).document;
    expect(key).toMatch(/^Ag/);
    const patched = await call('PATCH', path, { caps: { osd: null, mds: 'allow' } });
    expect(patched.document.caps).toEqual({ mds: 'allow', mon: 'allow r' });
    const put = await call('PUT', path, { caps: { mgr: 'allow r' } });
    expect([put.status, put.document.caps]).toEqual([200, { mgr: 'allow r' }]);
    for (const { text } of [made, patched, put]) expect(text).not.toContain(key);
    expect((await call('GET', `${path}/key`)).document).toEqual({ entity: 'client.john', key });
    expect((await call('DELETE', path)).status).toBe(204);
    expect((await call('DELETE', path)).status).toBe(404);
    expect(await dump(command.store)).toBe('');
  });

  it('say in words of Ceph what is wrong with caps', async () => {
    const { call } = rig();
    const { status, document } = await call('PUT', '/users/client.a', { caps: { mon: 'bad' } });
    expect([status, document.code, document.errno]).toEqual([400, 'command.invalid', -22]);
    expect(document.ceph_message).toBe("mon capability parse failed, stopped at 'bad' of 'bad'");
    expect((await call('PUT', '/users/user.x', { caps: {} })).status).toBe(400);
    expect((await call('PATCH', '/users/client.a', { caps: {} })).status).toBe(404);
  });

  it('turn their keys by way of a pending one', async () => {
    const { call } = rig();
    await call('PUT', '/users/client.a', {});
    const { key } = (await call('GET', '/users/client.a/key')).document;
    const turned = await call('POST', '/keys/client.a/rotate');
    expect(turned.document).toEqual({ entity: 'client.a', pending: true });
    const { pending_key: pending } = (await call('GET', '/users/client.a/key')).document;
    expect(turned.text).not.toContain(pending);
    expect((await call('POST', '/keys/client.a/commit')).document.pending).toBe(false);
    const now = (await call('GET', '/users/client.a/key')).document;
    expect([now.key, now.pending_key]).toEqual([pending, undefined]);
    expect(now.key).not.toBe(key);
    await call('POST', '/keys/client.a/rotate');
    expect((await call('POST', '/keys/client.a/clear')).document.pending).toBe(false);
    expect((await call('GET', '/users/client.a/key')).document.key).toBe(pending);
    expect((await call('POST', '/keys/client.b/rotate')).status).toBe(404);
    expect((await call('POST', '/keys/client.a/twist')).status).toBe(404);
  });

  it('stand behind the guard rails', async () => {
    const { call, command } = rig();
    await load(command.store, ADMIN);
    const { status, document } = await call('DELETE', '/users/client.admin');
    expect([status, document.code, document.errno]).toEqual([409, 'command.refused', -1]);
    const patch = await call('PATCH', '/users/client.admin', { caps: { mon: null } });
    expect(patch.status).toBe(409);
    const forced = await call('DELETE', '/users/client.admin?yes_i_really_mean_it=true');
    expect(forced.status).toBe(204);
  });

  it('say 503 when the store fails, and log no key', async () => {
    const store = new MemoryStore();
    const { call, logged } = rig({ store });
    await call('PUT', '/users/client.a', {});
    const { key } = (await call('GET', '/users/client.a/key')).document;
    await store.close();
    expect(await call('GET', '/users/client.a')).toMatchObject({
      status: 503,
      document: { code: 'store.unavailable' },
    });
    expect(logged).toHaveLength(1);
    expect(logged[0]).not.toContain(key);
  });

  it('know their methods, and refuse browsers', async () => {
    const { app, call } = rig();
    const wrong = await call('POST', '/users/client.a');
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, PUT, PATCH, DELETE']);
    expect((await call('GET', '/nothing')).status).toBe(404);
    const headers = { origin: 'http://evil.example' };
    const tcp = { listener: { kind: 'tcp', hosts: new Set(['localhost']) } } as const;
    const url = 'http://localhost/v1/admin/users/client.a';
    expect((await app.request(url, { headers }, tcp)).status).toBe(403);
  });
});

describe('cephgate auth through the admin socket', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cephgate-admin-'));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('prints what the sidecar answers; only the owner may connect', async () => {
    const { app, command } = rig();
    const path = join(folder, 'admin.sock');
    const address = { kind: 'unix', path, onlyOwner: true } as const;
    const [open] = await listen(app.fetch.bind(app), [address], { allowHosts: [] });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    let [out, err] = ['', ''];
    const run = async (...argv: string[]) => {
      [out, err] = ['', ''];
      const env = { CEPHGATE_ADMIN_LISTEN: `unix:${path}` };
      return await authCommand(argv, {
        env,
        cwd: folder,
        out: (text) => {
          out += text;
        },
        err: (text) => {
          err += text;
        },
        readInput: async () => new TextEncoder().encode(ADMIN),
      });
    };
    expect(await run('import', '-i', '-')).toBe(0);
    expect(await dump(command.store)).toBe(ADMIN);
    expect([await run('get-key', 'client.admin'), out, err]).toEqual([0, KEY, '']);
    expect([await run('rm', 'client.admin'), out]).toEqual([1, '']);
    expect(err).toMatch(/^Error EPERM: refusing to change client\.admin/);
    expect(await run('rm', 'client.admin', '--yes-i-really-mean-it')).toBe(0);
    await open!.close(0);
    await expect(run('ls')).rejects.toThrow(/cannot connect to unix:|cannot ask the sidecar/);
  });
});
