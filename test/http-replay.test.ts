/**
 * Replay (CVE-2018-1128 and its relatives): authorizers, challenge states and receipts on another
 * connection, peer, service, caller, later, twice, and after a restart.
 */

import { sha256 } from '@noble/hashes/sha2.js';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Listener, Right } from '../src/http/callers.ts';
import { HOUR_NS, type TestTicket } from './authorizers.ts';
import {
  type Accepted,
  type Answer,
  b64,
  bytesOf,
  challengeIn,
  HOST,
  JSON_HEADERS,
  Kit,
  newConnection,
  osdTicket,
  random,
  SECOND_NS,
  TCP,
  UNIX,
} from './http-kit.ts';

const TOKENS = ['a'.repeat(32), 'b'.repeat(32)];
const RIGHTS: ReadonlySet<Right> = new Set(['verify', 'accept']);
const BEARER: Listener = {
  kind: 'tcp',
  hosts: new Set([HOST]),
  tokens: TOKENS.map((token) => {
    return { hash: sha256(new TextEncoder().encode(token)), rights: RIGHTS };
  }),
};
const EXPIRED = 'authorizer.challenge_expired';

let kit: Kit;
let ticket: TestTicket;
beforeEach(async () => {
  kit = await Kit.create();
  ticket = osdTicket();
});

/** First step; the second is ready to be sent, whole or altered. */
async function challenged(
  fields: Readonly<Record<string, unknown>> = {},
): Promise<Readonly<Record<string, unknown>>> {
  const base = { service: 'osd', peer: '192.0.2.7', connection: newConnection(), ...fields };
  const first = await kit.verify({ ...base, authorizer: b64(ticket.authorizer()) });
  const authorizer = b64(ticket.authorizer(challengeIn(ticket, first)));
  return { ...base, authorizer, challenge_state: first.body.challenge_state };
}

function expectRefused(answer: Answer, code: string): void {
  expect(answer.status).toBe(200);
  expect(answer.body.decision).toBe(false);
  expect(answer.body.reason.code).toBe(code);
  for (const name of ['reply', 'session', 'receipt', 'connection_secret', 'entity']) {
    expect(answer.body).not.toHaveProperty(name);
  }
}

async function asToken(path: string, body: unknown, token: string): Promise<Answer> {
  const headers = { ...JSON_HEADERS, authorization: `Bearer ${token}` };
  return kit.raw(path, { method: 'POST', headers, body: JSON.stringify(body) }, BEARER);
}

/** The same keys and a new process. */
function restarted(): Promise<Kit> {
  return Kit.create({ keys: kit.deps.state.keys });
}

describe('an authorizer that was accepted', () => {
  it('only gets another challenge when it is sent again', async () => {
    const { request } = await kit.accept(ticket);
    const again = await kit.verify(request);
    expectRefused(again, 'authorizer.challenge_required');
    const elsewhere = await kit.verify({ ...request, connection: newConnection() });
    expectRefused(elsewhere, 'authorizer.challenge_required');
  });

  it('does not answer another challenge', async () => {
    const { request } = await kit.accept(ticket);
    const first = await kit.verify(request);
    const { challenge_state } = first.body;
    const replayed = await kit.verify({ ...request, challenge_state });
    expectRefused(replayed, 'authorizer.challenge_mismatch');
  });
});

