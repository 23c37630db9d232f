/**
 * Plain requests, which are read past Node's HTTP machinery (plainrequest.ts, plainconnections.ts):
 * what is taken means the same to Node's own parser, and a connection that brings anything else
 * goes on at Node's server as if nothing had been before it. Not run on Deno, which has neither.
 */

import { Buffer } from 'node:buffer';
import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { Outgoing } from '../src/http/direct.ts';
import { PlainConnections, type PlainOptions } from '../src/http/plainconnections.ts';
import { type PlainRequest, parsePlain } from '../src/http/plainrequest.ts';
import { type Raw, RawHttp } from './raw-http.ts';
import { Rng, seedOf } from './rng.ts';

const CASES = 1_500;
const http = new RawHttp();
afterEach(() => http.close());

interface Served {
  readonly port: number;
  readonly server: Server;
  readonly plain: PlainConnections;
  /** What was asked, by either way. */
  readonly plainly: PlainRequest[];
  readonly byNode: string[];
}

/** A server that answers with the body it got; behind `N:` where it came by Node's parser. */
async function serve(options: Partial<PlainOptions> = {}): Promise<Served> {
  const plainly: PlainRequest[] = [];
  const byNode: string[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('latin1').on('data', (text) => {
      body += text;
    });
    request.on('end', () => {
      byNode.push(body);
      response.end(`N:${body}`);
    });
  });
  const plain = new PlainConnections(server, 'connection', {
    waits: options.waits ?? ((path, length) => path === '/a' && length <= 100_000),
    answer(request, outgoing, socket) {
      plainly.push(request);
      return (options.answer ?? echo)(request, outgoing, socket);
    },
    firstMs: options.firstMs ?? 10_000,
    keepAliveMs: options.keepAliveMs ?? 5_000,
  });
  return { port: await http.listen(server), server, plain, plainly, byNode };
}

function echo(request: PlainRequest, outgoing: Outgoing): boolean {
  send(outgoing, bodyOf(request));
  return true;
}

function bodyOf({ pieces }: PlainRequest): string {
  return Buffer.concat(pieces).toString('latin1');
}

function send(outgoing: Outgoing, body: string, headers: Record<string, string> = {}): void {
  const all = { ...headers, 'content-length': `${Buffer.byteLength(body)}` };
  outgoing.send({ status: 200, headers: all, body, done: undefined });
}

