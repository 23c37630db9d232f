/** Real listeners: what is open and to whom, half-sent requests, stale sockets. */

import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ListenError } from '../src/errors.ts';
import { parseTokens } from '../src/http/callers.ts';
import {
  type ListenAddress,
  type ListenOptions,
  listen,
  type OpenListener,
  parseListen,
} from '../src/http/listen.ts';
import { b64, Kit, osdTicket } from './http-kit.ts';
import { hangUpOnDeno } from './spawn.ts';

const folder = mkdtempSync(join(tmpdir(), 'cephgate-listen-'));
afterAll(() => rmSync(folder, { recursive: true }));

let kit: Kit;
let open: OpenListener[] = [];
beforeAll(async () => {
  kit = await Kit.create({ body: { lenMax: 1_048_576, timeoutMs: 300 } });
});
afterEach(async () => {
  await Promise.all(open.map((each) => each.close(100)));
  open = [];
});

const TCP: ListenAddress = { kind: 'tcp', host: '127.0.0.1', port: 0 };
const fetch = (request: Request, bindings: { listener: never }): Response | Promise<Response> =>
  kit.app.fetch(request, bindings);

async function start(
  address: ListenAddress,
  options: Partial<ListenOptions> = {},
): Promise<string> {
  const opened = await listen(fetch as never, [address], { allowHosts: [], ...options });
  open.push(...opened);
  return opened[0]!.name;
}

interface Reply {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects to be there
  readonly body: any;
}

function send(
  where: { socketPath: string } | { host: string; port: number },
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST';
    const all = { 'content-type': 'application/json', ...headers };
    const request = httpRequest({ ...where, path, method, headers: all }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, body: JSON.parse(text) }));
    });
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Sends raw bytes and resolves with all that came back when the server closes. */
function raw(name: string, text: string, keepOpen = true): Promise<string> {
  const { hostname, port } = new URL(name);
  return new Promise((resolve) => {
    let got = '';
    const socket: Socket = connect(Number(port), hostname, () => {
      socket.write(text);
      if (!keepOpen) socket.end();
    });
    socket.on('data', (chunk) => {
      got += chunk;
      hangUpOnDeno(socket);
    });
    socket.on('close', () => resolve(got));
    socket.on('error', () => undefined);
  });
}

function place(name: string): { host: string; port: number } {
  const { hostname, port } = new URL(name);
  return { host: hostname.replace(/[[\]]/g, ''), port: Number(port) };
}

