/**
 * A sidecar as a process among strangers: bad requests of every kind over real connections. Each
 * gets a problem document or a closed connection, the process lives on, and no secret is ever in
 * an answer, a log line or an error.
 */

import { Buffer } from 'node:buffer';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatSecrets } from '../src/http/secretsfile.ts';
import { makeTicket, type TestTicket } from './authorizers.ts';
import {
  AES256K_ID,
  type Answer,
  aes256kSecret,
  aesSecret,
  b64,
  bytesOf,
  challengeIn,
  random,
  SECRETS,
} from './http-kit.ts';
import { Rng, seedOf } from './rng.ts';
import {
  type HttpAnswer,
  hangUpOnDeno,
  type SpawnedSidecar,
  send,
  spawnSidecar,
  temporaryFolder,
} from './spawn.ts';

const TOKEN = 'bearer-canary-0123456789abcdef';
const CANARY = 'CANARY-9d1f';

const folder = temporaryFolder('hostile');
let sidecar: SpawnedSidecar;
let ticket: TestTicket;
/** All that came back, from all tests. */
const seen: string[] = [];

beforeAll(async () => {
  const owner = { mode: 0o600 };
  writeFileSync(join(folder.path, 'secrets.json'), formatSecrets(SECRETS), owner);
  writeFileSync(join(folder.path, 'tokens'), `accept ${TOKEN}\n`, owner);
  const files = ['--secrets', 'secrets.json', '--token-file', 'tokens', '--sign'];
  sidecar = await spawnSidecar(folder.path, undefined, files);
  const createdNs = BigInt(Date.now()) * 1_000_000n;
  ticket = makeTicket(aes256kSecret, random, { createdNs, secretId: AES256K_ID });
});
afterAll(async () => {
  await sidecar?.stop();
  folder.remove();
});

async function ask(
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
  listener: 'unix' | 'tcp' = 'unix',
): Promise<HttpAnswer> {
  const { host, port, socketPath } = sidecar;
  const where = listener === 'unix' ? { socketPath } : { host, port };
  const bearer: Record<string, string> =
    listener === 'unix' ? {} : { authorization: `Bearer ${TOKEN}` };
  const answer = await send(where, path, body, { ...bearer, ...headers });
  seen.push(answer.text, JSON.stringify(answer.headers));
  return answer;
}

function expectProblem(answer: HttpAnswer, status: number, code: string): void {
  expect([answer.status, answer.body?.code]).toEqual([status, code]);
  expect(answer.headers['content-type']).toBe('application/problem+json');
  expect(answer.body).toMatchObject({ type: 'about:blank', status });
  expect(answer.text).not.toContain(CANARY);
}

async function expectAlive(): Promise<void> {
  for (const listener of ['unix', 'tcp'] as const) {
    expect((await ask('/livez', undefined, {}, listener)).status).toBe(200);
  }
  expect(sidecar.child.exitCode).toBe(null);
}

/** Sends bytes as they are; resolves with what came until the server closed the connection. */
function raw(bytes: string | Uint8Array, end = false): Promise<string> {
  return new Promise((resolve) => {
    let got = '';
    const socket = connect(sidecar.port, sidecar.host, () => {
      socket.write(bytes);
      if (end) socket.end();
    });
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      got += chunk;
      hangUpOnDeno(socket);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      seen.push(got);
      resolve(got);
    });
  });
}

function head(more: string): string {
  const { host, port } = sidecar;
  return (
    `POST /v1/verify HTTP/1.1\r\nHost: ${host}:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n` +
    `Content-Type: application/json\r\n${more}\r\n\r\n`
  );
}

