/**
 * TCP without a bearer token: no call to any route gives away what acts as the daemon. The same
 * calls over the unix socket do, so the table asks for the right things.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import type { Listener } from '../src/http/callers.ts';
import type { TestTicket } from './authorizers.ts';
import {
  type Accepted,
  b64,
  challengeIn,
  JSON_HEADERS,
  Kit,
  newConnection,
  osdTicket,
  TCP,
  UNIX,
} from './http-kit.ts';

const GIVES = [
  ...['reply', 'connection_secret', 'session', 'receipt', 'signature'],
  ...['challenge', 'challenge_state'],
];

let kit: Kit;
let ticket: TestTicket;
let accepted: Accepted;
let pending: Readonly<Record<string, unknown>>;
beforeAll(async () => {
  kit = await Kit.create({ sign: true, allowUnchallengedVerdict: true });
  ticket = osdTicket({ allowAll: true });
  accepted = await kit.accept(ticket, { secure: true });
});

/** Every call that gives something to somebody, and some that give nothing. */
async function bodies(): Promise<unknown[]> {
  const base = { service: 'osd', peer: '192.0.2.7', connection: newConnection() };
  const first = await kit.verify({ ...base, authorizer: b64(ticket.authorizer()) });
  const answered = b64(ticket.authorizer(challengeIn(ticket, first)));
  pending = { ...base, authorizer: answered, challenge_state: first.body.challenge_state };
  const expected = { ...base, authorizer: b64(ticket.authorizer(77n)), expected_challenge: '77' };
  const { session, receipt } = accepted.final.body;
  const op = { pool: 'liverpool', object: 'o', read: true };
  const block = { bytes: 'AAAA' };
  const numbers = Object.fromEntries(
    [
      'header_crc',
      'front_crc',
      'front_len',
      'middle_crc',
      'middle_len',
      'data_crc',
      'data_len',
    ].map((name) => [name, 1]),
  );
  // A session of its own: the other one may have been released by now.
  const { final } = await kit.accept(ticket);
  const sign = { session: final.body.session, scheme: 'msgr2-auth', block };
  return [
    undefined,
    {},
    [],
    { ...base, authorizer: b64(ticket.authorizer()) },
    { ...base, authorizer: b64(ticket.authorizer()), secure: true },
    { ...base, authorizer: b64(ticket.authorizer()), allow_unchallenged_verdict: true },
    pending,
    { ...pending, secure: true },
    expected,
    { ...expected, secure: true },
    { ...accepted.request, receipt },
    { ...accepted.request, secure: undefined, receipt },
    { service: 'osd', session, op },
    { service: 'osd', caps: 'allow *', op },
    { service: 'osd', entity: 'client.john', op },
    { service: 'mon', authorizer: b64(ticket.authorizer()) },
    sign,
    { ...sign, scheme: 'msgr1', block: { ...numbers, seq: '1' } },
    { ...sign, scheme: 'msgr1-legacy', block: { ...numbers, seq: '1' } },
    { ...sign, signature: 'AAAAAAAAAAA=' },
  ];
}

/** Names of all fields of all answers of all routes, and the answers as text. */
async function askAll(listener: Listener): Promise<{ names: Set<string>; texts: string[] }> {
  const { session } = accepted.final.body;
  const names = new Set<string>();
  const texts: string[] = [];
  // What acts on every path (`ALL /*`) is no route.
  const routes = kit.app.routes.filter(({ path }) => !path.includes('*'));
  expect(routes.length).toBeGreaterThanOrEqual(8);
  for (const { method, path } of routes) {
    const url = path.replace(':handle', session);
    for (const query of ['', '?explain=true', '?verbose']) {
      for (const body of await bodies()) {
        const post = method === 'GET' ? 'GET' : 'POST';
        const content = post === 'GET' || body === undefined ? null : JSON.stringify(body);
        const init = { method: post, headers: JSON_HEADERS, body: content };
        const answer = await kit.raw(url + query, init, listener);
        // The document has the names of all fields, and no values.
        if (path !== '/openapi.json') collect(answer.body, names);
        texts.push(answer.text);
      }
    }
  }
  return { names, texts };
}

function collect(value: unknown, names: Set<string>): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, held] of Object.entries(value)) {
    names.add(name);
    collect(held, names);
  }
}

describe('over all routes and bodies', () => {
  it('an anonymous caller on TCP is given nothing', async () => {
    const { names, texts } = await askAll(TCP);
    expect(GIVES.filter((name) => names.has(name))).toEqual([]);
    expect(names.has('decision')).toBe(true);
    const { reply, connection_secret, session, receipt } = accepted.final.body;
    for (const secret of [reply, connection_secret, session, receipt]) {
      expect(texts.filter((text) => text.includes(secret))).toEqual([]);
    }
    // Nor did it end or use up what belongs to others.
    expect((await kit.verify(pending)).body.decision).toBe(true);
    const ask = { service: 'osd', session, op: { pool: 'p', read: true } };
    expect((await kit.post('/v1/check', ask)).body.decision).toBe(true);
  });

  it('a caller on the unix socket is given all of it', async () => {
    const { names } = await askAll(UNIX);
    expect(GIVES.filter((name) => !names.has(name))).toEqual([]);
  });
});
