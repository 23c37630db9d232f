/** Requests that are not what they should be: a problem document each, and nothing leaks. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, aes256kSecret, b64, JSON_HEADERS, Kit, osdTicket, UNIX } from './http-kit.ts';

let kit: Kit;
const answers: Answer[] = [];
beforeAll(async () => {
  kit = await Kit.create();
});

const CANARY = 'AgAAAAAAAAAAACAAc2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IQ==';
const GOOD = { service: 'osd', authorizer: b64(osdTicket().authorizer()) };

async function ask(init: RequestInit, path = '/v1/verify'): Promise<Answer> {
  const answer = await kit.raw(path, { method: 'POST', headers: JSON_HEADERS, ...init });
  answers.push(answer);
  return answer;
}

async function expectProblem(init: RequestInit, status: number, code: string, path?: string) {
  const answer = await ask(init, path);
  expect([answer.status, answer.body.code]).toEqual([status, code]);
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(answer.body.status).toBe(status);
  expect(Object.keys(answer.body).sort()).toEqual(['code', 'detail', 'status', 'title', 'type']);
  return answer;
}

function json(value: unknown): RequestInit {
  return { body: JSON.stringify(value) };
}

describe('the body', () => {
  it.each([
    ['nothing', ''],
    ['no JSON', 'service=osd'],
    ['cut JSON', '{"service": "osd"'],
    ['two documents', '{} {}'],
    ['a byte order mark', '\ufeff{}'],
    ['bytes that are not UTF-8', Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)],
    ['a field twice', '{"service":"osd","service":"mds"}'],
    ['a field twice, once escaped', '{"service":"osd","servic\\u0065":"mds"}'],
    ['a field twice further in', '{"a":[{"b":{"c":1,"c":2}}]}'],
  ])('with %s is no JSON', async (_, body) => {
    await expectProblem({ body: body as BodyInit }, 400, 'body.not_json');
  });

  it('may hold the same name in different objects, and in strings', async () => {
    const call = { name: 'x', method: 'y' };
    const op = { pool: 'a"b":"b",', classes: [call, call] };
    const body = JSON.stringify({ service: 'osd', caps: '{"caps":1,"caps":2}', op });
    expect((await ask({ body }, '/v1/check')).status).toBe(200);
  });

  it.each([
    ['text/plain', 415],
    ['application/x-www-form-urlencoded', 415],
    ['application/json; charset=latin1', 415],
    ['application/jsonp', 415],
    ['', 415],
    ['application/json; charset=utf-8', 200],
    ['APPLICATION/JSON', 200],
  ])('of type "%s" gives %i', async (type, status) => {
    const headers = { ...JSON_HEADERS, 'content-type': type };
    const answer = await ask({ ...json(GOOD), headers });
    expect(answer.status).toBe(status);
    if (status !== 200) expect(answer.body.code).toBe('body.content_type');
  });

  it('that is encoded is refused', async () => {
    const headers = { ...JSON_HEADERS, 'content-encoding': 'gzip' };
    await expectProblem({ ...json(GOOD), headers }, 415, 'body.content_type');
  });

  it('is at most 1 MiB', async () => {
    const just = JSON.stringify(GOOD).padEnd(1_048_576, ' ');
    expect((await ask({ body: just })).status).toBe(200);
    await expectProblem({ body: `${just} ` }, 413, 'body.too_large');
    await expectProblem({ body: 'x'.repeat(10_000_000) }, 413, 'body.too_large');
    const headers = { ...JSON_HEADERS, 'content-length': '10000000' };
    await expectProblem({ body: '{}', headers }, 413, 'body.too_large');
  });

  it('of 1 MiB of brackets is answered', async () => {
    for (const bracket of ['[', '{"a":']) {
      await expectProblem({ body: bracket.repeat(150_000) }, 400, 'body.not_json');
    }
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    await expectProblem({ body: deep }, 400, 'field.type');
  });

  it('that does not come is given up', async () => {
    const slow = await Kit.create({ body: { lenMax: 1000, timeoutMs: 50 } });
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode('{"serv')),
    });
    const init = { method: 'POST', headers: JSON_HEADERS, body, duplex: 'half' } as RequestInit;
    const answer = await slow.raw('/v1/verify', init);
    expect([answer.status, answer.body.code]).toEqual([408, 'body.timeout']);
  });

  it('that breaks off is refused', async () => {
    const body = new ReadableStream({ start: (controller) => controller.error(new Error('gone')) });
    await expectProblem({ body, duplex: 'half' } as RequestInit, 400, 'body.incomplete');
  });
});

describe('fields', () => {
  it.each([
    [[], 'field.type'],
    ['osd', 'field.type'],
    [null, 'field.type'],
    [{}, 'field.missing'],
    [{ ...GOOD, server_challenge: '1' }, 'field.unknown'],
    [{ ...GOOD, now: '1' }, 'field.unknown'],
    [{ ...GOOD, service: 4 }, 'field.type'],
    [{ ...GOOD, service: 'OSD' }, 'field.value'],
    [{ ...GOOD, service: 'client' }, 'field.value'],
    [{ ...GOOD, authorizer: 'AQ' }, 'field.value'],
    [{ ...GOOD, authorizer: 'AQ=' }, 'field.value'],
    [{ ...GOOD, authorizer: 'AR==' }, 'field.value'],
    [{ ...GOOD, authorizer: 'AQ==\n' }, 'field.value'],
    [{ ...GOOD, authorizer: 'A_-=' }, 'field.value'],
    [{ ...GOOD, authorizer: [1, 2, 3] }, 'field.type'],
    [{ ...GOOD, peer: '192.0.2.7:6789' }, 'field.value'],
    [{ ...GOOD, peer: '192.0.2.256' }, 'field.value'],
    [{ ...GOOD, peer: '[::1]' }, 'field.value'],
    [{ ...GOOD, peer: 'fe80::1%eth0' }, 'field.value'],
    [{ ...GOOD, peer: '' }, 'field.value'],
    [{ ...GOOD, peer: null }, 'field.type'],
    [{ ...GOOD, connection: '' }, 'field.value'],
    [{ ...GOOD, connection: 'c'.repeat(65) }, 'field.value'],
    [{ ...GOOD, connection: 'é'.repeat(33) }, 'field.value'],
    [{ ...GOOD, connection: '\ud800' }, 'field.value'],
    [{ ...GOOD, connection: 7 }, 'field.type'],
    [{ ...GOOD, expected_challenge: 7 }, 'field.type'],
    [{ ...GOOD, expected_challenge: '-1' }, 'field.value'],
    [{ ...GOOD, expected_challenge: '0x7' }, 'field.value'],
    [{ ...GOOD, expected_challenge: '07' }, 'field.value'],
    [{ ...GOOD, expected_challenge: '18446744073709551616' }, 'field.value'],
    [{ ...GOOD, secure: 'true' }, 'field.type'],
    [{ ...GOOD, secure: 1 }, 'field.type'],
    [{ ...GOOD, challenge_state: '' }, 'field.value'],
    [{ ...GOOD, receipt: 'x'.repeat(513) }, 'field.value'],
  ])('%j: %s', async (body, code) => {
    await expectProblem(json(body), 400, code);
  });

  it.each([
    [{ pool: 1 }, 'field.type'],
    [{ object: 'o' }, 'field.missing'],
    [{ pool: 'p', reed: true }, 'field.unknown'],
    [{ pool: 'p', read: null }, 'field.type'],
    [{ pool: 'p', classes: {} }, 'field.type'],
    [{ pool: 'p', classes: [{ name: 'n' }] }, 'field.missing'],
    [{ pool: 'p', classes: [{ name: 'n', method: 'm', allowed: true }] }, 'field.unknown'],
    [{ pool: 'p', classes: new Array(65).fill({ name: 'n', method: 'm' }) }, 'field.value'],
    [{ pool: 'p', app_metadata: { rbd: 'x' } }, 'field.type'],
    [{ pool: 'p', app_metadata: { rbd: { a: 1 } } }, 'field.type'],
    [{ pool: 'p', app_metadata: [] }, 'field.type'],
    [{ pool: '\udc00' }, 'field.value'],
    [[], 'field.type'],
    [undefined, 'field.missing'],
  ])('op %j: %s', async (op, code) => {
    await expectProblem(json({ service: 'osd', caps: 'allow *', op }), 400, code, '/v1/check');
  });

  it.each([
    ['mask', -1],
    ['mask', 1.5],
    ['caller_uid', 4294967296],
    ['caller_gid_list', [1, -1]],
    ['caller_gid_list', new Array(1025).fill(1)],
  ])('mds op with %s %j', async (name, value) => {
    const op = {
      ...{ path: '', inode_uid: 0, inode_gid: 0, inode_mode: 0, caller_uid: 0, caller_gid: 0 },
      mask: 1,
      [name]: value,
    };
    const body = json({ service: 'mds', caps: 'allow *', op });
    await expectProblem(body, 400, 'field.value', '/v1/check');
  });

  it("named like an object's own are only names", async () => {
    for (const name of ['__proto__', 'constructor', 'toString']) {
      const body = `{"service":"osd","authorizer":"","${name}":{"secure":true}}`;
      await expectProblem({ body }, 400, 'field.unknown');
      const op = `{"pool":"p","app_metadata":{"${name}":{"${name}":"x"}}}`;
      const check = `{"service":"osd","caps":"allow r tag ${name} ${name}=x","op":${op}}`;
      const { body: answer } = await ask({ body: check }, '/v1/check');
      expect(answer.decision).toBe(true);
    }
    expect(({} as Record<string, unknown>).secure).toBeUndefined();
  });

  it('are named with the rule, never with their value', async () => {
    const type = await ask(json({ ...GOOD, secure: CANARY }));
    expect(type.body.detail).toBe('"secure" has type string: expected true or false');
    const value = await ask(json({ ...GOOD, authorizer: `${CANARY}!` }));
    expect(value.body.detail).toContain('"authorizer"');
    const name = await ask(json({ ...GOOD, [CANARY]: 1 }));
    expect(name.body.detail).toBe('a field is not known here');
    await ask(json({ ...GOOD, connection: CANARY.repeat(9) }));
    await ask(json({ ...GOOD, peer: CANARY }));
    await ask(json({ service: CANARY }));
    const op = { pool: CANARY, [CANARY]: 1 };
    await ask(json({ service: 'osd', caps: CANARY, op }), '/v1/check');
  });
});

describe('routes', () => {
  it.each([
    ['GET', '/v1/verify', 'POST'],
    ['PUT', '/v1/verify', 'POST'],
    ['OPTIONS', '/v1/check', 'POST'],
    ['DELETE', '/v1/sessions/abc/release', 'POST'],
    ['GET', '/v1/sign', 'POST'],
    ['POST', '/livez', 'GET, HEAD'],
    ['TRACE-ISH', '/version', 'GET, HEAD'],
  ])('%s %s allows only %s', async (method, path, allow) => {
    const answer = await expectProblem({ method }, 405, 'method.not_allowed', path);
    expect(answer.headers.get('allow')).toBe(allow);
  });

  it.each(['/', '/v1', '/v1/verify/', '/v1/verify/x', '/V1/verify', '//v1/verify', '/metric'])(
    '%s is unknown',
    async (path) => {
      await expectProblem(json(GOOD), 404, 'route.unknown', path);
    },
  );

  it('release takes no body', async () => {
    await expectProblem(json({}), 400, 'field.unknown', '/v1/sessions/abc/release');
    const { body } = await ask({}, '/v1/sessions/abc/release');
    expect(body).toEqual({ released: false });
  });
});

it('an error of our own says nothing of itself', async () => {
  const broken = await Kit.create();
  Object.assign(broken.deps.engine, {
    verify: () => {
      throw new Error(`inside ${CANARY}`);
    },
  });
  const { status, text, body } = await broken.verify(GOOD, UNIX);
  expect([status, body.code]).toEqual([500, 'internal']);
  expect(text).not.toContain(CANARY);
  expect(broken.logs.at(-1)).toMatchObject({ level: 'error', event: 'error' });
});

afterAll(() => {
  const secret = aes256kSecret.toBase64();
  for (const { text } of answers) {
    expect(text).not.toContain(CANARY);
    expect(text).not.toContain(secret);
  }
  expect(JSON.stringify(kit.logs)).not.toContain(CANARY);
  expect(JSON.stringify(kit.logs)).not.toContain(secret);
});