const CUT_OFF = ['EPIPE', 'ECONNRESET', ...('Deno' in globalThis ? ['ETIMEDOUT'] : [])];
const V = '/v1/verify';
const C = '/v1/check';
const S = '/v1/sign';
const BODIES: readonly (readonly [string, string, string, number, string])[] = [
  ['nothing', V, '', 400, 'body.not_json'],
  ['no JSON', V, `{"${CANARY}`, 400, 'body.not_json'],
  ['bytes that are no UTF-8', V, '"\udcff"', 400, 'field.type'],
  ['a list', V, '[]', 400, 'field.type'],
  ['null', V, 'null', 400, 'field.type'],
  ['a number', V, '1e999', 400, 'field.type'],
  ['no fields', V, '{}', 400, 'field.missing'],
  ['deep nesting', V, '['.repeat(200_000), 400, 'body.not_json'],
  ['deep nesting that ends', V, '['.repeat(50_000) + ']'.repeat(50_000), 400, 'field.type'],
  ['an unknown field', V, `{"service":"osd","${CANARY}":1}`, 400, 'field.unknown'],
  ['a field of Object', V, '{"service":"osd","__proto__":{}}', 400, 'field.unknown'],
  ['a name twice', V, '{"service":"osd","service":"mds"}', 400, 'body.not_json'],
  ['a service of the admin', V, '{"service":"mon","authorizer":""}', 403, 'service.refused'],
  ['a service that is none', V, `{"service":"${CANARY}"}`, 400, 'field.value'],
  ['a number for bytes', V, '{"service":"osd","authorizer":1}', 400, 'field.type'],
  ['base64url', V, '{"service":"osd","authorizer":"-_-_"}', 400, 'field.value'],
  ['base64 without padding', V, '{"service":"osd","authorizer":"AA"}', 400, 'field.value'],
  ['base64 with spare bits', V, '{"service":"osd","authorizer":"AB=="}', 400, 'field.value'],
  ['base64 with a line', V, '{"service":"osd","authorizer":"AAAA\\n"}', 400, 'field.value'],
  ['a clock', V, '{"service":"osd","authorizer":"","at":"1"}', 400, 'field.unknown'],
  ['no subject', C, '{"service":"osd","op":{}}', 400, 'field.conflict'],
  ['no op', C, '{"service":"osd","session":"x"}', 400, 'field.missing'],
  ['an op without pool', C, '{"service":"osd","session":"x","op":{}}', 400, 'field.missing'],
  ['an op for another', C, '{"service":"mgr","session":"x","op":{}}', 400, 'service.unsupported'],
  ['a query', `${C}?explain=${CANARY}`, '{}', 400, 'query.unknown'],
  ['a scheme that is none', S, '{"session":"x","scheme":"y","block":{}}', 400, 'field.value'],
  ['a body to release', '/v1/sessions/x/release', '{}', 400, 'field.unknown'],
  ['a route that is none', `/v1/${CANARY}`, '{}', 404, 'route.unknown'],
  ['a route that goes up', '/v1/../../etc/passwd', '{}', 404, 'route.unknown'],
  ['POST where only GET is', '/livez', '{}', 405, 'method.not_allowed'],
];

describe('a body over a real connection', () => {
  it.each(BODIES)('%s to %s', async (_, path, body, status, code) => {
    for (const listener of ['unix', 'tcp'] as const) {
      expectProblem(await ask(path, body, {}, listener), status, code);
    }
    await expectAlive();
  });

  it.each(['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND'])(
    'by %s',
    async (method) => {
      const { socketPath } = sidecar;
      const answer = await send({ socketPath, method }, V);
      if (method === 'TRACE') expect(answer.status).toBeGreaterThanOrEqual(400);
      else {
        expectProblem(answer, 405, 'method.not_allowed');
        expect(answer.headers.allow).toBe('POST');
      }
    },
  );

  it.each([
    ['no type', { 'content-type': '' }],
    ['text', { 'content-type': 'text/plain' }],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['another charset', { 'content-type': 'application/json; charset=latin1' }],
    ['an encoding', { 'content-encoding': 'gzip' }],
  ] as readonly (readonly [string, Record<string, string>])[])('with %s', async (_, headers) => {
    expectProblem(await ask(V, '{}', headers), 415, 'body.content_type');
  });

  it.each([
    ['Origin', { origin: 'http://localhost:6480' }, 'origin.refused'],
    ['an opaque Origin', { origin: 'null' }, 'origin.refused'],
    ['Sec-Fetch-Site', { 'sec-fetch-site': 'none' }, 'origin.refused'],
    ['a foreign Host', { host: `${CANARY}.example` }, 'host.refused'],
    ['our Host and another port', { host: '127.0.0.1:1' }, 'host.refused'],
  ] as readonly (readonly [string, Record<string, string>, string])[])(
    'with %s is refused on TCP',
    async (_, headers, code) => {
      for (const path of ['/livez', V]) {
        const body = path === V ? '{}' : undefined;
        expectProblem(await ask(path, body, headers, 'tcp'), 403, code);
      }
    },
  );

  it('without or with another token is refused on TCP', async () => {
    for (const authorization of ['', `Bearer ${CANARY}`, `Basic ${TOKEN}`, `Bearer ${TOKEN}x`]) {
      const answer = await ask(V, '{}', { authorization }, 'tcp');
      expectProblem(answer, 401, 'token.required');
      expect(answer.headers['www-authenticate']).toBe('Bearer');
    }
  });

  it('of 10 MB is refused, however it comes', async () => {
    const whole = `{"service":"osd","authorizer":"${'A'.repeat(10_000_000)}"}`;
    for (const listener of ['unix', 'tcp'] as const) {
      const answer = await ask(V, whole, {}, listener).catch((error: { code: string }) => error);
      // Cut off while it still sends, a client may not get to read the answer.
      if ('code' in answer) expect(CUT_OFF).toContain(answer.code);
      else expectProblem(answer, 413, 'body.too_large');
    }
    const chunk = `10000\r\n${'A'.repeat(65_536)}\r\n`;
    expect(await raw(head('Transfer-Encoding: chunked') + chunk.repeat(40))).toMatch(/ 413 |^$/);
    await expectAlive();
  });
});

