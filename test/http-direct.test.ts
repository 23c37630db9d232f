/**
 * The short ways on Node (direct.ts) and the long one by Hono are one sidecar: the same bytes over
 * a socket get the same answer, the same log lines and the same facts for the metrics, whichever
 * way they go: each is sent to end its connection, which goes by Node's parser, and to keep it,
 * which may go by our own. Not run on Deno, whose server has no short way.
 */

import { Buffer } from 'node:buffer';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RecordWriter } from '../src/engine/index.ts';
import { StoreError } from '../src/errors.ts';
import { createApp } from '../src/http/app.ts';
import { parseTokens } from '../src/http/callers.ts';
import type { AppDeps } from '../src/http/deps.ts';
import { type Direct, makeDirect } from '../src/http/direct.ts';
import { listen, type OpenListener } from '../src/http/listen.ts';
import { RateLimiter } from '../src/http/ratelimit.ts';
import type { DecisionFacts, RequestFacts } from '../src/observe/facts.ts';
import { b64, challengeIn, Kit, newConnection, osdTicket } from './http-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { temporaryFolder } from './spawn.ts';

const CASES = 1_000;
const TOKEN = 'token-of-a-test-0123456789';
const folder = temporaryFolder('direct');
const facts: unknown[] = [];
let kit: Kit;
let deps: { -readonly [K in keyof AppDeps]: AppDeps[K] };
let open: OpenListener[] = [];
/** How many requests took the short way: by Node's parser, and by our own. */
const short = { request: 0, plain: 0 };
const ways = { short: { tcp: 0, unix: '' }, long: { tcp: 0, unix: '' } };
type Way = keyof typeof ways;

beforeAll(async () => {
  kit = await Kit.create({ body: { lenMax: 60_000, timeoutMs: 400 } });
  const observe: AppDeps['observe'] = {
    request: (each: RequestFacts) => void facts.push({ ...each, seconds: 0 }),
    decision({ verdict, authorizer, ...each }: DecisionFacts) {
      facts.push({ ...each, of: authorizer?.length, source: verdict?.reason });
      return false;
    },
    allowed: () => undefined,
    framesOpened: () => undefined,
    framesClosed: () => undefined,
    framesEnded: () => undefined,
    behind: () => false,
    metrics: async () => ({ contentType: '', text: '' }),
  };
  deps = { ...kit.deps, observe };
  const app = createApp(deps);
  const direct = makeDirect(deps);
  const count = (way: keyof typeof short, taken: boolean): boolean => {
    if (taken) short[way] += 1;
    return taken;
  };
  const counted: Direct = {
    waits: direct.waits,
    request: (...asked) => count('request', direct.request(...asked)),
    plain: (...asked) => count('plain', direct.plain(...asked)),
  };
  for (const way of ['short', 'long'] as const) {
    ways[way].unix = join(folder.path, way);
    const opened = await listen(
      app.fetch.bind(app),
      [
        { kind: 'tcp', host: '127.0.0.1', port: 0 },
        { kind: 'unix', path: ways[way].unix },
      ],
      { allowHosts: ['a.test:1'], direct: way === 'short' ? counted : undefined },
    );
    ways[way].tcp = Number(new URL(opened[0]!.name).port);
    open = [...open, ...opened];
  }
});
afterAll(async () => {
  await Promise.all(open.map((each) => each.close(100)));
  folder.remove();
});

/** All that a request says but its last blank line and its body. */
interface Asked {
  readonly line?: string;
  readonly host?: string | undefined;
  readonly headers?: readonly string[];
  readonly body?: Uint8Array | string;
  /** Sent instead of the body's length. */
  readonly length?: string | undefined;
  readonly tcp?: boolean;
  /** The client hangs up behind what it has sent. */
  readonly hangUp?: boolean;
  /** The client asks for no end of the connection, and ends it when it has its answer. */
  readonly keep?: boolean;
  /** It leaves that to the server. */
  readonly waits?: boolean;
}

interface Seen {
  readonly status: string;
  readonly headers: string;
  readonly body: string;
  readonly logs: string;
  readonly facts: string;
}

