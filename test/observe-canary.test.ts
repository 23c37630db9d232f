/**
 * Canary secrets through every route and error path: none of them comes back in a body, a header,
 * a log, the decision log or the metrics, except where it is what was asked for.
 * CANARY_CASES sets another number of requests.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Listener } from '../src/http/callers.ts';
import { parseTokens } from '../src/http/callers.ts';
import { createLogger, SidecarObserver } from '../src/observe/index.ts';
import { Canaries } from './canary.ts';
import { frames, OSD, PEER } from './frames-kit.ts';
import {
  type Accepted,
  aes256kSecret,
  aesSecret,
  b64,
  HOST,
  Kit,
  osdTicket,
  random,
  TCP,
  UNIX,
} from './http-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { temporaryFolder } from './spawn.ts';

const CASES = Number(process.env.CANARY_CASES ?? 4_000);
const SEED = seedOf(83);
const TOKEN = 'canary-Token-0123456789abcdefghijklmnop';
const BEARER: Listener = {
  ...{ kind: 'tcp', hosts: new Set([HOST]) },
  tokens: parseTokens(`accept ${TOKEN}\n`, 'tokens'),
};
/** What an answer hands out on purpose. */
const HANDED_OUT =
  /"(?:reply|connection_secret|session|receipt|challenge_state|challenge|signature)":"[^"]*"/g;

const folder = temporaryFolder('canary');
const logPath = join(folder.path, 'decisions');
const lines: string[] = [];
/** Secrets that never leave: keys of services, sessions, states, hashes, and bearer tokens. */
const canaries = new Canaries();
let kit: Kit;
let observer: SidecarObserver;
let accepted: Accepted[];
const tickets = [
  osdTicket(),
  osdTicket({ aes: true, sessionType: 'aes' }),
  osdTicket({ aes: true, caps: 'allow *' }),
  osdTicket({ caps: null }),
];

beforeAll(async () => {
  const keys = { current: random(32), previous: random(32) };
  kit = await Kit.create({ keys, sign: true, allowUnchallengedVerdict: true });
  const log = createLogger({ write: (line) => void lines.push(line), clock: () => kit.nowNs });
  const hashKey = random(32);
  const decisionLog = { path: logPath, sample: 1, lenMax: 1e9, keep: 1, hashKey };
  Object.assign(kit.deps, { log });
  observer = new SidecarObserver(kit.deps, { decisionLog });
  Object.assign(kit.deps, { observe: observer });
  const held = { aes256kSecret, aesSecret };
  for (const [name, key] of Object.entries(held)) canaries.add(name, key.secret);
  for (const [n, { sessionKey }] of tickets.entries()) {
    canaries.add(`session key ${n}`, sessionKey.secret);
  }
  canaries.add('state key', keys.current);
  canaries.add('former state key', keys.previous);
  canaries.add('hash key', hashKey);
  canaries.addText('bearer token', TOKEN);
  accepted = [];
  for (const ticket of tickets) accepted.push(await kit.accept(ticket, { secure: true }));
});
afterAll(() => folder.remove());

/** What was handed out: it may stand in the answer that gives it, and nowhere else. */
function given(): Canaries {
  const canaries = new Canaries();
  for (const [n, { final, challengeState }] of accepted.entries()) {
    const { reply, connection_secret, session, receipt } = final.body;
    canaries.add(`reply ${n}`, Buffer.from(reply, 'base64').subarray(12));
    canaries.add(`connection secret ${n}`, Buffer.from(connection_secret, 'base64'));
    canaries.addText(`session ${n}`, session);
    // They begin alike, with time and process; their ends are the MACs.
    canaries.addText(`receipt ${n}`, receipt.slice(-32));
    canaries.addText(`challenge state ${n}`, challengeState.slice(-32));
  }
  return canaries;
}

describe(`${CASES} requests (seed ${SEED})`, () => {
  it('bring no secret back', async () => {
    const written: string[] = [];
    const spies = (['log', 'info', 'warn', 'error', 'debug'] as const).map((name) =>
      vi.spyOn(console, name).mockImplementation((...all) => void written.push(all.join(' '))),
    );
    const rng = new Rng(SEED);
    const others = given();
    const statuses = new Map<number, number>();
    const routes = new Set<string>();
    for (let i = 0; i < CASES; i++) {
      const { path, init, listener } = requestOf(rng);
      const restore = rng.chance(0.05) ? faulty(rng) : undefined;
      const response = await kit.app.request(path, init, { listener });
      const text = Buffer.from(await response.arrayBuffer()).toString('latin1');
      restore?.();
      const whole = `${[...response.headers].join('\n')}\n${text}`;
      expect(canaries.in(whole), path).toEqual([]);
      expect(others.in(whole.replaceAll(HANDED_OUT, '')), path).toEqual([]);
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      routes.add(
        path.split(/[?]/)[0]!.replace(/sessions\/.*\/release/, 'sessions/:handle/release'),
      );
      if (rng.chance(0.01)) kit.nowNs += 1_000_000_000n;
    }
    for (const spy of spies) spy.mockRestore();
    for (const status of [200, 400, 401, 403, 404, 405, 413, 415, 500]) {
      expect(statuses.get(status), `status ${status}`).toBeGreaterThan(0);
    }
    const served = kit.app.routes.filter(({ path }) => !path.includes('*'));
    for (const { path } of served) expect(routes).toContain(path);
    const { text } = await observer.metrics();
    await observer.close();
    const decisions = readFileSync(logPath, 'utf8');
    expect(lines.length).toBeGreaterThan(10);
    expect(decisions.split('\n').length).toBeGreaterThan(CASES / 10);
    for (const out of [text, lines.join(''), decisions, written.join('\n')]) {
      expect(canaries.in(out)).toEqual([]);
      expect(others.in(out)).toEqual([]);
    }
  });
});