describe('a challenge state', () => {
  it('is good once', async () => {
    const second = await challenged();
    expect((await kit.verify(second)).body.decision).toBe(true);
    expectRefused(await kit.verify(second), EXPIRED);
  });

  it('is good for 10 s', async () => {
    const late = await challenged();
    const latest = await challenged();
    kit.nowNs += 10n * SECOND_NS;
    expect((await kit.verify(latest)).body.decision).toBe(true);
    kit.nowNs += 1n;
    expectRefused(await kit.verify(late), EXPIRED);
  });

  it('stays spent when the clock is set forward and back', async () => {
    const second = await challenged();
    const start = kit.nowNs;
    expect((await kit.verify(second)).body.decision).toBe(true);
    kit.nowNs = start + 11n * SECOND_NS;
    expect((await kit.verify(await challenged())).body.decision).toBe(true);
    expect(kit.deps.state.spent.size).toBe(1);
    kit.nowNs = start;
    expectRefused(await kit.verify(second), EXPIRED);
  });

  it('from the future is not good', async () => {
    const second = await challenged();
    kit.nowNs -= 1n;
    expectRefused(await kit.verify(second), EXPIRED);
  });

  it.each([
    ['connection', { connection: 'another' }],
    ['no connection', { connection: undefined }],
    ['peer', { peer: '192.0.2.8' }],
    ['peer of another family', { peer: '::ffff:192.0.2.7' }],
    ['no peer', { peer: undefined }],
    ['service', { service: 'mgr' }],
  ])('is not good for another %s', async (_, fields) => {
    const second = await challenged();
    const answer = await kit.verify({ ...second, ...fields });
    expectRefused(answer, 'service' in fields ? 'authorizer.service' : EXPIRED);
    expect((await kit.verify(second)).body.decision).toBe(true);
  });

  it('is not good for another service of the same secret', async () => {
    // The mds ticket verifies under mds; only the state speaks of mgr.
    const base = { peer: '192.0.2.7', connection: newConnection() };
    const mgr = osdTicket({ service: 16 });
    const first = await kit.verify({ ...base, service: 'mgr', authorizer: b64(mgr.authorizer()) });
    const mds = osdTicket({ service: 2 });
    const authorizer = b64(mds.authorizer(challengeIn(mgr, first)));
    const { challenge_state } = first.body;
    const request = { ...base, service: 'mds', authorizer, challenge_state };
    expectRefused(await kit.verify(request), EXPIRED);
  });

  it('is not good for another part a', async () => {
    const second = await challenged();
    const other = osdTicket({ entity: 'client.mallory' });
    const authorizer = b64(other.authorizer(1n));
    expectRefused(await kit.verify({ ...second, authorizer }), EXPIRED);
  });

  it('is not good for another caller', async () => {
    const base = { service: 'osd', peer: '192.0.2.7', connection: newConnection() };
    const body = { ...base, authorizer: b64(ticket.authorizer()) };
    const first = await asToken('/v1/verify', body, TOKENS[0]!);
    const authorizer = b64(ticket.authorizer(challengeIn(ticket, first)));
    const second = { ...base, authorizer, challenge_state: first.body.challenge_state };
    expectRefused(await asToken('/v1/verify', second, TOKENS[1]!), EXPIRED);
    expectRefused(await kit.verify(second, UNIX), EXPIRED);
    expect((await asToken('/v1/verify', second, TOKENS[0]!)).body.decision).toBe(true);
  });

  it('cannot be altered in any byte', async () => {
    const second = await challenged();
    const state = bytesOf(second.challenge_state as string);
    for (let at = 0; at < state.length; at++) {
      const altered = state.slice();
      altered[at]! ^= 1 << (at % 8);
      expectRefused(await kit.verify({ ...second, challenge_state: b64(altered) }), EXPIRED);
    }
    expect((await kit.verify(second)).body.decision).toBe(true);
  });

  it('does not contain the challenge', async () => {
    const base = { service: 'osd', connection: newConnection() };
    const first = await kit.verify({ ...base, authorizer: b64(ticket.authorizer()) });
    const challenge = new Uint8Array(8);
    new DataView(challenge.buffer).setBigUint64(0, challengeIn(ticket, first), true);
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
    expect(hex(bytesOf(first.body.challenge_state))).not.toContain(hex(challenge));
  });

  it('of another process is taken if there is a connection, and spent there', async () => {
    const second = await challenged();
    const next = await restarted();
    expect((await next.verify(second)).body.decision).toBe(true);
    expectRefused(await next.verify(second), EXPIRED);
  });

  it('of another process is not taken without connection', async () => {
    const second = await challenged({ connection: undefined });
    expectRefused(await (await restarted()).verify(second), EXPIRED);
    expect((await kit.verify(second)).body.decision).toBe(true);
  });

  it('made with the previous key is taken, with an older one not', async () => {
    const second = await challenged();
    const { current } = kit.deps.state.keys;
    const next = await Kit.create({ keys: { current: random(32), previous: current } });
    expect((await next.verify(second)).body.decision).toBe(true);
    const later = await Kit.create({ keys: { current: random(32), previous: random(32) } });
    expectRefused(await later.verify(second), EXPIRED);
  });

  it('is judged only after part b has opened', async () => {
    const second = await challenged();
    const authorizer = bytesOf(second.authorizer as string);
    authorizer[authorizer.length - 1]! ^= 1;
    for (const challenge_state of ['AAAA', second.challenge_state]) {
      const broken = { ...second, authorizer: b64(authorizer), challenge_state };
      expectRefused(await kit.verify(broken), 'authorizer.invalid');
    }
  });

  it('is remembered in bounded space: beyond it nothing is accepted', async () => {
    const small = await Kit.create({ spentMax: 3 });
    for (let i = 0; i < 3; i++) expect((await small.accept(ticket)).final.body.decision).toBe(true);
    expect((await small.accept(ticket)).final.body.reason.code).toBe('limit.exceeded');
    small.nowNs += 11n * SECOND_NS;
    expect((await small.accept(ticket)).final.body.decision).toBe(true);
    expect(small.deps.state.spent.size).toBe(1);
  });
});