describe('a TCP listener', () => {
  it('finds a port, answers, and gives callers only verdicts', async () => {
    const name = await start(TCP);
    expect(name).toMatch(/^http:\/\/127\.0\.0\.1:[0-9]+$/);
    const authorizer = b64(osdTicket().authorizer());
    const { status, body } = await send(place(name), '/v1/verify', { service: 'osd', authorizer });
    expect([status, body.decision, body.freshness]).toEqual([200, true, 'none']);
  });

  it('listens on ::1 and localhost too', async () => {
    for (const host of ['::1', 'localhost']) {
      const name = await start({ kind: 'tcp', host, port: 0 });
      expect((await send(place(name), '/livez')).status).toBe(200);
    }
  });

  it.each(['0.0.0.0', '::', '192.0.2.1', 'example.com', '127.0.0.1.example.com', '10.0.0.1'])(
    'refuses %s: no TLS',
    async (host) => {
      await expect(start({ kind: 'tcp', host, port: 0 })).rejects.toThrow('loopback');
      const tokens = parseTokens(`accept ${'t'.repeat(20)}`, 'F');
      await expect(start({ kind: 'tcp', host, port: 0 }, { tokens })).rejects.toThrow('loopback');
    },
  );

  it('knows its Host and the names that were allowed', async () => {
    const name = await start(TCP, { allowHosts: ['Gate.example', 'other.example:80'] });
    const { port } = place(name);
    const ask = async (host: string): Promise<number> =>
      (await send(place(name), '/livez', undefined, { host })).status;
    expect(await ask(`127.0.0.1:${port}`)).toBe(200);
    expect(await ask(`localhost:${port}`)).toBe(200);
    expect(await ask(`gate.example:${port}`)).toBe(200);
    expect(await ask('other.example:80')).toBe(200);
    expect(await ask('evil.example')).toBe(403);
    expect(await ask(`evil.example:${port}`)).toBe(403);
    expect(await ask('gate.example')).toBe(403);
    const origin = { origin: 'http://localhost' };
    expect((await send(place(name), '/livez', undefined, origin)).status).toBe(403);
  });

  it('in use is said so', async () => {
    const name = await start(TCP);
    const again = start({ ...TCP, port: place(name).port } as ListenAddress);
    await expect(again).rejects.toMatchObject({ code: 'listen.in_use' });
  });

  it('that fails closes those that were opened', async () => {
    const path = join(folder, 'all.sock');
    const bad: ListenAddress = { kind: 'tcp', host: '0.0.0.0', port: 0 };
    const all = listen(fetch as never, [{ kind: 'unix', path }, bad], { allowHosts: [] });
    await expect(all).rejects.toThrow(ListenError);
    expect(existsSync(path)).toBe(false);
  });

  it('with tokens asks for them', async () => {
    const token = 'some-token-some-token';
    const name = await start(TCP, { tokens: parseTokens(`accept ${token}`, 'F') });
    const request = { service: 'osd', authorizer: b64(osdTicket().authorizer()) };
    expect((await send(place(name), '/v1/verify', request)).status).toBe(401);
    const headers = { authorization: `Bearer ${token}` };
    const { body } = await send(place(name), '/v1/verify', request, headers);
    expect(body.challenge_state).toBeTypeOf('string');
  });
});

describe('a unix listener', () => {
  it('has mode 0660 from the start and gives all rights', async () => {
    const path = join(folder, 'mode.sock');
    const umask = process.umask(0o002);
    try {
      expect(await start({ kind: 'unix', path })).toBe(`unix:${path}`);
      expect(process.umask()).toBe(0o002);
    } finally {
      process.umask(umask);
    }
    expect(statSync(path).mode & 0o7777).toBe(0o660);
    const authorizer = b64(osdTicket().authorizer());
    const request = { service: 'osd', authorizer };
    const { body } = await send({ socketPath: path }, '/v1/verify', request);
    expect(body.reason.code).toBe('authorizer.challenge_required');
  });

  it('is removed when it closes', async () => {
    const path = join(folder, 'gone.sock');
    await start({ kind: 'unix', path });
    await open[0]!.close(100);
    open = [];
    expect(existsSync(path)).toBe(false);
  });

  it('is not taken from a process that lives', async () => {
    const path = join(folder, 'busy.sock');
    await start({ kind: 'unix', path });
    const again = start({ kind: 'unix', path });
    await expect(again).rejects.toMatchObject({ code: 'listen.in_use' });
    expect((await send({ socketPath: path }, '/livez')).status).toBe(200);
  });

  it('takes the place of a stale socket, of nothing else', async () => {
    const path = join(folder, 'stale.sock');
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(path, resolve));
    // Closing would remove it: a crash leaves the file, which renaming imitates.
    const { renameSync } = await import('node:fs');
    renameSync(path, `${path}.kept`);
    await new Promise((resolve) => dead.close(resolve));
    renameSync(`${path}.kept`, path);
    await start({ kind: 'unix', path });
    expect((await send({ socketPath: path }, '/livez')).status).toBe(200);
    const file = join(folder, 'file.sock');
    writeFileSync(file, 'precious');
    await expect(start({ kind: 'unix', path: file })).rejects.toThrow('it is not a socket');
    expect(existsSync(file)).toBe(true);
  });

  it('with too long a path is refused', async () => {
    const path = join(folder, 'x'.repeat(108));
    await expect(start({ kind: 'unix', path })).rejects.toThrow('longer than 107 bytes');
  });
});

