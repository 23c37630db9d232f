/**
 * The OpenAPI document against the sidecar itself: every route is in it, its schemas judge bodies
 * as the sidecar does, and every answer is as it says.
 */

import { isIPv4, isIPv6 } from 'node:net';
import { Ajv2020 as Ajv, type ValidateFunction } from 'ajv/dist/2020.js';
import { beforeAll, describe, expect, it } from 'vitest';
import { PROBLEM_STATUS } from '../src/http/problem.ts';
import { type Answer, b64, challengeIn, JSON_HEADERS, Kit, osdTicket, TCP } from './http-kit.ts';
import { Bodies } from './openapi-bodies.ts';
import { Rng, seedOf } from './rng.ts';

const CASES = Number(process.env.OPENAPI_CASES ?? 1_500);
const SEED = seedOf(61);

// biome-ignore lint/suspicious/noExplicitAny: a document is read where it is known to be
let document: any;
let kit: Kit;
let session: string;
type Methods = Readonly<
  Record<string, { operationId: string; parameters: { name: string; in: string }[] }>
>;
const schemas = new Map<string, ValidateFunction>();

beforeAll(async () => {
  kit = await Kit.create({ sign: true, allowUnchallengedVerdict: true });
  const response = await kit.app.request('/openapi.json', {}, { listener: { kind: 'unix' } });
  document = await response.json();
  session = (await kit.accept(osdTicket())).final.body.session;
});

describe('the document', () => {
  it('has every route, and no other', async () => {
    const served: string[] = [];
    for (const { path } of kit.app.routes) {
      // What a path does not know it answers with what it knows.
      const asked = path.replaceAll(/:[a-z_]+/g, 'x');
      const init = { method: 'DELETE' };
      const { status, headers } = await kit.app.request(asked, init, {
        listener: { kind: 'unix' },
      });
      expect(status).toBe(405);
      for (const method of headers.get('allow')!.split(', ')) {
        const shown = path.replaceAll(/:([a-z_]+)/g, '{$1}');
        if (method !== 'HEAD') served.push(`${method} ${shown}`);
      }
    }
    const told = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(told.sort()).toEqual(served.sort());
  });

  it('names each operation once, and the parts of its path', () => {
    const ids = new Set<string>();
    for (const [path, methods] of Object.entries<Methods>(document.paths)) {
      for (const operation of Object.values(methods)) {
        expect(ids.has(operation.operationId)).toBe(false);
        ids.add(operation.operationId);
        const inPath = operation.parameters
          .filter((each) => each.in === 'path')
          .map(({ name }) => `{${name}}`);
        expect(inPath).toEqual(path.match(/\{[a-z_]+\}/g) ?? []);
      }
    }
  });

  it('has every code of a problem', () => {
    expect(document.components.schemas.Problem.properties.code.enum).toEqual(
      Object.keys(PROBLEM_STATUS),
    );
  });

  it('has schemas that JSON Schema knows', () => {
    for (const path of Object.keys(document.paths)) {
      for (const method of ['get', 'post']) {
        const operation = document.paths[path][method];
        const json = operation?.requestBody?.content['application/json'];
        if (json !== undefined) expect(typeof compiled(json.schema)).toBe('function');
      }
    }
  });
});

describe('schemas and sidecar judge alike', () => {
  const paths = ['/v1/verify', '/v1/check', '/v1/checks', '/v1/sign', '/v1/sign/verify'];

  it.each(paths)(`${CASES} bodies of %s (seed ${SEED})`, async (path) => {
    const bodies = new Bodies(new Rng(SEED), b64(osdTicket().authorizer()), session);
    const valid = compiled(
      document.paths[path].post.requestBody.content['application/json'].schema,
    );
    const seen = { good: 0, bad: 0 };
    for (let i = 0; i < CASES; i++) await judge(path, bodies.next(path));
    for (let i = 0; i < 4; i++) {
      for (const body of bodies.everyOdd(path)) await judge(path, body);
    }
    expect(Math.min(seen.good, seen.bad)).toBeGreaterThan(CASES / 20);

    async function judge(path: string, body: unknown): Promise<void> {
      const answer = await kit.post(path, body);
      const bySchema = valid(JSON.parse(JSON.stringify(body)));
      const shown = () => `${JSON.stringify(body).slice(0, 600)} -> ${answer.text.slice(0, 300)}`;
      expect(answer.status, shown()).not.toBe(500);
      // An item can be as it should be and still lack what its service or the defaults lack.
      const open = path === '/v1/checks' && bySchema && answer.status === 200;
      if (!open) expect(bySchema, shown()).toBe(accepts(path, answer));
      seen[bySchema ? 'good' : 'bad'] += 1;
      expectTold(path, answer);
    }
  });
});

