/**
 * The canaries of observe-canary.test.ts for administration: whatever is asked and whatever fails,
 * no key of an entity or a service is in the log, nor in an answer that is not meant to give it.
 */

import { beforeAll, expect, it } from 'vitest';
import { ROTATING_SERVICES } from '../src/auth/keyserver.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { StoreError } from '../src/errors.ts';
import { type AdminDeps, createAdminApp } from '../src/http/admin.ts';
import { givesKeys } from '../src/http/admincaps.ts';
import { createLogger } from '../src/observe/logger.ts';
import type { Store } from '../src/store/store.ts';
import { AdminKit } from './admin-kit.ts';
import { Canaries } from './canary.ts';
import { UNIX } from './http-kit.ts';
import { Rng, seedOf } from './rng.ts';

const CASES = Number(process.env.CANARY_CASES ?? 1_000);
const SEED = seedOf(84);
const NAMES = ['client.john', 'client.jane', 'osd.0', 'mds.a'];
const PREFIXES = [
  ...['auth ls', 'auth get', 'auth print-key', 'auth export', 'auth get-or-create', 'auth add'],
  ...['auth caps', 'auth rm', 'auth import', 'auth rotate', 'auth get-or-create-pending'],
  ...['auth commit-pending', 'auth clear-pending', 'auth dump-keys', 'mon set', 'auth nonsense'],
];

const rng = new Rng(SEED);
const lines: string[] = [];
const canaries = new Canaries();
let kit: AdminKit;
let deps: AdminDeps;
let app: ReturnType<typeof createAdminApp>;
/** A key that lies in the store, as a keyring has it: sent where it does not belong. */
let known: string;

beforeAll(async () => {
  const caps = { mon: 'allow r', osd: 'allow rw pool=liverpool' };
  const entities = Object.fromEntries(NAMES.map((name) => [name, caps]));
  kit = await AdminKit.create({ ...entities, 'client.admin': { mon: 'allow *' } });
  for (const [name, key] of Object.entries(kit.keys)) canaries.add(name, key.secret);
  addSecrets();
  // What administration makes is made of these bytes.
  const random = (n: number): Uint8Array => {
    const bytes = kit.rng.random(n);
    if (n >= 16) canaries.add('a new key', bytes);
    return bytes;
  };
  const log = createLogger({ write: (line) => void lines.push(line), clock: () => kit.rig.nowNs });
  deps = { ...kit.deps, command: { ...kit.deps.command, random }, log };
  app = createAdminApp(deps);
  known = new CryptoKey(2, kit.keys['client.jane']!.created, kit.keys['client.jane']!.secret)
    .toBase64()
    .toString();
});

function addSecrets(): void {
  for (const service of ROTATING_SERVICES) {
    for (const { secretId, key } of kit.rig.keyServer.held(service)) {
      canaries.add(`secret ${secretId} of service ${service}`, key.secret);
    }
  }
}

it(`${CASES} requests bring no key back that is not asked for (seed ${SEED})`, async () => {
  const statuses = new Map<number, number>();
  let watched = '';
  let given = 0;
  for (let i = 0; i < CASES; i++) {
    const { method, path, body, gives } = requestOf();
    const isFaulty = rng.chance(0.1);
    const target = isFaulty ? createAdminApp(faulty()) : app;
    const headers = { 'content-type': rng.chance(0.97) ? 'application/json' : 'text/plain' };
    const init = { method, headers, ...(body !== undefined && method !== 'GET' && { body }) };
    const url = `http://localhost/v1/admin${path}`;
    const response = await target.request(url, init, { listener: UNIX });
    const text = await response.text();
    if (path.startsWith('/watch')) watched += text;
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
    if (path === '/secrets/rotate' || path === '/secrets/wipe') addSecrets();
    if (gives) {
      given += canaries.in(text).length;
      continue;
    }
    // What somebody sends himself, in a name or a keyring, may come back to him.
    const sent = canaries.in(`${path}\n${body ?? ''}\n${keyringIn(body)}`);
    const found = canaries.in(`${[...response.headers].join('\n')}\n${text}`);
    expect(
      found.filter((each) => !sent.includes(each)),
      `${method} ${path} ${body}`,
    ).toEqual([]);
  }
  for (const status of [200, 201, 204, 400, 404, 405, 415, 500, 503]) {
    expect(statuses.get(status) ?? 0, `status ${status}`).toBeGreaterThan(0);
  }
  // The search finds what is there.
  expect(given).toBeGreaterThan(10);
  expect(lines.length).toBeGreaterThan(10);
  expect(canaries.in(lines.join(''))).toEqual([]);
  expect(watched).toContain('"changes"');
  expect(canaries.in(watched)).toEqual([]);
}, 180_000);

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: string | undefined;
  /** The answer is meant to have keys. */
  readonly gives: boolean;
}