describe('a receipt', () => {
  /** What a node sends after a restart. */
  function withReceipt({ request, final }: Accepted): Readonly<Record<string, unknown>> {
    return { ...request, receipt: final.body.receipt };
  }

  it('brings a session back after a restart, without reply or secret', async () => {
    const accepted = await kit.accept(ticket, { secure: true });
    const next = await restarted();
    const op = { pool: 'liverpool', object: 'o', read: true };
    const lost = await next.post('/v1/check', {
      service: 'osd',
      session: accepted.final.body.session,
      op,
    });
    expect(lost.body.reason.code).toBe('session.unknown');
    const { body } = await next.verify(withReceipt(accepted));
    expect(body).toMatchObject({ decision: true, freshness: 'receipt', entity: 'client.john' });
    expect(body).not.toHaveProperty('reply');
    expect(body).not.toHaveProperty('connection_secret');
    const check = await next.post('/v1/check', { service: 'osd', session: body.session, op });
    expect(check.body.decision).toBe(true);
    const twice = await (await restarted()).verify({ ...accepted.request, receipt: body.receipt });
    expect(twice.body.decision).toBe(true);
  });

  it('keeps everything else checked', async () => {
    const accepted = await kit.accept(ticket);
    kit.nowNs += 2n * HOUR_NS;
    expectRefused(await kit.verify(withReceipt(accepted)), 'ticket.expired');
    kit.nowNs -= 2n * HOUR_NS;
    const authorizer = bytesOf(accepted.request.authorizer as string);
    authorizer[authorizer.length - 1]! ^= 1;
    const altered = { ...withReceipt(accepted), authorizer: b64(authorizer) };
    expectRefused(await kit.verify(altered), 'authorizer.invalid');
  });

  it.each([
    ['connection', { connection: 'another' }],
    ['no connection', { connection: undefined }],
    ['peer', { peer: '192.0.2.8' }],
    ['no peer', { peer: undefined }],
  ])('is not good for another %s', async (_, fields) => {
    const accepted = await kit.accept(ticket);
    expectRefused(await kit.verify({ ...withReceipt(accepted), ...fields }), EXPIRED);
  });

  it('is not good for another part a, service, or caller', async () => {
    const accepted = await kit.accept(ticket);
    const other = b64(osdTicket({ entity: 'client.mallory' }).authorizer());
    expectRefused(await kit.verify({ ...withReceipt(accepted), authorizer: other }), EXPIRED);
    const mgr = { ...withReceipt(accepted), service: 'mgr' };
    expectRefused(await kit.verify(mgr), 'authorizer.service');
    const foreign = await asToken('/v1/verify', withReceipt(accepted), TOKENS[0]!);
    expectRefused(foreign, EXPIRED);
    const anonymous = await kit.verify(withReceipt(accepted), TCP);
    expect([anonymous.status, anonymous.body.code]).toEqual([403, 'right.missing']);
  });

  it('cannot be altered in any byte, and a state is no receipt', async () => {
    const accepted = await kit.accept(ticket);
    const receipt = bytesOf(accepted.final.body.receipt);
    for (let at = 0; at < receipt.length; at++) {
      const altered = receipt.slice();
      altered[at]! ^= 1 << (at % 8);
      expectRefused(await kit.verify({ ...accepted.request, receipt: b64(altered) }), EXPIRED);
    }
    const second = await challenged();
    const { challenge_state: receiptOfState, ...request } = second;
    expectRefused(await kit.verify({ ...request, receipt: receiptOfState }), EXPIRED);
    const { receipt: stateOfReceipt } = accepted.final.body;
    const asState = { ...accepted.request, challenge_state: stateOfReceipt };
    expectRefused(await kit.verify(asState), EXPIRED);
  });

  it('is not given for a connection without a name', async () => {
    const { final } = await kit.accept(ticket, { connection: undefined });
    expect(final.body.session).toBeTypeOf('string');
    expect(final.body).not.toHaveProperty('receipt');
  });

  it('does not make a session younger', async () => {
    const policy = { sessionMaxAgeNs: 60n * SECOND_NS };
    const aging = await Kit.create({ policy, keys: kit.deps.state.keys });
    const accepted = await kit.accept(ticket);
    aging.nowNs += 59n * SECOND_NS;
    const { body } = await aging.verify(withReceipt(accepted));
    expect(body.decision).toBe(true);
    const ask = { service: 'osd', session: body.session, op: { pool: 'liverpool', read: true } };
    expect((await aging.post('/v1/check', ask)).body.decision).toBe(true);
    aging.nowNs += SECOND_NS;
    expect((await aging.post('/v1/check', ask)).body.reason.code).toBe('session.expired');
    expect((await aging.post('/v1/check', ask)).body.reason.code).toBe('session.unknown');
    expectRefused(await aging.verify(withReceipt(accepted)), EXPIRED);
  });

  it('cannot be given together with another proof of freshness', async () => {
    const accepted = await kit.accept(ticket);
    const more = [{ challenge_state: 'AAAA' }, { expected_challenge: '1' }];
    for (const fields of more) {
      const { status, body } = await kit.verify({ ...withReceipt(accepted), ...fields });
      expect([status, body.code]).toEqual([400, 'field.conflict']);
    }
  });
});