/** One request on a connection of its own. */
async function ask(way: Way, asked: Asked): Promise<Seen> {
  const { line = 'POST /v1/verify HTTP/1.1', host, headers = [JSON_TYPE], tcp = false } = asked;
  const body = Buffer.from(asked.body ?? '');
  const named = host ?? (tcp ? `127.0.0.1:${ways[way].tcp}` : 'localhost');
  const length = asked.length ?? `content-length: ${body.length}`;
  const close = asked.keep === true ? '' : 'connection: close';
  const head = [line, `host: ${named}`, close, length, ...headers].filter(Boolean);
  const to = tcp ? { host: '127.0.0.1', port: ways[way].tcp } : { path: ways[way].unix };
  kit.logs.length = 0;
  facts.length = 0;
  const text = await new Promise<string>((resolve, reject) => {
    const pieces: Buffer[] = [];
    const socket = connect(to, () => {
      socket.write(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]));
      if (asked.hangUp === true) setTimeout(() => socket.destroy(), 30);
    });
    socket.on('data', (bytes) => {
      pieces.push(bytes as Buffer);
      if (asked.keep === true && asked.waits !== true && isWhole(Buffer.concat(pieces)))
        socket.end();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(pieces).toString()));
  });
  if (asked.hangUp === true) await new Promise((resolve) => setTimeout(resolve, 50));
  const end = text.indexOf('\r\n\r\n');
  const [status = '', ...fields] = text.slice(0, Math.max(0, end)).split('\r\n');
  const answer = withoutChance(text.slice(end + 4));
  return {
    status,
    headers: withoutChance(
      fields
        .map((field) => field.toLowerCase())
        .sort()
        .join('\n'),
    ),
    body: answer,
    logs: withoutChance(JSON.stringify(kit.logs)),
    facts: withoutChance(JSON.stringify(facts)),
  };
}

function isWhole(answer: Buffer): boolean {
  const end = answer.indexOf('\r\n\r\n');
  const length = /^content-length: *([0-9]+)/im.exec(answer.toString('latin1', 0, end))?.[1];
  return end >= 0 && answer.length >= end + 4 + Number(length ?? 0);
}

/** A text without what differs from one answer to the next. */
function withoutChance(text: string): string {
  return text
    .replace(/"(challenge|challenge_state|reply|session|receipt)":"[^"]+"/g, '"$1":""')
    .replace(/\b[0-9a-f]{24}\b/g, 'ID')
    .replace(/^date: .*$/m, 'date');
}

/** The same to both ways, kept and not; what both said when it was not. */
async function both(asked: Asked): Promise<Seen> {
  const kept = await ask('long', { ...asked, keep: true });
  expect(await ask('short', { ...asked, keep: true })).toEqual(kept);
  const long = await ask('long', asked);
  expect(await ask('short', asked)).toEqual(long);
  return long;
}

const JSON_TYPE = 'content-type: application/json';
const question = (fields: object = {}): Record<string, unknown> => ({
  ...{ service: 'osd', peer: '192.0.2.7', connection: 'c' },
  ...{ authorizer: b64(osdTicket({ aes: true }).authorizer()), ...fields },
});
const chunked = (body: string): string =>
  `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n0\r\n\r\n`;
const CHUNKED = 'transfer-encoding: chunked';

