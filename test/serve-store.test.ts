/**
 * The circle as a user goes it, with a process for each step: a sidecar with its own store, a user
 * made through the admin socket, a login, an authorizer, a challenge, a session, and a question.
 */

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { privateFile } from './cli-kit.ts';
import {
  type HttpAnswer,
  type Spawned,
  type SpawnedSidecar,
  send,
  spawnCephgate,
  spawnSidecar,
  temporaryFolder,
} from './spawn.ts';

const folder = temporaryFolder('circle');
let sidecar: SpawnedSidecar;
beforeAll(async () => {
  sidecar = await spawnSidecar(folder.path);
});
afterAll(async () => {
  await sidecar?.stop();
  folder.remove();
});

const JOHN = ['client.john', 'mon', 'allow r', 'osd', 'allow rw pool=liverpool'];
const osdOp = (pool: string) => ({ pool, object: 'o1', read: true, write: true });

describe('a user of a new store', () => {
  let session: string;

  it('is made through the admin socket, with a keyring for its owner only', async () => {
    const made = await run(['auth', 'get-or-create', ...JOHN, '-o', 'john.keyring']);
    expect(made).toMatchObject({ code: 0, out: '', err: '' });
    const path = join(folder.path, 'john.keyring');
    expect(readFileSync(path, 'utf8')).toMatch(/^\[client\.john\]\n\tkey = \S{60,}\n/);
    expect(statSync(path).mode & 0o077).toBe(0);
    expect((await run(['auth', 'get', 'client.john'])).out).toContain('pool=liverpool');
  });

  it('gets an authorizer that the sidecar verifies with a bare verdict', async () => {
    const first = await authorizer();
    expect(first).toMatchObject({ code: 0, err: '' });
    const { code, out } = await run(['verify', ...OSD, '--authorizer', '-', ...url(), '--json'], {
      input: first.out,
    });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      decision: true,
      freshness: 'none',
      entity: 'client.john',
      caps: 'allow rw pool=liverpool',
      ticket_key_type: 'aes256k',
      integrity: 'mac',
    });
  });

  it('answers a challenge and has a session', async () => {
    const first = (await authorizer()).out.trim();
    const question = { service: 'osd', connection: 'c-1', peer: '192.0.2.7' };
    const asked = await unix('/v1/verify', { ...question, authorizer: first });
    expect(asked.body.reason.code).toBe('authorizer.challenge_required');
    const { challenge, challenge_state } = asked.body;
    const answered = (await authorizer(['--challenge', challenge])).out.trim();
    const body = { ...question, authorizer: answered, challenge_state };
    const final = await unix('/v1/verify', body);
    expect(final.body).toMatchObject({ decision: true, freshness: 'challenge' });
    expect(final.body.reply).toBeTypeOf('string');
    session = final.body.session;
    // What answered one challenge answers no other.
    const again = await unix('/v1/verify', body);
    expect(again.body.reason.code).toBe('authorizer.challenge_expired');
  });

  it('may write in its pool and not in another', async () => {
    const ask = (pool: string) =>
      unix('/v1/check', { service: 'osd', session, peer: '192.0.2.7', op: osdOp(pool) });
    expect((await ask('liverpool')).body).toMatchObject({
      decision: true,
      authenticated: true,
      entity: 'client.john',
    });
    expect((await ask('everton')).body).toMatchObject({
      decision: false,
      reason: { code: 'caps.no_matching_grant' },
      client_errno: -1,
    });
  });

  it('may the same when only its name is given', async () => {
    const john = ['check', '--service', 'osd', '--entity', 'client.john', ...socket()];
    const yes = await run([...john, '--pool', 'liverpool', '--object', 'o1', '--write', '--json']);
    expect(yes.code).toBe(0);
    const { decision, authenticated, entity, snapshot } = JSON.parse(yes.out);
    expect([decision, authenticated, entity]).toEqual([true, false, 'client.john']);
    expect(Number(snapshot)).toBeGreaterThan(0);
    const no = await run([...john, '--pool', 'everton', '--object', 'o1', '--write', '--explain']);
    expect(no.code).toBe(1);
    expect(no.out).toContain('caps.no_matching_grant');
    const monOp = JSON.stringify({ command: 'status', read: true });
    const mon = ['check', '--service', 'mon', '--op', monOp, ...socket()];
    expect((await run([...mon, '--entity', 'client.john'])).code).toBe(0);
    const rescue = await run([...mon, '--entity', 'mon.', '--json']);
    expect(JSON.parse(rescue.out)).toMatchObject({ decision: true, entity: 'mon.' });
    const nobody = await run([...mon, '--entity', 'client.nobody', '--json']);
    expect(JSON.parse(nobody.out).reason.code).toBe('entity.unknown');
  });

  it('is refused with another key, and gets nothing after it was removed', async () => {
    const key = (await run(['auth', 'print-key', 'client.admin'])).out;
    const admin = readFileSync(join(folder.path, 'data', 'ceph.client.admin.keyring'), 'utf8');
    expect(admin).toContain(key.trim());
    const forged = admin.replace('client.admin', 'client.john');
    const wrong = await authorizer([], forged);
    expect([wrong.code, wrong.out]).toEqual([1, '']);
    expect(wrong.err).toContain('request.refused (-13)');
    expect((await run(['auth', 'rm', 'client.john'])).code).toBe(0);
    const late = await authorizer();
    expect([late.code, late.err]).toEqual([wrong.code, wrong.err]);
  });
});