describe('requests that are half there', () => {
  const HEAD = (name: string, more: string): string =>
    `POST /v1/verify HTTP/1.1\r\nHost: ${new URL(name).host}\r\n` +
    `Content-Type: application/json\r\n${more}\r\n\r\n`;

  it('a body that stops is answered and cut off, others go on', async () => {
    const name = await start(TCP);
    const stuck = Array.from({ length: 20 }, () =>
      raw(name, `${HEAD(name, 'Content-Length: 1000')}{"service": "osd", "auth`),
    );
    const chunked = raw(name, `${HEAD(name, 'Transfer-Encoding: chunked')}5\r\n{"ser\r\n`);
    expect((await send(place(name), '/livez')).status).toBe(200);
    for (const text of await Promise.all([...stuck, chunked])) {
      expect(text).toMatch(/^HTTP\/1\.1 408 /);
      expect(text).toContain('body.timeout');
    }
    expect((await send(place(name), '/livez')).status).toBe(200);
  });

  it('a client that goes away in the middle harms nobody', async () => {
    const name = await start(TCP);
    const text = `${HEAD(name, 'Content-Length: 1000')}{"service`;
    await Promise.all(Array.from({ length: 20 }, () => raw(name, text, false)));
    expect((await send(place(name), '/livez')).status).toBe(200);
  });

  it('10 MB are refused without being read', async () => {
    const name = await start(TCP);
    const head = HEAD(name, 'Content-Length: 10000000');
    const text = await raw(name, head + 'x'.repeat(100_000));
    expect(text).toMatch(/^HTTP\/1\.1 413 /);
    const chunk = `${(65_536).toString(16)}\r\n${'x'.repeat(65_536)}\r\n`;
    const chunked = HEAD(name, 'Transfer-Encoding: chunked') + chunk.repeat(20);
    expect(await raw(name, chunked)).toMatch(/^HTTP\/1\.1 413 /);
    expect((await send(place(name), '/livez')).status).toBe(200);
  });

  it.each([
    ['noise', '\u0016\u0003\u0001\u0002\r\n\r\n'],
    ['no Host', 'GET /livez HTTP/1.1\r\n\r\n'],
    ['HTTP/1.0 without Host', 'GET /livez HTTP/1.0\r\n\r\n'],
    ['a Host that is none', 'GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n'],
    ['a huge header', `GET /livez HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`],
    ['two lengths', 'POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
  ])('%s is refused', async (_, text) => {
    const name = await start(TCP);
    expect(await raw(name, text)).toMatch(/^HTTP\/1\.[01] 4[0-9]{2} /);
    expect((await send(place(name), '/livez')).status).toBe(200);
  });
});

describe('closing', () => {
  it('lets a running request end', async () => {
    const name = await start(TCP);
    const running = raw(
      name,
      `POST /v1/verify HTTP/1.1\r\nHost: ${new URL(name).host}\r\n` +
        'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
    );
    // Several turns of the event loop, so that it has surely come in.
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    await open[0]!.close(5_000);
    open = [];
    // Deno lets the answer out, but no more of the body in.
    expect(await running).toMatch(/body\.(?:timeout|incomplete)/);
    await expect(send(place(name), '/livez')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});

it.each<[string, ListenAddress | undefined]>([
  ['unix:/run/x.sock', { kind: 'unix', path: '/run/x.sock' }],
  ['unix:rel.sock', { kind: 'unix', path: 'rel.sock' }],
  ['tcp:127.0.0.1:6480', { kind: 'tcp', host: '127.0.0.1', port: 6480 }],
  ['tcp:[::1]:0', { kind: 'tcp', host: '::1', port: 0 }],
  ['tcp:LOCALHOST:1', { kind: 'tcp', host: 'localhost', port: 1 }],
  ['unix:', undefined],
  ['tcp:127.0.0.1', undefined],
  ['tcp:::1:80', undefined],
  ['tcp:h:65536', undefined],
  ['tcp:h:', undefined],
  ['http://h:1', undefined],
  ['', undefined],
])('%s is %j', (text, address) => {
  expect(parseListen(text)).toEqual(address);
});