describe('the search', () => {
  it('finds a secret in each form, wherever it starts', () => {
    const secret = aes256kSecret.secret;
    const bytes = Buffer.from(secret);
    for (const before of ['', 'a', 'ab', 'abc', 'abcd']) {
      const whole = Buffer.concat([Buffer.from(before), bytes, Buffer.from('!?')]);
      const found = (text: string): string[] => canaries.in(`{"x":"${text}"}`);
      expect(found(whole.toString('hex'))).toEqual(['aes256kSecret as hex']);
      expect(found(whole.toString('hex').toUpperCase())).toEqual(['aes256kSecret as hex']);
      expect(found(whole.toString('base64'))).toEqual(['aes256kSecret as base64']);
      expect(found(whole.toString('base64url'))).toEqual(['aes256kSecret as base64']);
      expect(found([...whole].join(', '))).toEqual(['aes256kSecret as numbers']);
      expect(canaries.in(whole.toString('latin1'))).toEqual(['aes256kSecret as raw']);
      expect(canaries.in(JSON.stringify(whole.toString('latin1')))).toEqual([
        'aes256kSecret as raw',
      ]);
    }
    expect(canaries.in(bytes.subarray(5, 14).toString('base64'))).toHaveLength(1);
    expect(canaries.in(`Bearer ${TOKEN}`)).toEqual(['bearer token as text']);
    expect(canaries.in(random(64).toString())).toEqual([]);
  });

  it('sees a sidecar that logs what it is given', async () => {
    const leaky = await Kit.create();
    const { deps } = leaky;
    const engine = Object.create(deps.engine);
    engine.primitive = deps.engine.primitive.bind(deps.engine);
    engine.verify = () => {
      throw new Error(`cannot use key ${aesSecret.toBase64()}`);
    };
    Object.assign(deps, { engine });
    const authorizer = b64(tickets[0]!.authorizer());
    const { status, text } = await leaky.verify({ service: 'osd', authorizer });
    expect([status, canaries.in(text)]).toEqual([500, []]);
    expect(canaries.in(JSON.stringify(leaky.logs))).toEqual(['aesSecret as base64']);
  });
});

interface Asked {
  readonly path: string;
  readonly init: RequestInit;
  readonly listener: Listener;
}

const PATHS = [
  ...['/v1/verify', '/v1/verify', '/v1/check', '/v1/checks', '/v1/sign', '/v1/sign/verify'],
  ...['/v1/frames', '/v1/cephx/hello', '/v1/cephx/request', '/v1/sessions/HANDLE/release'],
  ...['/livez', '/readyz', '/version', '/metrics', '/openapi.json', '/v1/nowhere/HANDLE'],
];

/** A request whose every part may hold a secret: sent by mistake, or to see what comes of it. */
function requestOf(rng: Rng): Asked {
  const listener = rng.pick([UNIX, UNIX, UNIX, TCP, BEARER]);
  const handle = rng.chance(0.5) ? rng.pick(accepted).final.body.session : secretText(rng);
  const path = rng.pick(PATHS).replace('HANDLE', encodeURIComponent(handle));
  const query = rng.chance(0.1)
    ? `?${rng.pick(['explain=true', `explain=${secretText(rng)}`])}`
    : '';
  const isGet = PATHS.slice(-6, -1).includes(path) !== rng.chance(0.03);
  const headers: Record<string, string> = { host: rng.chance(0.97) ? HOST : 'canary.example' };
  if (rng.chance(0.7))
    headers.authorization = `Bearer ${rng.chance(0.8) ? TOKEN : secretText(rng)}`;
  if (rng.chance(0.1)) headers['cephgate-request-id'] = `${secretText(rng)}=`;
  if (rng.chance(0.02)) headers.origin = secretText(rng);
  if (isGet) return { path: path + query, init: { headers }, listener };
  const octets = path === '/v1/frames' || path.startsWith('/v1/cephx');
  headers['content-type'] = octets ? 'application/octet-stream' : 'application/json';
  if (rng.chance(0.03)) headers['content-type'] = 'text/plain';
  const body = octets ? octetsOf(rng) : textOf(rng, path);
  return { path: path + query, init: { method: 'POST', headers, body }, listener };
}