describe('the short way and the long one', () => {
  it('takes what is plainly a verify or a check, and nothing else', async () => {
    const taken = async (asked: Asked): Promise<boolean> => {
      Object.assign(short, { request: 0, plain: 0 });
      await both(asked);
      expect(short.plain).toBe(short.request);
      return short.plain === 1;
    };
    const body = JSON.stringify(question());
    expect(await taken({ body })).toBe(true);
    expect(await taken({ body, tcp: true })).toBe(true);
    expect(await taken({ line: 'POST /v1/check HTTP/1.1', body: '{}' })).toBe(true);
    expect(await taken({ line: 'POST /v1/frames HTTP/1.1', body: '{}' })).toBe(true);
    for (const line of [
      'POST /v1/verify? HTTP/1.1',
      'POST /v1/check?explain=true HTTP/1.1',
      'POST /v1/check?explain=maybe HTTP/1.1',
      'POST http://localhost/v1/verify HTTP/1.1',
      'POST /v1//verify HTTP/1.1',
      'POST /v1/verify/ HTTP/1.1',
      'POST /v1/%76erify HTTP/1.1',
      'PUT /v1/verify HTTP/1.1',
      'POST /v1/checks HTTP/1.1',
    ]) {
      expect(await taken({ line, body }), line).toBe(false);
    }
    for (const header of ['x-a: 1\r\nx-a: 2', 'content-type: text/plain', 'host: b.test']) {
      expect(await taken({ headers: [JSON_TYPE, header], body }), header).toBe(false);
    }
    for (const host of ['', 'a b', 'a/b', 'user@a', 'a:b', '[::1', 'ä.test']) {
      expect(await taken({ host, body }), host).toBe(false);
    }
  });

  it('refuses alike', async () => {
    const body = JSON.stringify(question());
    const said = async (asked: Asked): Promise<string> => {
      const seen = await both(asked);
      return JSON.parse(seen.body).code;
    };
    expect(await said({ headers: [], body })).toBe('body.content_type');
    expect(await said({ headers: ['content-type: text/plain'], body })).toBe('body.content_type');
    const packed = [JSON_TYPE, 'content-encoding: gzip'];
    expect(await said({ headers: packed, body })).toBe('body.content_type');
    expect(await said({ headers: [JSON_TYPE, 'origin: x'], body, tcp: true })).toMatch('origin');
    const site = [JSON_TYPE, 'sec-fetch-site: none'];
    expect(await said({ headers: site, body, tcp: true })).toBe('origin.refused');
    expect(await said({ host: 'b.test', body, tcp: true })).toBe('host.refused');
    expect(await said({ body: 'x'.repeat(60_001) })).toBe('body.too_large');
    expect(await said({ body: chunked('x'.repeat(60_001)), length: CHUNKED })).toMatch('too_large');
    expect(await said({ body: '{}' })).toBe('field.missing');
    expect(await said({ body: '{"service":"osd","service":"osd"}' })).toBe('body.not_json');
    expect(await said({ body: Buffer.from([0x22, 0xff, 0x22]) })).toBe('body.not_json');
    expect(await said({ body: '', length: 'content-length: 5' })).toBe('body.timeout');
    expect(await said({ body: JSON.stringify(question({ extra: 1 })) })).toBe('field.unknown');
    const secure = JSON.stringify(question({ secure: true }));
    expect(await said({ body: secure, tcp: true })).toBe('right.missing');
    const line = 'POST /v1/check HTTP/1.1';
    expect(await said({ line, body: '{"service":"osd","caps":"","op":1}', tcp: true })).toMatch(
      'right.missing',
    );
  });

  it('gives back the id of a request if it is one', async () => {
    const body = JSON.stringify(question());
    for (const id of ['of-a-caller', 'x'.repeat(64), 'x'.repeat(65), 'a b']) {
      const { headers } = await both({ headers: [JSON_TYPE, `cephgate-request-id: ${id}`], body });
      const own = /^[a-z-]{1,64}$/.test(id);
      expect(headers.includes(`cephgate-request-id: ${own ? id : 'ID'}`), id).toBe(true);
    }
  });

  it('is told of a client that goes away', async () => {
    const seen = await both({ body: '{"service', length: 'content-length: 100', hangUp: true });
    expect(seen.status).toBe('');
    expect(seen.facts).toContain('body.incomplete');
  });

  it('counts the time for which a body is waited for', async () => {
    const seconds: number[] = [];
    const { observe } = deps;
    deps.observe = { ...observe!, request: (each) => void seconds.push(each.seconds) };
    const body = JSON.stringify(question());
    for (const way of ['long', 'short'] as const) {
      for (const close of ['', 'connection: close\r\n']) {
        const socket = connect(ways[way].unix);
        const length = `content-length: ${body.length}`;
        const head = `POST /v1/verify HTTP/1.1\r\nhost: h\r\n${JSON_TYPE}\r\n${close}${length}`;
        socket.write(`${head}\r\n\r\n{`);
        await new Promise((resolve) => setTimeout(resolve, 40));
        socket.write(body.slice(1));
        const answered = seconds.length + 1;
        await expect.poll(() => seconds.length).toBe(answered);
        socket.destroy();
      }
    }
    deps.observe = observe;
    for (const each of seconds) expect(each).toBeGreaterThan(0.03);
    expect(seconds).toHaveLength(4);
  });

  it('takes a body in chunks and in another spelling of the type', async () => {
    const body = chunked(JSON.stringify(question({ service: 'osd' })));
    const headers = ['Content-Type: APPLICATION/json; charset="utf-8"'];
    const seen = await both({ headers, body, length: CHUNKED });
    expect(JSON.parse(seen.body).reason.code).toBe('authorizer.challenge_required');
  });

  it('accepts alike, with session and receipt, and checks alike', async () => {
    const sessions: string[] = [];
    for (const way of ['long', 'short'] as const) {
      const ticket = osdTicket({ caps: 'allow r pool=rbd' });
      const base = { service: 'osd', connection: newConnection() };
      const say = async (path: string, body: object): Promise<Record<string, unknown>> => {
        const answer = await fetchUnix(way, path, body);
        return JSON.parse(answer) as Record<string, unknown>;
      };
      const first = await say('/v1/verify', { ...base, authorizer: b64(ticket.authorizer()) });
      const challenge = challengeIn(ticket, { body: first } as never);
      const { challenge_state } = first;
      const authorizer = b64(ticket.authorizer(challenge));
      const final = await say('/v1/verify', { ...base, authorizer, challenge_state });
      expect(final.reason).toEqual({ code: 'ok' });
      expect(Object.keys(final)).toContain('receipt');
      sessions.push(final.session as string);
    }
    for (const op of [{ pool: 'rbd', read: true }, { pool: 'rbd', write: true }, { pool: 1 }]) {
      const [long, short] = await Promise.all(
        (['long', 'short'] as const).map((way, n) =>
          fetchUnix(way, '/v1/check', { service: 'osd', session: sessions[n], op }),
        ),
      );
      expect(withoutChance(short!)).toBe(withoutChance(long!));
    }
  });

  it('answers frames alike, few and many, and what are none', async () => {
    const line = 'POST /v1/frames HTTP/1.1';
    const headers = ['content-type: application/octet-stream'];
    const frames = (count: number): Uint8Array => {
      const bytes = new Uint8Array(count * 1_024);
      const writer = new RecordWriter(bytes);
      for (let tag = 0; tag < count; tag++) {
        const authorizer = osdTicket({ aes: tag % 2 === 0 }).authorizer();
        const challenge = { mode: 'off' } as const;
        writer.verify({ service: 4, authorizer, challenge, tail: tag % 3 === 0 }, tag);
      }
      return bytes.subarray(0, writer.at);
    };
    const lengths = new Set<number>();
    for (const count of [0, 1, 2, 100]) {
      for (const tcp of [false, true]) {
        const seen = await both({ line, headers, body: frames(count), tcp });
        expect(seen.status, `${count} ${tcp}`).toBe('HTTP/1.1 200 OK');
        lengths.add(seen.body.length);
      }
    }
    expect(lengths.size).toBeGreaterThan(3);
    const code = async (asked: Asked): Promise<string> =>
      JSON.parse((await both({ line, headers, ...asked })).body).code;
    expect(await code({ body: 'abc' })).toBe('body.not_frames');
    expect(await code({ body: frames(2).subarray(0, -1) })).toBe('body.not_frames');
    expect(await code({ body: frames(2), headers: [JSON_TYPE] })).toBe('body.content_type');
    expect(await code({ body: new Uint8Array(60_001) })).toBe('body.too_large');
    expect(await code({ body: frames(2), length: 'content-length: 5000' })).toBe('body.timeout');
  });

  it('says alike that the sidecar ends, is in a hurry, or has failed', async () => {
    const body = JSON.stringify(question());
    const { state } = deps;
    state.draining = true;
    const ending = await both({ body });
    expect(ending.headers).toContain('connection: close');
    state.draining = false;
    const limit = { perSecond: 0.001, burst: 1 };
    for (const way of ['long', 'short'] as const) {
      const rates = new RateLimiter(limit);
      Object.defineProperty(state, 'rates', { value: rates, configurable: true, writable: true });
      await ask(way, { body });
      const refused = await ask(way, { body });
      expect(refused.status).toBe('HTTP/1.1 429 Too Many Requests');
      expect(refused.headers).toContain('retry-after: 1000');
    }
    Object.defineProperty(state, 'rates', { value: new RateLimiter(undefined), writable: true });
    const { clock } = deps;
    deps.clock = () => {
      throw new Error('canary');
    };
    const failed = await both({ body });
    deps.clock = clock;
    expect(failed.status).toBe('HTTP/1.1 500 Internal Server Error');
    expect(failed.body).not.toContain('canary');
  });

  it('loses a connection to a log or an observer that throws, and not the sidecar', async () => {
    const body = JSON.stringify(question());
    const { observe, log, clock } = deps;
    const fails = (): never => {
      throw new Error('canary');
    };
    deps.observe = { ...observe!, request: fails };
    await ask('short', { body });
    let calls = 0;
    deps.observe = { ...observe!, request: () => (++calls === 1 ? fails() : undefined) };
    // Nothing behind the one answer: it would be taken for the answer to what comes next.
    const kept = await ask('short', { body, keep: true, waits: true });
    expect(`${kept.status}${kept.body}`.match(/HTTP\/1\.1/g)).toHaveLength(1);
    deps.observe = observe;
    deps.log = fails;
    deps.clock = fails;
    expect((await ask('short', { body })).status).toBe('');
    Object.assign(deps, { log, clock });
    expect((await both({ body })).status).toBe('HTTP/1.1 200 OK');
  });

  it('waits alike for a store, and says alike that it failed', async () => {
    const body = JSON.stringify(question({ min_snapshot: '7' }));
    const view = { onStale: 'serve', isStale: () => false, ageMs: 0, snapshot: 7n } as const;
    const reach = async (): Promise<boolean> => true;
    deps.view = { ...view, reach } as never;
    expect(JSON.parse((await both({ body })).body).reason.code).toMatch('challenge_required');
    deps.view = { ...view, reach: async () => false } as never;
    expect(JSON.parse((await both({ body })).body).reason.code).toBe('store.stale');
    deps.view = {
      ...view,
      reach: async () => {
        throw new StoreError('store.address', 'canary');
      },
    } as never;
    const failed = await both({ body });
    expect(failed.status).toBe('HTTP/1.1 503 Service Unavailable');
    expect(failed.body).not.toContain('canary');
    deps.view = undefined;
    const other = JSON.stringify(question({ authorizer: b64(unknownSecret()) }));
    (deps.ring as { catchUp?: unknown }).catchUp = async () => true;
    expect(JSON.parse((await both({ body: other })).body).reason.code).toMatch('secret_unknown');
    (deps.ring as { catchUp?: unknown }).catchUp = undefined;
  });

  it(`says the same of ${CASES} altered requests`, { timeout: 60_000 }, async () => {
    const seed = seedOf(31);
    const rng = new Rng(seed);
    const good = [
      JSON.stringify(question()),
      JSON.stringify({ service: 'osd', caps: 'allow r', op: { pool: 'p', read: true } }),
      JSON.stringify({ service: 'mgr', caps: 'allow *', op: { command: 'x' }, peer: '::1' }),
    ];
    const codes = new Set<string>();
    for (let n = 0; n < CASES; n++) {
      const bytes = Buffer.from(rng.pick(good));
      for (let flips = rng.int(3); flips > 0; flips--) bytes[rng.int(bytes.length)] = rng.int(256);
      const line = `POST /v1/${rng.chance(0.5) ? 'verify' : 'check'} HTTP/1.1`;
      const seen = await both({ line, body: bytes, tcp: rng.chance(0.3) });
      codes.add(/"code":"([^"]+)"/.exec(seen.body)?.[1] ?? seen.status);
    }
    console.log(`altered requests: seed ${seed}, ${codes.size} codes`);
    expect(codes.size).toBeGreaterThan(6);
  });
});

