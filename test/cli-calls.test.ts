/** `cephgate verify` and `check`: the calls of the command line to a sidecar. */

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseTokens } from '../src/http/callers.ts';
import { type Fetch, listen, type OpenListener } from '../src/http/listen.ts';
import { privateFile, type Run, run } from './cli-kit.ts';
import { b64, challengeIn, Kit, osdTicket } from './http-kit.ts';
import { temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('calls');
const socket = join(folder.path, 's.sock');
const TOKEN = 'token-of-a-node-0123456789';
const bearer = privateFile(folder.path, 'bearer', `${TOKEN}\n`);
const ticket = osdTicket();
let kit: Kit;
let open: readonly OpenListener[];
let url: string;

beforeAll(async () => {
  kit = await Kit.create();
  const fetch: Fetch = (request, bindings) => kit.app.fetch(request, bindings);
  const tokens = parseTokens(`accept ${TOKEN}`, 'F');
  const tcp = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
  open = [
    ...(await listen(fetch, [{ kind: 'unix', path: socket }], { allowHosts: [] })),
    ...(await listen(fetch, [tcp], { allowHosts: [], tokens })),
  ];
  url = open[1]!.name;
});
afterAll(async () => {
  await Promise.all(open.map((each) => each.close(100)));
  folder.remove();
});

function verify(bytes: Uint8Array, flags: readonly string[], where = ['--socket', socket]) {
  const argv = ['verify', '--service', 'osd', '--authorizer', '-', ...where, ...flags];
  return run(argv, { input: bytes });
}

// biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects to be there
function parsed({ code, out, err }: Run): any {
  expect(err).toBe('');
  const document = JSON.parse(out);
  expect(code).toBe(document.decision ? 0 : 1);
  return document;
}

/** Both steps, and the session that came of them. */
async function accept(where?: string[]): Promise<{ session: string; receipt: string }> {
  const base = ['--peer', '192.0.2.7', '--connection', `c${Math.random()}`, '--json'];
  const first = parsed(await verify(ticket.authorizer(), base, where));
  expect(first.reason.code).toBe('authorizer.challenge_required');
  const challenge = challengeIn(ticket, { body: first } as never);
  const state = ['--challenge-state', first.challenge_state];
  const answered = ticket.authorizer(challenge);
  const final = parsed(await verify(answered, [...base, ...state], where));
  expect(final).toMatchObject({ decision: true, entity: 'client.john' });
  const again = parsed(await verify(answered, [...base, '--receipt', final.receipt], where));
  expect(again).toMatchObject({ decision: true, freshness: 'receipt' });
  return final;
}

describe('verify', () => {
  it('asks over the unix socket', async () => {
    await accept();
  });

  it('asks over TCP with a bearer token', async () => {
    await accept(['--url', url, '--bearer-file', bearer]);
  });

  it('takes where the sidecar is from the environment', async () => {
    const argv = ['verify', '--service', 'osd', '--authorizer', '-'];
    const env = { CEPHGATE_SOCKET: socket };
    const { code, out } = await run(argv, { env, input: ticket.authorizer() });
    expect([code, out]).toEqual([1, expect.stringContaining('authorizer.challenge_required')]);
  });

  it('hands on the challenge that the node made', async () => {
    const flags = ['--expected-challenge', '77', '--json', '--secure'];
    const document = parsed(await verify(ticket.authorizer(77n), flags));
    expect(document).toMatchObject({ decision: true, freshness: 'challenge' });
    expect(document.connection_secret).toBeTypeOf('string');
  });

  it('prints lines, and no is 1', async () => {
    const bytes = ticket.authorizer();
    bytes[bytes.length - 1]! ^= 1;
    const { code, out } = await verify(bytes, []);
    expect(code).toBe(1);
    expect(out).toMatch(/^decision {2,}no$/m);
    expect(out).toMatch(/^reason\.code {2,}authorizer\.invalid$/m);
  });

  it.each<[string, string[], string]>([
    ['no token', [], 'cannot ask the sidecar: 401: token.required'],
    ['a wrong field', ['--peer', 'nowhere'], 'cannot ask the sidecar: 401'],
  ])('%s is trouble', async (_, flags, message) => {
    const { code, out, err } = await verify(ticket.authorizer(), flags, ['--url', url]);
    expect([code, out]).toEqual([3, '']);
    expect(err).toContain(message);
  });

  it('a problem of the request is trouble, with its code', async () => {
    const { code, err } = await verify(ticket.authorizer(), ['--peer', 'nowhere']);
    expect(code).toBe(3);
    expect(err).toContain('cannot ask the sidecar: 400: field.value: "peer"');
    const disabled = await verify(ticket.authorizer(), ['--allow-unchallenged-verdict']);
    expect(disabled.err).toContain('403: unchallenged.disabled');
  });

  it('a bearer file that others may read is not used', async () => {
    const { chmodSync } = await import('node:fs');
    const open = privateFile(folder.path, 'open', TOKEN);
    chmodSync(open, 0o644);
    const where = ['--url', url, '--bearer-file', open];
    const { code, err } = await verify(ticket.authorizer(), [], where);
    expect(code).toBe(3);
    expect(err).toContain('its mode is 0644');
    expect(err).not.toContain(TOKEN);
  });
});

describe('check', () => {
  const check = (flags: readonly string[]): Promise<Run> =>
    run(['check', '--service', 'osd', '--socket', socket, ...flags]);

  it('asks for a session', async () => {
    const { session } = await accept();
    const base = ['--session', session, '--object', 'o1', '--json'];
    const yes = parsed(await check([...base, '--pool', 'liverpool', '--read', '--write']));
    expect(yes).toMatchObject({ decision: true, authenticated: true, entity: 'client.john' });
    const no = parsed(await check([...base, '--pool', 'everton', '--read']));
    expect(no.reason.code).toBe('caps.no_matching_grant');
  });

  it('asks for a caps text, and why not', async () => {
    const caps = ['--caps', 'allow r, allow rw pool=liverpool'];
    const flags = [...caps, '--pool', 'everton', '--write', '--explain'];
    const no = parsed(await check([...flags, '--json']));
    expect(no).toMatchObject({
      decision: false,
      authenticated: false,
      grants: [
        { grant: 0, text: 'allow r', span: [0, 7], failed: 'permission' },
        { grant: 1, failed: 'pool' },
      ],
    });
    const { code, out } = await check(flags);
    expect(code).toBe(1);
    expect(out).toMatch(/^grants\.1\.failed {2,}pool$/m);
  });

  it('takes a whole operation as JSON', async () => {
    const op = { pool: 'p', object: 'o', classes: [{ name: 'rbd', method: 'm', read: true }] };
    const flags = ['--op', JSON.stringify(op), '--json'];
    expect(parsed(await check(['--caps', 'allow class rbd m', ...flags])).decision).toBe(true);
    const other = parsed(await check(['--caps', 'allow class rbd n', ...flags]));
    expect(other.decision).toBe(false);
  });

  it('asks for a path of an mds', async () => {
    const base = ['check', '--service', 'mds', '--socket', socket, '--json', '--read'];
    const caps = ['--caps', 'allow rw path=/volumes'];
    const inside = await run([...base, ...caps, '--path', 'volumes/a', '--uid', '0']);
    expect(parsed(inside).decision).toBe(true);
    expect(parsed(await run([...base, ...caps, '--path', 'other'])).decision).toBe(false);
  });

  it.each<[string, string[], string]>([
    ['no subject', ['--pool', 'p'], '400: field.conflict'],
    ['two subjects', ['--pool', 'p', '--caps', 'x', '--session', 'y'], '400: field.conflict'],
    ['an op of another shape', ['--caps', 'x', '--op', '{"path":"/"}'], '400: field.'],
  ])('%s is trouble', async (_, flags, message) => {
    const { code, out, err } = await check(flags);
    expect([code, out]).toEqual([3, '']);
    expect(err).toContain(message);
  });
});

it('says what a server that is no sidecar answered', async () => {
  const { createServer } = await import('node:http');
  const path = join(folder.path, 'other.sock');
  const server = createServer((_, response) => response.writeHead(302).end('<html>'));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const argv = ['check', '--service', 'osd', '--caps', b64(new Uint8Array(3)), '--pool', 'p'];
  const { code, err } = await run([...argv, '--socket', path]);
  expect([code, err]).toEqual([
    3,
    'cephgate check: cannot ask the sidecar: 302: the answer is no problem document\n',
  ]);
  await new Promise((resolve) => server.close(resolve));
});