function requestOf(): Asked {
  const entity = rng.chance(0.9) ? rng.pick(NAMES) : rng.pick(['client.none', 'nonsense', 'x.y']);
  const prefix = rng.pick(PREFIXES);
  const user = `/users/${entity}`;
  const change = { caps: { mon: 'allow r', osd: rng.pick(['allow r', 'allow nonsense']) } };
  const [method, path, value, gives = false] = rng.pick<[string, string, unknown, boolean?]>([
    ['POST', '/command', commandOf(prefix, entity), givesKeys(prefix)],
    ['POST', '/command', commandOf(prefix, entity), givesKeys(prefix)],
    ['POST', '/command', commandOf(prefix, entity), givesKeys(prefix)],
    ['GET', user, undefined],
    ['PUT', user, { ...change, key_type: rng.pick(['aes', 'aes256k', known]) }],
    ['PATCH', user, change],
    ['DELETE', user, undefined],
    ['GET', `${user}/key`, undefined, true],
    ['GET', `/keys/${entity}`, undefined],
    ['POST', `/keys/${entity}/${rng.pick(['rotate', 'commit', 'clear'])}`, {}],
    ['GET', '/secrets', undefined],
    ['POST', `/secrets/${rng.pick(['rotate', 'wipe'])}`, rng.pick([{}, { service: 'osd' }])],
    ['GET', '/revocations', undefined],
    ['POST', '/revocations', { deny: { entity }, comment: 'lost' }],
    ['DELETE', '/revocations', { deny: { entity } }],
    ['GET', '/watch?from=1&wait=0', undefined],
    ['GET', '/health', undefined],
    ['GET', '/nowhere', undefined],
  ]);
  let body = value === undefined ? undefined : JSON.stringify(value);
  if (body !== undefined && rng.chance(0.08)) body = body.slice(0, rng.int(body.length));
  if (body !== undefined && rng.chance(0.05)) body = JSON.stringify({ [known]: known });
  return { method: rng.chance(0.03) ? 'PUT' : method, path, body, gives };
}

function commandOf(prefix: string, entity: string): object {
  const keyring = rng.pick([
    `[${entity}]\n\tkey = ${known}\n\tcaps mon = "allow r"\n`,
    `[${entity}]\n\tkey = ${known}\n\tcaps mon "allow r\n`,
    `[${entity}\n\tkey = ${known}xx\n`,
    '',
  ]);
  const input = Buffer.from(keyring).toString('base64');
  const needsFile = prefix === 'auth import' || rng.chance(0.1);
  const caps = rng.pick([['mon', 'allow r'], ['mon'], ['osd']]);
  const more = rng.pick([
    {},
    { entity },
    { entity, caps },
    { entity, format: 'json' },
    { x: known },
  ]);
  return { prefix, ...more, ...(needsFile && { input }) };
}

/** The keyring in a command's body, which is base64 of what holds base64. */
function keyringIn(body: string | undefined): string {
  const input = /"input":"([^"]*)/.exec(body ?? '')?.[1];
  return input === undefined ? '' : Buffer.from(input, 'base64').toString('latin1');
}

/** A store, or what is behind it, that fails in one of its calls. */
function faulty(): AdminDeps {
  const fails = rng.pick(['get', 'list', 'commit', 'read', 'begin', 'snapshot']);
  const error = rng.pick([new StoreError('store.failed', 'disk'), new TypeError('fault')]);
  const store = new Proxy(kit.rig.store as Store, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name !== fails && !rng.chance(0.3)) return value.bind(target);
      return () => {
        throw error;
      };
    },
  });
  return { ...deps, command: { ...deps.command, store } };
}