describe('the short way behind tokens', () => {
  it('asks for one alike', async () => {
    const app = createApp(deps);
    const tokens = parseTokens(`accept ${TOKEN}\n`, 'tokens');
    const address = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
    const said: Seen[] = [];
    for (const direct of [undefined, makeDirect(deps)]) {
      const options = { allowHosts: [], tokens, direct };
      const opened = await listen(app.fetch.bind(app), [address], options);
      open.push(...opened);
      ways.short.tcp = Number(new URL(opened[0]!.name).port);
      const body = JSON.stringify(question());
      for (const token of [undefined, `${TOKEN}x`, TOKEN]) {
        const headers = [JSON_TYPE, ...(token ? [`authorization: Bearer ${token}`] : [])];
        said.push(await ask('short', { headers, body, tcp: true }));
      }
    }
    expect(said.slice(3)).toEqual(said.slice(0, 3));
    expect(said.map(({ status }) => status.slice(9, 12))).toEqual([
      ...['401', '401', '200'],
      ...['401', '401', '200'],
    ]);
  });
});

/** An authorizer under a secret that the sidecar does not have. */
function unknownSecret(): Uint8Array {
  const ticket = osdTicket({ secretId: 99n });
  return ticket.authorizer();
}

/** The text of an answer over a unix socket. */
async function fetchUnix(way: Way, path: string, body: object): Promise<string> {
  const text = JSON.stringify(body);
  return await new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(ways[way].unix, () => {
      const head = `POST ${path} HTTP/1.1\r\nhost: localhost\r\n${JSON_TYPE}\r\nconnection: close`;
      socket.write(`${head}\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    });
    socket.on('data', (bytes) => {
      answer += bytes;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer.slice(answer.indexOf('\r\n\r\n') + 4)));
  });
}