const post = (body: string, more = ''): string =>
  `POST /a HTTP/1.1\r\nHost: h\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
/** The bodies of what has come. */
const bodies = ({ text }: Raw): string[] =>
  text
    .split('HTTP/1.1 200 OK\r\n')
    .slice(1)
    .map((each) => each.slice(each.indexOf('\r\n\r\n') + 4));
const come = (raw: Raw, wanted: string[]): Promise<void> =>
  expect.poll(() => bodies(raw), { interval: 2 }).toEqual(wanted);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('a plain request', () => {
  const parse = (text: string): PlainRequest | undefined => parsePlain(Buffer.from(text, 'latin1'));

  it('is read as what it is', () => {
    const request = parse(
      post('{"a":1}', 'X-Y: \t b, c\t \r\nEmpty:\r\nconnection: Keep-Alive\r\n'),
    )!;
    expect(request.path).toBe('/a');
    expect(bodyOf(request)).toBe('{"a":1}');
    expect(request.missing).toBe(0);
    expect(request.headers.get('x-y')).toBe('b, c');
    expect(request.headers.get('empty')).toBe('');
    expect(request.headers.has('empty')).toBe(true);
    expect(request.headers.get('X-Y')).toBeNull();
    expect(request.headers.has('none')).toBe(false);
  });

  it.each([
    ['another method', post('b').replace('POST', 'PUT')],
    ['a method in lower case', post('b').replace('POST', 'post')],
    ['a query', post('b').replace('/a', '/a?b')],
    ['a whole URL', post('b').replace('/a', 'http://h/a')],
    ['an escape', post('b').replace('/a', '/%61')],
    ['two spaces', post('b').replace(' /a', '  /a')],
    ['another version', post('b').replace('1.1', '1.0')],
    ['a line before it', `\r\n${post('b')}`],
    ['more than its body', `${post('b')}x`],
    ['no length', post('b').replace(/Content-Length: .*\r\n/, '')],
    ['a length with a sign', post('b').replace('Length: 1', 'Length: +1')],
    ['a length with a zero before it', post('b').replace('Length: 1', 'Length: 01')],
    ['a length of another base', post('b').replace('Length: 1', 'Length: 0x1')],
    ['two lengths in one', post('b').replace('Length: 1', 'Length: 1, 1')],
    ['two lengths', post('b', 'content-length: 1\r\n')],
    ['no host', post('b').replace('Host: h\r\n', '')],
    ['two hosts', post('b', 'HOST: h\r\n')],
    ['chunks', post('b', 'Transfer-Encoding: chunked\r\n')],
    ['an expectation', post('b', 'Expect: 100-continue\r\n')],
    ['an upgrade', post('b', 'Upgrade: h2c\r\n')],
    ['an end of the connection', post('b', 'Connection: close\r\n')],
    ['several options of the connection', post('b', 'Connection: keep-alive, te\r\n')],
    ['an option for a proxy', post('b', 'Proxy-Connection: close\r\n')],
    ['trailers', post('b', 'TE: trailers\r\n')],
    ['a folded line', post('b', 'X: a\r\n b\r\n')],
    ['a space before the colon', post('b', 'X : a\r\n')],
    ['a name that is none', post('b', 'X(: a\r\n')],
    ['no name', post('b', ': a\r\n')],
    ['no colon', post('b', 'X\r\n')],
    ['a line that ends with LF', post('b', 'X: a\n')],
    ['a line that ends with CR', post('b', 'X: a\rY: b\r\n')],
    ['a zero', post('b', 'X: a\0\r\n')],
    ['a byte that is no ASCII', post('b', 'X: \xe4\r\n')],
    ['a head without an end', 'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n'],
    ['a head that is too long', post('b', `X: ${'y'.repeat(2_048)}\r\n`)],
    ['nothing', ''],
  ])('is not one with %s', (_, text) => {
    expect(parse(text)).toBeUndefined();
  });

  it(`means the same to Node (${CASES} altered heads)`, { timeout: 60_000 }, async () => {
    const seed = seedOf(41);
    const rng = new Rng(seed);
    const seen: { url: string; headers: NodeJS.Dict<string | string[]>; body: string }[] = [];
    const server = createServer((request, response) => {
      const body: Buffer[] = [];
      request.on('data', (bytes) => body.push(bytes));
      request.on('end', () => {
        const { url = '', headers } = request;
        seen.push({ url, headers, body: Buffer.concat(body).toString('latin1') });
        response.end();
      });
    });
    const port = await http.listen(server);
    let taken = 0;
    for (let n = 0; n < CASES; n++) {
      const bytes = altered(rng);
      const request = parsePlain(bytes);
      if (request === undefined || request.missing > 0) continue;
      taken += 1;
      seen.length = 0;
      const raw = await http.open(port);
      raw.socket.write(bytes);
      await expect.poll(() => raw.text, { interval: 1 }).toMatch(/^HTTP\/1\.1 200 /);
      raw.socket.destroy();
      expect(seen).toHaveLength(1);
      const { url, headers, body } = seen[0]!;
      const said = JSON.stringify(bytes.toString('latin1'));
      expect([url, body], said).toEqual([request.path, bodyOf(request)]);
      for (const [name, value] of Object.entries(headers)) {
        if (typeof value === 'string') expect(request.headers.get(name), said).toBe(value);
        expect(request.headers.has(name), said).toBe(true);
      }
    }
    console.log(`altered heads: seed ${seed}, ${taken} of ${CASES} plain`);
    expect(taken).toBeGreaterThan(CASES / 5);
    expect(taken).toBeLessThan((CASES * 4) / 5);
  });
});

/** A request with up to three changes: bytes that mean something, doubled lines, other lengths. */
function altered(rng: Rng): Buffer {
  const body =
    'x'.repeat(rng.int(4)) + rng.pick(['', '\r\n\r\n', '{}', 'POST /a HTTP/1.1\r\n\r\n']);
  const lines = [
    'POST /v1/a HTTP/1.1',
    'Host: h',
    `Content-Length: ${body.length + (rng.chance(0.1) ? rng.int(5) - 2 : 0)}`,
    ...['X-A: b', 'Accept: */*', 'Connection: keep-alive', 'x: \t ', 'Cookie: a=b; c'].filter(() =>
      rng.chance(0.5),
    ),
  ];
  if (rng.chance(0.1)) lines.push(rng.pick(lines));
  const bytes = Buffer.from(`${lines.join(rng.chance(0.95) ? '\r\n' : '\n')}\r\n\r\n${body}`);
  for (let changes = rng.int(4); changes > 0; changes--) {
    const at = rng.int(bytes.length);
    bytes[at] = rng.chance(0.5) ? rng.pick(MEANT).charCodeAt(0) : rng.int(256);
  }
  return bytes;
}

const MEANT = [...'\r\n :\t\0aZ0-,;"()/'];

describe('a connection', () => {
  it('brings one plain request after the other', async () => {
    const served = await serve();
    const raw = await http.open(served.port);
    const wanted: string[] = [];
    for (let n = 0; n < 20; n++) {
      raw.socket.write(post(`${n}`));
      wanted.push(`${n}`);
      await come(raw, wanted);
    }
    expect(served.plainly).toHaveLength(20);
    expect(served.byNode).toEqual([]);
    expect(raw.text).toMatch(/^HTTP\/1\.1 200 OK\r\ncontent-length: 1\r\nDate: [^\r]* GMT\r\n/);
    expect(raw.text).toContain('\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n');
  });

  it('waits for a body, and goes on at the server where a head is cut', async () => {
    const served = await serve();
    const text = post('cut');
    const bodyAt = text.indexOf('\r\n\r\n') + 4;
    const cuts = Array.from({ length: text.length - 1 }, (_, n) => n + 1);
    await Promise.all(
      cuts.map(async (cut) => {
        const raw = await http.open(served.port);
        const by = cut < bodyAt ? 'N:' : '';
        raw.socket.write(post('whole'));
        await come(raw, ['whole']);
        raw.socket.write(text.slice(0, cut));
        await pause(20);
        raw.socket.write(text.slice(cut));
        await come(raw, ['whole', `${by}cut`]);
        raw.socket.write(post('more'));
        await come(raw, ['whole', `${by}cut`, `${by}more`]);
      }),
    );
    expect(served.byNode).toHaveLength(2 * (bodyAt - 1));
  });

  it('waits for a long body in many pieces', async () => {
    const served = await serve();
    const raw = await http.open(served.port);
    const body = Array.from({ length: 2_000 }, (_, n) => `${n}`).join(' ');
    for (let at = 0; at < 2; at++) {
      const text = post(body);
      for (let from = 0; from < text.length; from += 1_000) {
        raw.socket.write(text.slice(from, from + 1_000));
        await pause(1);
      }
      await come(raw, [body, body].slice(0, at + 1));
    }
    expect(served.byNode).toEqual([]);
  });

  it.each([
    ['does not come', 'x'.repeat(5_000), { pause: 150 }],
    ['is longer than is waited for here', 'x'.repeat(100_001), { pause: 20 }],
    ['has more behind it', `x${post('y')}`, { pause: 20, length: 1 }],
  ])('goes on at the server with a body that %s', async (_, body, how) => {
    const served = await serve();
    const raw = await http.open(served.port);
    const text = 'length' in how ? post('x') + body.slice(1) : post(body);
    const cut = text.indexOf('\r\n\r\n') + 4;
    raw.socket.write(text.slice(0, cut));
    await pause(how.pause);
    raw.socket.write(text.slice(cut));
    await come(raw, 'length' in how ? ['N:x', 'N:y'] : [`N:${body}`]);
    expect(served.plainly).toEqual([]);
  });

  it.each(['end', 'resetAndDestroy'] as const)('is abandoned in a body by %s', async (way) => {
    const served = await serve();
    const raw = await http.open(served.port);
    raw.socket.write(post('x').replace('Length: 1', 'Length: 2'));
    await pause(20);
    raw.socket[way]();
    await raw.closed;
    await expect.poll(() => served.plainly.map(({ missing }) => missing)).toEqual([1]);
    expect(raw.text).toBe('');
    await pause(150);
    expect(served.byNode).toEqual([]);
  });

  it('goes on at the server with all that came at once, in order', async () => {
    const served = await serve();
    const raw = await http.open(served.port);
    raw.socket.write(post('1'));
    await come(raw, ['1']);
    raw.socket.write(post('2') + post('3') + post('4').slice(0, 9));
    await come(raw, ['1', 'N:2', 'N:3']);
    raw.socket.write(post('4').slice(9));
    await come(raw, ['1', 'N:2', 'N:3', 'N:4']);
    const nonsense = await http.open(served.port);
    nonsense.socket.write('nonsense\r\n\r\n');
    await nonsense.closed;
    expect(nonsense.text).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('goes on at the server with a request that is not answered here', async () => {
    const served = await serve({ answer: () => false });
    const raw = await http.open(served.port);
    raw.socket.write(post('1'));
    await come(raw, ['N:1']);
    raw.socket.write(post('2'));
    await come(raw, ['N:1', 'N:2']);
    expect(served.plainly).toHaveLength(1);
  });

  it('waits with the next request for an answer that comes later', async () => {
    const due: (() => void)[] = [];
    let free = 0;
    const served = await serve({
      answer(request, outgoing) {
        const [body, headers] = [bodyOf(request), { 'content-length': '1' }];
        const done = (): void => {
          free += 1;
        };
        due.push(() => outgoing.send({ status: 200, headers, body, done }));
        return true;
      },
    });
    const raw = await http.open(served.port);
    raw.socket.write(post('1'));
    await expect.poll(() => due.length).toBe(1);
    raw.socket.write(post('2'));
    await pause(50);
    expect(due).toHaveLength(1);
    due[0]!();
    await expect.poll(() => due.length).toBe(2);
    due[1]!();
    await come(raw, ['1', '2']);
    raw.socket.write(post('3'));
    await expect.poll(() => due.length).toBe(3);
    raw.socket.resetAndDestroy();
    await pause(50);
    // Nobody is there any more: the bytes are free at once.
    due[2]!();
    expect(free).toBe(3);
    expect(served.byNode).toEqual([]);
  });

  it('gets its answer when the client has ended its side', async () => {
    const served = await serve();
    const raw = await http.open(served.port);
    raw.socket.end(post('1'));
    await raw.closed;
    expect(bodies(raw)).toEqual(['1']);
  });

  it('is ended behind an answer that says so', async () => {
    const served = await serve({
      answer(_, outgoing) {
        send(outgoing, 'ä', { connection: 'close' });
        return true;
      },
    });
    const raw = await http.open(served.port);
    raw.socket.write(post('1'));
    await raw.closed;
    expect(raw.text).not.toMatch(/keep-alive/i);
    expect(raw.text).toContain('content-length: 2\r\n');
    expect(raw.text.endsWith(Buffer.from('ä').toString('latin1'))).toBe(true);
  });

  it('is asked nothing more behind an answer that ends it, though that is not taken', async () => {
    const served = await serve({
      answer(_, outgoing) {
        send(outgoing, 'x'.repeat(20_000_000), { connection: 'close' });
        return true;
      },
    });
    const raw = await http.open(served.port);
    raw.socket.pause();
    for (const body of ['1', '2', '3']) {
      raw.socket.write(post(body));
      await pause(30);
    }
    expect(served.plainly).toHaveLength(1);
    raw.socket.resume();
    await raw.closed;
    expect(served.byNode).toEqual([]);
  });

  it('is not heard while it does not take its answers', async () => {
    const large = 'x'.repeat(1_000_000);
    const served = await serve({
      answer(_, outgoing) {
        send(outgoing, large);
        return true;
      },
    });
    const raw = await http.open(served.port);
    raw.socket.pause();
    for (let n = 0; n < 60; n++) {
      raw.socket.write(post(`${n}`));
      await pause(2);
    }
    await pause(100);
    const heard = served.plainly.length;
    expect(heard).toBeLessThan(30);
    raw.socket.resume();
    // What waited came at once, so the rest is the server's.
    await expect.poll(() => served.plainly.length + served.byNode.length).toBe(60);
    await expect.poll(() => raw.text.length).toBeGreaterThan(heard * large.length);
  });

  it('says of bytes that they have gone out when they have', async () => {
    const [length, letters] = [1_000_000, [...'abcdefghijklmnopqrst']];
    let gone = 0;
    const served = await serve({
      answer({ pieces }, outgoing) {
        const body = new Uint8Array(length).fill(pieces[0]![0]!);
        const done = (): void => {
          gone += 1;
          body.fill(0);
        };
        outgoing.send({ status: 200, headers: { 'content-length': `${length}` }, body, done });
        return true;
      },
    });
    const raw = await http.open(served.port);
    raw.socket.pause();
    for (const letter of letters) {
      raw.socket.write(post(letter));
      await pause(5);
    }
    const heard = served.plainly.length;
    expect(gone).toBeLessThan(heard);
    raw.socket.resume();
    await expect.poll(() => gone).toBeGreaterThanOrEqual(heard);
    const wanted = letters.slice(0, heard).map((letter) => letter.repeat(length));
    await expect.poll(() => bodies(raw).slice(0, heard).join('') === wanted.join('')).toBe(true);
  });

  it('is ended when it is silent, before a request and behind one, not in one', async () => {
    const later: Outgoing[] = [];
    const served = await serve({
      firstMs: 300,
      keepAliveMs: 100,
      answer(request, outgoing) {
        if (bodyOf(request).length === 1) return echo(request, outgoing);
        later.push(outgoing);
        return true;
      },
    });
    const started = performance.now();
    const [silent, one, long] = await Promise.all([1, 2, 3].map(() => http.open(served.port)));
    one!.socket.write(post('1'));
    long!.socket.write(post('long'));
    await one!.closed;
    expect(performance.now() - started).toBeLessThan(290);
    await silent!.closed;
    expect(performance.now() - started).toBeGreaterThan(290);
    await pause(200);
    expect(long!.socket.destroyed).toBe(false);
    send(later[0]!, 'late');
    await come(long!, ['late']);
    await long!.closed;
  });

  it('is ended with the server: at once if it waits for nothing, or with its answer', async () => {
    const later: Outgoing[] = [];
    const served = await serve({
      answer(request, outgoing) {
        if (bodyOf(request).length === 1) return echo(request, outgoing);
        later.push(outgoing);
        return true;
      },
    });
    const [fresh, idle, busy, stuck] = await Promise.all(
      [1, 2, 3, 4].map(() => http.open(served.port)),
    );
    idle!.socket.write(post('1'));
    busy!.socket.write(post('busy'));
    stuck!.socket.write(post('stuck'));
    await come(idle!, ['1']);
    await expect.poll(() => later.length).toBe(2);
    const ended = new Promise<void>((resolve) => served.server.close(() => resolve()));
    served.plain.close();
    await Promise.all([fresh!.closed, idle!.closed]);
    expect(busy!.socket.destroyed).toBe(false);
    send(later[0]!, 'done');
    await busy!.closed;
    expect(bodies(busy!)).toEqual(['done']);
    served.plain.closeAll();
    await stuck!.closed;
    await ended;
  });
});
