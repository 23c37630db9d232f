/** `cephgate client`: authorizers and tickets from the command line, by unix socket and by TCP. */

import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeBase64, encodeBase64 } from '../src/cephx/cryptokey.ts';
import type { Fetch } from '../src/http/listen.ts';
import { listen, type OpenListener } from '../src/http/listen.ts';
import { freshKey } from './auth-issue-kit.ts';
import { privateFile, type Run, run } from './cli-kit.ts';
import { rng, Sidecar } from './client-kit.ts';
import { newConnection } from './http-kit.ts';
import { temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('client');
const socket = join(folder.path, 's.sock');
const env = { HOME: join(folder.path, 'home') };
let sidecar: Sidecar;
let open: readonly OpenListener[];
let url: string;
let keyring: string;

beforeAll(async () => {
  mkdirSync(env.HOME);
  sidecar = await Sidecar.create('aes256k', { nowNs: BigInt(Date.now()) * 1_000_000n });
  const fetch: Fetch = (request, bindings) => sidecar.app.fetch(request, bindings);
  const tcp = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
  open = [
    ...(await listen(fetch, [{ kind: 'unix', path: socket }], { allowHosts: [] })),
    ...(await listen(fetch, [tcp], { allowHosts: [] })),
  ];
  url = open[1]!.name;
  const section = (name: string, key: string): string => `[${name}]\n\tkey = ${key}\n`;
  const text = [
    section('client.john', sidecar.keys.john!.toBase64()),
    section('client.nocaps', sidecar.keys.nocaps!.toBase64()),
    section('client.jane', freshKey('aes256k', rng).toBase64()),
  ];
  keyring = privateFile(folder.path, 'keyring', text.join(''));
});
afterAll(async () => {
  await Promise.all(open.map((each) => each.close(100)));
  folder.remove();
});

/** Runs `cephgate client` as an entity against one of the listeners. */
function client(word: string, flags: readonly string[] = [], name = 'client.john'): Promise<Run> {
  const where = flags.includes('--url') ? [] : ['--socket', socket];
  const argv = ['client', word, '--name', name, '--keyring', keyring, ...where, ...flags];
  return run(argv, { env });
}

const OSD = ['--service', 'osd'];

describe('authorizer', () => {
  it.each(['unix', 'tcp'])('answers the challenge of a service, by %s', async (kind) => {
    const where = kind === 'tcp' ? ['--url', url] : [];
    const first = await client('authorizer', [...OSD, ...where]);
    expect([first.code, first.err]).toEqual([0, '']);
    const node = sidecar.node();
    const base = { service: 'osd', peer: '192.0.2.7', connection: newConnection() };
    const asked = await node.verify({ ...base, authorizer: first.out.trim() });
    expect(asked.reason.code).toBe('authorizer.challenge_required');
    const challenge = ['--challenge', asked.challenge as string];
    const second = await client('authorizer', [...OSD, ...where, ...challenge]);
    expect([second.code, second.err]).toEqual([0, '']);
    const { challenge_state } = asked;
    const authorizer = second.out.trim();
    const verdict = await node.verify({ ...base, authorizer, challenge_state });
    expect(verdict).toMatchObject({ decision: true, entity: 'client.john' });
  });

  it('keeps the ticket for its owner only, and prints no key', async () => {
    const { out } = await client('authorizer', [...OSD, '--json']);
    const document = JSON.parse(out);
    expect(document).toMatchObject({ entity: 'client.john', service: 'osd' });
    expect(decodeBase64(document.authorizer)[0]).toBe(1);
    const kept = join(env.HOME, '.cache', 'cephgate');
    for (const name of readdirSync(kept)) {
      expect(statSync(join(kept, name)).mode & 0o777).toBe(0o600);
      const { session_key } = JSON.parse(readFileSync(join(kept, name), 'utf8'));
      expect(out).not.toContain(session_key.slice(20, 40));
    }
    expect(statSync(kept).mode & 0o077).toBe(0);
  });

  it('says why a challenge is not answered', async () => {
    const file = join(folder.path, 'tickets', 'osd.json');
    const tickets = ['--tickets', file];
    const challenge = ['--challenge', encodeBase64(rng.bytes(58))];
    const early = await client('authorizer', [...OSD, ...tickets, ...challenge]);
    expect([early.code, early.out]).toEqual([3, '']);
    await client('authorizer', [...OSD, ...tickets]);
    const forged = await client('authorizer', [...OSD, ...tickets, ...challenge]);
    expect([forged.code, forged.out]).toEqual([1, '']);
    expect(forged.err).toContain('cannot answer the challenge: ciphertext.mac');
    const other = await client('authorizer', ['--service', 'mgr', ...tickets, ...challenge]);
    expect(other).toMatchObject({ code: 3, out: '' });
    expect(other.err).toContain('it is for another service');
    privateFile(folder.path, 'broken', '{"format":"cephgate-ticket/1"}');
    const broken = ['--tickets', join(folder.path, 'broken')];
    expect((await client('authorizer', [...OSD, ...broken, ...challenge])).code).toBe(3);
    const homeless = ['client', 'authorizer', ...OSD, ...challenge, '--socket', socket];
    expect((await run(homeless)).code).toBe(2);
  });
});

describe('tickets', () => {
  it('prints ids, times and types of keys, and never a key', async () => {
    const plain = await client('tickets');
    expect([plain.code, plain.err]).toEqual([0, '']);
    expect(plain.out).toMatch(/^client\.john, global_id \d+\n/);
    expect(plain.out).toMatch(/^osd +secret_id \d+ +aes256k +renew after \S+ +expires \S+$/m);
    const { tickets, global_id } = JSON.parse((await client('tickets', ['--json'])).out);
    expect(global_id).toMatch(/^\d+$/);
    const services = tickets.map((each: { service: string }) => each.service);
    expect(services).toEqual(['mon', 'mds', 'osd', 'mgr', 'auth']);
    const shown = ['expires', 'renew_after', 'secret_id', 'service', 'session_key_type'];
    for (const ticket of tickets) expect(Object.keys(ticket).sort()).toEqual(shown);
  });

  it('is refused alike for a wrong key, an unknown name and missing caps', async () => {
    for (const name of ['client.jane', 'client.nocaps']) {
      const { code, out, err } = await client('tickets', [], name);
      expect({ code, out }).toEqual({ code: 1, out: '' });
      expect(err).toBe(`cephgate client: cannot log in as ${name}: request.refused (-13)\n`);
    }
    const json = await client('tickets', ['--json'], 'client.jane');
    const reason = { code: 'request.refused' };
    expect(JSON.parse(json.out)).toEqual({ reason, client_errno: -13 });
  });
});

describe('usage', () => {
  it.each([
    [2, ['authorizer']],
    [2, ['authorizer', '--service', 'client']],
    [2, ['authorizer', ...OSD, '--challenge', '???']],
    [2, ['authorizer', ...OSD, 'more']],
    [2, ['tickets', ...OSD]],
    [2, ['tickets', '--name', 'john']],
    [2, ['tickets', '--url', 'ftp://127.0.0.1']],
    [2, ['tickets', '--url', 'http://127.0.0.1/path']],
    [2, ['logins']],
    [2, []],
    [3, ['tickets', '--keyring', '/nowhere/keyring']],
    [0, ['--help']],
  ])('exits with %s: client %s', async (code, argv) => {
    const result = await run(['client', ...argv], { env: { ...env, CEPH_KEYRING: keyring } });
    expect([result.code, result.err === '']).toEqual([code, code === 0]);
  });

  it('is trouble when nobody answers', async () => {
    const nobody = ['--socket', join(folder.path, 'nobody.sock')];
    const argv = ['client', 'tickets', '--name', 'client.john', '--keyring', keyring];
    const { code, err } = await run([...argv, ...nobody], { env });
    expect([code, err]).toEqual([
      3,
      'cephgate client: cannot ask the server: there is no answer\n',
    ]);
  });
});