it('goes on with the same secrets and users after a restart', async () => {
  const made = await run(['auth', 'get-or-create', ...JOHN]);
  const before = (await authorizer([], made.out)).out;
  expect(await sidecar.stop()).toBe(0);
  sidecar = await spawnSidecar(folder.path);
  expect(sidecar.out).not.toContain('made client.admin');
  for (const text of [before, (await authorizer([], made.out)).out]) {
    const { host, port } = sidecar;
    const verdict = await send({ host, port }, '/v1/verify', {
      service: 'osd',
      authorizer: text.trim(),
    });
    expect(verdict.body).toMatchObject({ decision: true, entity: 'client.john' });
  }
});

describe('administration from a shell', () => {
  it('shows the keys of a user, and warns before the old one ends', async () => {
    const { out } = await run(['keys', 'client.admin']);
    expect(out).toMatch(/^client\.admin\nkey {6}aes256k {2}created \S+Z {2}not used\n$/);
    const rotated = await run(['keys', 'client.admin', 'rotate']);
    expect(rotated).toMatchObject({ code: 0, err: '' });
    expect(rotated.out).toMatch(/^pending {2}aes256k {2}created \S+Z {2}not used$/m);
    const keyring = join('data', 'ceph.client.admin.keyring');
    expect((await run(['client', 'tickets', '--keyring', keyring, ...url()])).code).toBe(0);
    const committed = await run(['keys', 'client.admin', 'commit', '--json']);
    const warning = /^cephgate keys: warning: the old key was used last at \S+Z from tcp\n$/;
    expect(committed.err).toMatch(warning);
    expect(JSON.parse(committed.out)).toMatchObject({ pending: null, key: { last_used: null } });
    const late = await run(['client', 'tickets', '--keyring', keyring, ...url()]);
    expect(late.code).toBe(1);
  });

  it('shows the health codes', async () => {
    expect(await run(['health'])).toEqual({ code: 0, out: 'HEALTH_OK\n', err: '' });
    const weak = ['auth', 'add', 'client.weak', '-i', 'weak.keyring'];
    privateFile(folder.path, 'weak.keyring', `[client.weak]\n\tkey = ${AES_KEY}\n`);
    expect((await run(weak)).code).toBe(0);
    const { code, out } = await run(['health']);
    expect([code, out]).toEqual([
      1,
      'HEALTH_WARN 1 client has an insecure key type\n' +
        '[WRN] AUTH_INSECURE_CLIENT_KEY_TYPE: 1 client has an insecure key type\n' +
        '    client.weak has an aes key\n',
    ]);
    const ready = await send(sidecar, '/readyz?verbose');
    expect(ready.body).toMatchObject({ status: 'ready', health: expect.any(Array) });
    const elsewhere = await run(['health', '--data', 'nowhere']);
    expect(elsewhere.code).toBe(3);
    expect(elsewhere.err).toContain('no such socket');
  });

  it.each([
    [['keys']],
    [['keys', 'client.admin', 'burn']],
    [['keys', 'client.admin', 'commit', 'now']],
    [['health', 'detail']],
  ])('%j is wrong usage', async (args) => {
    expect((await run(args)).code).toBe(2);
  });
});

interface Run {
  readonly code: number | string;
  readonly out: string;
  readonly err: string;
}

async function run(
  args: readonly string[],
  { input = '' }: { readonly input?: string } = {},
): Promise<Run> {
  const spawned: Spawned = spawnCephgate(args, { cwd: folder.path });
  spawned.child.stdin!.end(input);
  const code = await spawned.ended;
  return { code, out: spawned.out, err: spawned.err };
}

/** As `cephgate client authorizer` prints it, with the keyring that the owner has. */
function authorizer(more: readonly string[] = [], keyring?: string): Promise<Run> {
  const file = keyring === undefined ? 'john.keyring' : 'other.keyring';
  if (keyring !== undefined) privateFile(folder.path, file, keyring);
  const who = ['--name', 'client.john', '--keyring', file, '--tickets', 'john.ticket'];
  return run(['client', 'authorizer', ...who, ...OSD, ...url(), ...more]);
}

function url(): string[] {
  return ['--url', `http://${sidecar.host}:${sidecar.port}`];
}

function socket(): string[] {
  return ['--socket', sidecar.socketPath];
}

function unix(path: string, body: unknown): Promise<HttpAnswer> {
  return send({ socketPath: sidecar.socketPath }, path, body);
}

const AES_KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
const OSD = ['--service', 'osd'];
