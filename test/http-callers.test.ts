/** Callers and their rights: listeners, bearer tokens, Host, Origin. */

import { describe, expect, it } from 'vitest';
import { FileError } from '../src/errors.ts';
import { type Listener, parseTokens } from '../src/http/callers.ts';
import { type Answer, b64, HOST, JSON_HEADERS, Kit, osdTicket, TCP, UNIX } from './http-kit.ts';

const VERIFY = 'verify-verify-verify-verify-1';
const ACCEPT = 'accept-accept-accept-accept-1';
const FILE = `# tokens\n\nverify ${VERIFY}\naccept,verify\t${ACCEPT}  \n`;
const BEARER: Listener = {
  kind: 'tcp',
  hosts: new Set([HOST]),
  tokens: parseTokens(FILE, 'tokens'),
};

const kit = await Kit.create();

function get(headers: Readonly<Record<string, string>>, listener: Listener): Promise<Answer> {
  return kit.raw('/version', { headers }, listener);
}

function verify(authorization: string | undefined, listener: Listener): Promise<Answer> {
  const headers = { ...JSON_HEADERS, ...(authorization !== undefined && { authorization }) };
  const body = JSON.stringify({ service: 'osd', authorizer: b64(osdTicket().authorizer()) });
  return kit.raw('/v1/verify', { method: 'POST', headers, body }, listener);
}

describe('on TCP', () => {
  it.each([HOST, 'localhost:6480', 'LOCALHOST:6480'])('Host %s is ours', async (host) => {
    expect((await get({ host }, TCP)).status).toBe(200);
  });

  it.each([
    ...['evil.example', 'evil.example:6480', '127.0.0.1', '127.0.0.1:80', 'localhost', ''],
    ...['127.0.0.1:6480.evil.example', 'localhost.:6480', '[::1]:6480', '0.0.0.0:6480'],
  ])('Host "%s" is refused', async (host) => {
    const { status, body } = await get({ host }, TCP);
    expect([status, body.code]).toEqual([403, 'host.refused']);
  });

  it('a missing Host is refused', async () => {
    expect((await get({}, TCP)).body.code).toBe('host.refused');
  });

  it.each([
    ['origin', 'http://127.0.0.1:6480'],
    ['origin', 'null'],
    ['origin', ''],
    ['sec-fetch-site', 'none'],
    ['sec-fetch-site', 'same-origin'],
  ])('%s: %s is refused', async (name, value) => {
    for (const path of ['/version', '/livez', '/v1/verify', '/nowhere']) {
      const answer = await kit.raw(path, { headers: { host: HOST, [name]: value } }, TCP);
      expect([answer.status, answer.body.code]).toEqual([403, 'origin.refused']);
    }
  });

  it('there is no header that lets a page read an answer', async () => {
    const { headers } = await get({ host: HOST }, TCP);
    expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
  });
});

describe('on the unix socket', () => {
  it('Host, Origin and Sec-Fetch-Site do not matter', async () => {
    const headers = { host: 'x', origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' };
    expect((await get(headers, UNIX)).status).toBe(200);
  });
});

describe('bearer tokens', () => {
  it('give what their line says', async () => {
    const verdict = await verify(`Bearer ${VERIFY}`, BEARER);
    expect(verdict.body).toMatchObject({ decision: true, freshness: 'none' });
    const challenge = await verify(`Bearer ${ACCEPT}`, BEARER);
    expect(challenge.body.reason.code).toBe('authorizer.challenge_required');
    expect((await verify(`bearer  ${ACCEPT}`, BEARER)).status).toBe(200);
  });

  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    `Basic ${ACCEPT}`,
    ACCEPT,
    `Bearer ${ACCEPT}x`,
    `Bearer ${ACCEPT.slice(0, -1)}`,
    `Bearer ${ACCEPT} ${VERIFY}`,
    `Bearer ${ACCEPT},${VERIFY}`,
  ])('%j is none', async (authorization) => {
    const answer = await verify(authorization, BEARER);
    expect([answer.status, answer.body.code]).toEqual([401, 'token.required']);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
  });

  it('do not explain', async () => {
    const headers = { ...JSON_HEADERS, authorization: `Bearer ${ACCEPT}` };
    const body = JSON.stringify({ service: 'osd', caps: 'allow *', op: { pool: 'p' } });
    const answer = await kit.raw('/v1/check', { method: 'POST', headers, body }, BEARER);
    expect([answer.status, answer.body.code]).toEqual([403, 'right.missing']);
  });

  it('are not needed to ask for the health, and nothing on listeners without', async () => {
    expect((await get({ host: HOST }, BEARER)).status).toBe(200);
    expect((await verify(`Bearer ${ACCEPT}`, TCP)).body).toMatchObject({ freshness: 'none' });
  });

  it('never show up in the log', async () => {
    expect(JSON.stringify(kit.logs)).not.toMatch(/verify-verify|accept-accept/);
    expect(JSON.stringify(kit.logs)).toMatch(/"caller":"token:[0-9a-f]{32}"/);
  });
});

describe('a token file', () => {
  it.each([
    ['', 'holds no token'],
    ['# nothing\n', 'holds no token'],
    [`verify`, 'line 1: expected RIGHT[,RIGHT] TOKEN'],
    [`\nexplain ${ACCEPT}`, 'line 2: a right is not one of verify, accept'],
    [`accept,explain ${ACCEPT}`, 'line 1: a right is not one of'],
    ['accept short', 'line 1: the token has 5 characters'],
    [`accept ${ACCEPT}\nverify ${ACCEPT}`, 'line 2: a token is given twice'],
    [`accept ${ACCEPT} more`, 'line 1: expected'],
  ])('%j is refused: %s', (text, why) => {
    expect(() => parseTokens(text, 'F')).toThrow(FileError);
    expect(() => parseTokens(text, 'F')).toThrow(why);
    try {
      parseTokens(text, 'F');
    } catch (error) {
      expect(String(error)).not.toContain(ACCEPT);
    }
  });
});

it('a request without a listener is refused', async () => {
  const response = await kit.app.request('/version');
  expect(response.status).toBe(500);
});