describe('answers are as the document says', () => {
  it('of all kinds', async () => {
    const ticket = osdTicket();
    const { first, final, request } = await kit.accept(ticket, { secure: true });
    expectTold('/v1/verify', first);
    expectTold('/v1/verify', final);
    const byReceipt = { ...request, secure: undefined, receipt: final.body.receipt };
    expectTold('/v1/verify', await kit.verify(byReceipt));
    const own = osdTicket({ aes: true, caps: null });
    expectTold('/v1/verify', (await kit.accept(own)).final);
    const bare = { service: 'osd', authorizer: b64(ticket.authorizer()) };
    expectTold('/v1/verify', await kit.verify({ ...bare, allow_unchallenged_verdict: true }));
    for (const path of ['/livez', '/readyz', '/readyz?verbose', '/version']) {
      expectTold(path.split('?')[0]!, await kit.raw(path, {}), 'get');
    }
    const op = { pool: 'liverpool', object: 'o', read: true };
    for (const subject of [{ session }, { caps: 'allow r' }, { entity: 'client.x' }]) {
      const body = { service: 'osd', ...subject, op };
      expectTold('/v1/check', await kit.post('/v1/check?explain=true', body));
    }
    const release = `/v1/sessions/${final.body.session}/release`;
    const released = await kit.raw(release, { method: 'POST', headers: JSON_HEADERS });
    expectTold('/v1/sessions/{handle}/release', released);
    expect(challengeIn(ticket, first)).toBeTypeOf('bigint');
  });

  it('to a caller without rights', async () => {
    const denied = await kit.post('/v1/check', { service: 'osd', caps: '', op: {} }, TCP);
    expect(denied.body.code).toBe('right.missing');
    expectTold('/v1/check', denied);
  });
});

/** Whether the sidecar took the body for what it should be. */
function accepts(path: string, { status, body }: Answer): boolean {
  if (status === 200) {
    if (path !== '/v1/checks') return true;
    const answers = body.answers as { reason: { code: string } }[];
    return answers.every(({ reason }) => reason.code !== 'record.malformed');
  }
  // These speak of how fields go together or of what the caller may, not of the body's form.
  if (body.code === 'field.conflict') return path !== '/v1/check';
  expect(body.code).toMatch(/^(?:field|service|body)\./);
  return false;
}

function expectTold(path: string, answer: Answer, method = 'post'): void {
  const { responses } = document.paths[path][method];
  const told = responses[answer.status]?.content['application/json'].schema;
  const valid = compiled(told ?? document.components.schemas.Problem);
  expect(valid(answer.body), `${answer.text}: ${JSON.stringify(valid.errors)}`).toBe(true);
}

function compiled(schema: object): ValidateFunction {
  const key = JSON.stringify(schema);
  let found = schemas.get(key);
  if (found === undefined) {
    found = ajv().compile(schema);
    schemas.set(key, found);
  }
  return found;
}

function ajv(): Ajv {
  const made = new Ajv({ strict: true, strictTypes: false, strictRequired: false });
  made.addFormat('ipv4', isIPv4);
  made.addFormat('ipv6', (text) => isIPv6(text) && !text.includes('%'));
  made.addKeyword({
    keyword: 'x-cephgate-bytes',
    type: 'string',
    compile: ({ min, max }, parent) => {
      const encoding = parent.contentEncoding === 'base64' ? 'base64' : 'utf8';
      return (text: string) => {
        const length = Buffer.from(text, encoding).length;
        return length >= min && length <= max;
      };
    },
  });
  return made;
}