function textOf(rng: Rng, path: string): string {
  if (rng.chance(0.01)) return JSON.stringify({ service: 'osd', caps: 'x'.repeat(1_100_000) });
  const body = path.endsWith('/release') ? {} : bodyOf(rng, path);
  let text = path.endsWith('/release') && rng.chance(0.7) ? '' : JSON.stringify(body);
  if (rng.chance(0.1)) text = text.slice(0, rng.int(text.length + 1));
  if (rng.chance(0.05)) text += secretText(rng);
  return text;
}

/** A good body, in which values may be exchanged for secrets. */
function bodyOf(rng: Rng, path: string): unknown {
  const { final, request, challengeState } = rng.pick(accepted);
  const { session, receipt } = final.body;
  const op = { pool: 'liverpool', object: 'o', read: true };
  const ticket = rng.pick(tickets);
  const authorizer = ticket.authorizer(rng.chance(0.5) ? rng.u64() : undefined);
  if (rng.chance(0.4)) authorizer[rng.int(authorizer.length)]! ^= 1 << rng.int(8);
  const verify = { service: 'osd', authorizer: b64(authorizer), peer: '192.0.2.7' };
  const block = { bytes: rng.chance(0.5) ? 'AAAA' : secretText(rng) };
  const good =
    {
      '/v1/verify': rng.pick<object>([
        verify,
        { ...verify, connection: 'c', secure: rng.chance(0.5) },
        { ...verify, allow_unchallenged_verdict: true },
        { ...request, challenge_state: challengeState },
        { ...request, secure: undefined, receipt },
      ]),
      '/v1/check': rng.pick<object>([
        { service: 'osd', session, op },
        { service: 'osd', caps: 'allow r pool=a, allow w', op },
        { service: 'mon', caps: 'allow profile osd', op: { command: 'osd dump', read: true } },
      ]),
      '/v1/checks': { service: 'osd', defaults: { session }, items: [{ op }, { op: 1 }, {}] },
      '/v1/sign': { session, scheme: 'msgr2-auth', block },
      '/v1/sign/verify': { session, scheme: 'msgr2-auth', block, signature: 'AAAA' },
    }[path] ?? {};
  return rng.chance(0.5) ? good : damaged(rng, good);
}

function damaged(rng: Rng, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return secretText(rng);
  const name = rng.pick([...Object.keys(value), '']);
  if (name === '') return { ...value, [secretText(rng)]: secretText(rng) };
  const held = (value as Record<string, unknown>)[name];
  // Names of objects and pools are no secrets, and are logged.
  if (name === 'op' || name === 'items') return { ...value, op: secretText(rng) };
  return { ...value, [name]: damaged(rng, held) };
}

function octetsOf(rng: Rng): Uint8Array<ArrayBuffer> {
  const ticket = rng.pick(tickets);
  const records = frames((writer) => {
    for (let tag = 0; tag < 3; tag++) {
      const authorizer = ticket.authorizer(rng.chance(0.5) ? 7n : undefined);
      const fields = { service: OSD, authorizer, peer: PEER, connection: `c${tag}` };
      writer.verify({ ...fields, reply: true, session: true, secure: rng.chance(0.5) }, tag);
    }
  });
  const bytes = rng.chance(0.3) ? Buffer.from(secretText(rng)) : records;
  const copy = new Uint8Array(bytes);
  if (rng.chance(0.5)) copy[rng.int(copy.length)]! ^= 1 << rng.int(8);
  return copy;
}

/** One of our secrets in some spelling. */
function secretText(rng: Rng): string {
  const key = rng.pick([aes256kSecret, aesSecret, ...tickets.map(({ sessionKey }) => sessionKey)]);
  const bytes = Buffer.from(rng.chance(0.5) ? key.secret : key.encode());
  return rng.pick([bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url')]);
}

/** From now on the core, the clock or the secrets fail. Gives a function that ends it. */
function faulty(rng: Rng): () => void {
  const { engine, ring } = kit.deps;
  const name = rng.pick(['verify', 'check', 'sign', 'run', 'advance'] as const);
  const fail = (): never => {
    throw rng.pick([new TypeError('fault'), new RangeError('fault')]);
  };
  const broken = Object.assign(Object.create(name === 'advance' ? ring : engine), { [name]: fail });
  Object.assign(
    kit.deps,
    name === 'advance' ? { ring: broken } : { engine: bound(broken, engine) },
  );
  return () => void Object.assign(kit.deps, { engine, ring });
}

/** Private fields are found only on the engine itself. */
function bound(broken: object, engine: object): object {
  return new Proxy(engine, {
    get: (target, name) => {
      if (Object.hasOwn(broken, name)) return Reflect.get(broken, name);
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