describe('a connection', () => {
  it('that is left half-way harms nobody', async () => {
    const whole = `${head('Content-Length: 100')}{"service":"osd"`;
    const cuts = Array.from({ length: 60 }, (_, i) => whole.slice(0, 1 + (i * whole.length) / 60));
    await Promise.all(cuts.map((text) => raw(text, true)));
    await expectAlive();
  });

  it('that stalls is answered 408 and closed', async () => {
    const stalled = [
      raw(`${head('Content-Length: 100')}{"service":"osd"`),
      raw(`${head('Transfer-Encoding: chunked')}1\r\n{\r\n`),
      // Deno.serve waits for a head for ever.
      'Deno' in globalThis ? '' : raw('POST /v1/verify HTTP/1.1\r\nHost: '),
    ];
    await expectAlive();
    const [body, chunked, headOnly] = await Promise.all(stalled);
    for (const text of [body, chunked]) {
      expect(text).toMatch(/^HTTP\/1\.1 408 /);
      expect(text).toContain('body.timeout');
    }
    expect(headOnly).toMatch(/^(?:HTTP\/1\.1 408 |$)/);
    await expectAlive();
  });

  it('with noise is closed', async () => {
    const rng = new Rng(seedOf(41));
    const noise = Array.from({ length: 100 }, (_, i) => {
      const valid = Buffer.from(`${head('Content-Length: 2')}{}`);
      if (i % 2 === 0) return rng.bytes(rng.int(2_000));
      for (let n = 0; n < 4; n++) valid[rng.int(valid.length)] = rng.int(256);
      return valid;
    });
    const answers = await Promise.all(noise.map((bytes) => raw(bytes, true)));
    for (const text of answers) expect(text).toMatch(/^(?:HTTP\/1\.1 [1-4][0-9]{2} |$)/);
    await expectAlive();
  });
});

describe('secrets', () => {
  it('are in no answer, log line or error', async () => {
    const { connectionSecret } = await everythingGood();
    await everythingBad();
    // A reload of files that hold keys and are wrong in some way.
    const good = readFileSync(join(folder.path, 'secrets.json'), 'utf8');
    const key = aes256kSecret.toBase64();
    const wrong = [
      `${good}x`,
      good.replaceAll('"key"', `"${key}"`),
      good.replaceAll('"osd"', `"${key}"`),
      good.replace(`${key}"`, `${key.slice(0, -4)}"`),
      good.replace(/"expires": [^\n]*/, `"expires": "${key}"`),
      good.replace('"cephgate-secrets/1"', `"${key}"`),
    ];
    for (const text of wrong) await reload('secrets.json', text, 'error');
    await reload('secrets.json', good, 'info');
    await reload('tokens', `accept ${TOKEN} ${TOKEN}\n`, 'error');
    await reload('tokens', `${TOKEN} accept\n`, 'error');
    await reload('tokens', `accept ${TOKEN}\n`, 'info');
    await expectAlive();
    const stateFile = JSON.parse(readFileSync(join(folder.path, 'data', 'state.key'), 'utf8'));
    const canaries = [
      ...[aes256kSecret, aesSecret, ticket.sessionKey].map(({ secret }) => secret),
      bytesOf(stateFile.keys[0].key),
      connectionSecret,
      new TextEncoder().encode(TOKEN),
    ];
    expect(sidecar.err).toContain('"event":"decision"');
    expect(seen.length).toBeGreaterThan(80);
    for (const [index, canary] of canaries.entries()) {
      for (const form of formsOf(canary)) {
        expect(sidecar.err.includes(form), `canary ${index} in the log`).toBe(false);
        expect(sidecar.out.includes(form), `canary ${index} on stdout`).toBe(false);
        const leaks = seen.filter((text) => text.includes(form));
        expect(leaks, `canary ${index} in an answer`).toEqual([]);
      }
    }
  });

  it('would be found by this search', () => {
    const secret = random(16);
    const places = [new Uint8Array([1, ...secret]), new Uint8Array([1, 2, ...secret, 3]), secret];
    for (const bytes of places) {
      const found = (text: string): boolean => formsOf(secret).some((form) => text.includes(form));
      expect(found(`x ${b64(bytes)}`)).toBe(true);
      expect(found(`x ${Buffer.from(bytes).toString('base64url')}`)).toBe(true);
      expect(found(`x ${Buffer.from(bytes).toString('hex')}`)).toBe(true);
      expect(found(`x ${Buffer.from(bytes).toString('latin1')}`)).toBe(true);
    }
  });

  /** A connection in secure mode, its session and a signature. */
  async function everythingGood(): Promise<{ connectionSecret: Uint8Array }> {
    const base = { service: 'osd', peer: '192.0.2.7', connection: 'hostile', secure: true };
    const first = await ask(V, { ...base, authorizer: b64(ticket.authorizer()) });
    const challenge = challengeIn(ticket, first as unknown as Answer);
    const request = { ...base, authorizer: b64(ticket.authorizer(challenge)) };
    const { challenge_state } = first.body;
    const final = await ask(V, { ...request, challenge_state });
    expect(final.body.decision).toBe(true);
    const { session, receipt, connection_secret } = final.body;
    // The one place where it belongs.
    seen.splice(seen.indexOf(final.text), 1, final.text.replace(connection_secret, ''));
    await ask(V, { ...request, receipt });
    await ask(V, { ...request, challenge_state });
    await ask(`${C}?explain=true`, { service: 'osd', session, op: { pool: 'p', read: true } });
    await ask(S, { session, scheme: 'msgr2-auth', block: { bytes: 'AAAA' } });
    return { connectionSecret: bytesOf(connection_secret) };
  }

  /** Secrets as values where they do not belong. */
  async function everythingBad(): Promise<void> {
    const keys = [aes256kSecret.toBase64(), b64(aesSecret.secret), TOKEN];
    for (const key of keys) {
      for (const field of ['service', 'authorizer', 'peer', 'challenge_state', 'receipt', key]) {
        await ask(V, { service: 'osd', authorizer: b64(ticket.authorizer()), [field]: key });
      }
      await ask(C, { service: 'osd', caps: key, op: { pool: key } });
      await ask(C, { service: 'osd', entity: key, op: { pool: key, [key]: key } });
      await ask(`${C}?${encodeURIComponent(key)}=1`, {});
      await ask(`/v1/sessions/${encodeURIComponent(key)}/release`, '');
      await ask(`/v1/${encodeURIComponent(key)}`, {});
      await ask(S, { session: key, scheme: key, block: key });
      await ask(V, {}, { 'content-type': 'text/plain', 'x-key': key });
      await ask(V, {}, { authorization: `Bearer ${TOKEN}`, host: 'evil.example' }, 'tcp');
    }
  }

  async function reload(name: string, text: string, level: string): Promise<void> {
    writeFileSync(join(folder.path, name), text);
    const count = (): number => sidecar.err.split('"event":"reload"').length;
    const before = count();
    sidecar.raise('SIGHUP');
    while (count() === before) await new Promise((resolve) => setTimeout(resolve, 10));
    const line = sidecar.err.trim().split('\n').at(-1)!;
    expect([line, JSON.parse(line).level]).toEqual([line, level]);
  }
});

/** How bytes could be written: raw, hex, and base64 wherever they begin in a longer text. */
function formsOf(bytes: Uint8Array): string[] {
  const hex = Buffer.from(bytes).toString('hex');
  const shifted = [0, 1, 2].map((shift) => {
    const text = b64(new Uint8Array([...new Uint8Array(shift), ...bytes]));
    // What the neighbours have no part in.
    return text.slice(shift === 0 ? 0 : shift + 1, -4);
  });
  const forms = [Buffer.from(bytes).toString('latin1'), hex, hex.toUpperCase(), ...shifted];
  const urls = shifted.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  const list = bytes.join(',');
  return [...forms, ...urls, list];
}
