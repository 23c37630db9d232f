/** POST /v1/verify: challenge, state, receipt, and what each kind of caller gets. */

import { beforeEach, describe, expect, it } from 'vitest';
import { openAuthorizeReply } from '../src/cephx/authorizer.ts';
import { openObject } from '../src/cephx/cryptokey.ts';
import { Reader } from '../src/cephx/denc.ts';
import { decodeAuthorize, decodeAuthorizer } from '../src/cephx/protocol.ts';
import { REASON_CODES } from '../src/engine/index.ts';
import { HOUR_NS, NOW_NS } from './authorizers.ts';
import {
  b64,
  bytesOf,
  challengeIn,
  Kit,
  newConnection,
  osdTicket,
  random,
  SECOND_NS,
  TCP,
  UNIX,
} from './http-kit.ts';
import { twinSealer } from './twin/sealer.ts';

let kit: Kit;
beforeEach(async () => {
  kit = await Kit.create();
});

/** Fields that only a caller with `accept` may ever see. */
const HANDED_OUT = [
  'reply',
  'connection_secret',
  'session',
  'receipt',
  'challenge',
  'challenge_state',
];

function nonceOf(authorizer: string, key: ReturnType<typeof osdTicket>['sessionKey']): bigint {
  const { sealed } = decodeAuthorizer(new Reader(bytesOf(authorizer)));
  const part = openObject(twinSealer, key, 0x10, sealed, { prefixed: false });
  return decodeAuthorize(new Reader(part)).nonce;
}

describe('a caller with accept', () => {
  it('gets a challenge first, and nothing else', async () => {
    const ticket = osdTicket();
    const { status, body } = await kit.verify({
      service: 'osd',
      authorizer: b64(ticket.authorizer()),
    });
    expect(status).toBe(200);
    expect(body.decision).toBe(false);
    expect(body.authenticated).toBe(false);
    expect(body.client_errno).toBe(-13);
    expect(body.reason.code).toBe('authorizer.challenge_required');
    expect(Object.keys(body).sort()).toEqual([
      ...['authenticated', 'challenge', 'challenge_state', 'client_errno', 'decision'],
      ...['decision_id', 'reason', 'snapshot'],
    ]);
  });

  it('gets the whole answer for an answered challenge', async () => {
    const ticket = osdTicket();
    const { final } = await kit.accept(ticket);
    const { reply, session, receipt, decision_id, ...rest } = final.body;
    expect(rest).toEqual({
      decision: true,
      authenticated: true,
      freshness: 'challenge',
      reason: { code: 'ok' },
      entity: 'client.john',
      global_id: '4153',
      service: 'osd',
      caps: 'allow rw pool=liverpool',
      allow_all: false,
      created: '2027-01-15T08:00:00.000000000Z',
      expires: '2027-01-15T09:00:00.000000000Z',
      expired: false,
      secret_id: '2',
      ticket_key_type: 'aes256k',
      session_key_type: 'aes256k',
      integrity: 'mac',
      snapshot: '1',
    });
    expect(session).toMatch(/^[0-9a-f]{32}$/);
    expect(decision_id).toMatch(/^[0-9a-f]{24}$/);
    expect(receipt).toBeTypeOf('string');
    expect(reply).toBeTypeOf('string');
  });

  it.each([
    ['aes256k', 'aes256k'],
    ['aes256k', 'aes'],
    ['aes', 'aes'],
    ['aes', 'aes256k'],
  ] as const)('can answer a client: ticket %s, session key %s', async (type, sessionType) => {
    const ticket = osdTicket({ aes: type === 'aes', sessionType });
    const { final, request } = await kit.accept(ticket, { secure: true });
    const { body } = final;
    expect([body.ticket_key_type, body.session_key_type]).toEqual([type, sessionType]);
    expect(body.integrity).toBe(type === 'aes' ? 'none' : 'mac');
    const nonce = nonceOf(request.authorizer as string, ticket.sessionKey);
    const reply = bytesOf(body.reply);
    const secret = openAuthorizeReply(twinSealer, ticket.sessionKey, nonce, reply);
    expect(secret).toHaveLength(64);
    expect(b64(secret)).toBe(body.connection_secret);
  });

  it('gets no connection secret without "secure"', async () => {
    const ticket = osdTicket();
    const { final, request } = await kit.accept(ticket);
    expect(final.body).not.toHaveProperty('connection_secret');
    const nonce = nonceOf(request.authorizer as string, ticket.sessionKey);
    const reply = bytesOf(final.body.reply);
    expect(openAuthorizeReply(twinSealer, ticket.sessionKey, nonce, reply)).toHaveLength(0);
  });

  it('may have made the challenge itself', async () => {
    const ticket = osdTicket();
    const authorizer = b64(ticket.authorizer(18446744073709551615n));
    const request = { service: 'osd', authorizer, connection: newConnection() };
    const good = await kit.verify({ ...request, expected_challenge: '18446744073709551615' });
    expect(good.body).toMatchObject({ decision: true, freshness: 'challenge' });
    expect(good.body.session).toBeTypeOf('string');
    const bad = await kit.verify({ ...request, expected_challenge: '0' });
    expect(bad.body.reason.code).toBe('authorizer.challenge_mismatch');
    const unanswered = await kit.verify({
      ...request,
      authorizer: b64(ticket.authorizer()),
      expected_challenge: '5',
    });
    expect(unanswered.body.reason.code).toBe('authorizer.challenge_mismatch');
  });

  it('gets no unchallenged verdict unless that is enabled, and then a bare one', async () => {
    const authorizer = b64(osdTicket().authorizer());
    const request = { service: 'osd', authorizer, allow_unchallenged_verdict: true };
    const refused = await kit.verify(request);
    expect([refused.status, refused.body.code]).toEqual([403, 'unchallenged.disabled']);
    const lax = await Kit.create({ allowUnchallengedVerdict: true });
    const { body } = await lax.verify({ ...request, connection: newConnection() });
    expect(body).toMatchObject({ decision: true, freshness: 'none', entity: 'client.john' });
    for (const name of HANDED_OUT) expect(body).not.toHaveProperty(name);
    const usual = await lax.verify({ service: 'osd', authorizer });
    expect(usual.body.reason.code).toBe('authorizer.challenge_required');
  });

  it('spends a wrong answer too: one answer per challenge', async () => {
    const ticket = osdTicket();
    const base = { service: 'osd', connection: newConnection() };
    const first = await kit.verify({ ...base, authorizer: b64(ticket.authorizer()) });
    const { challenge_state } = first.body;
    const wrong = b64(ticket.authorizer(challengeIn(ticket, first) + 1n));
    const refused = await kit.verify({ ...base, authorizer: wrong, challenge_state });
    expect(refused.body.reason.code).toBe('authorizer.challenge_mismatch');
    const right = b64(ticket.authorizer(challengeIn(ticket, first)));
    const late = await kit.verify({ ...base, authorizer: right, challenge_state });
    expect(late.body.reason.code).toBe('authorizer.challenge_expired');
  });

  it('gets a different challenge each time', async () => {
    const ticket = osdTicket();
    const request = { service: 'osd', authorizer: b64(ticket.authorizer()) };
    const seen = new Set<bigint>();
    for (let i = 0; i < 50; i++) seen.add(challengeIn(ticket, await kit.verify(request)));
    expect(seen.size).toBe(50);
  });
});

describe('a caller with only verify', () => {
  it('gets a bare verdict without a challenge', async () => {
    const request = { service: 'osd', authorizer: b64(osdTicket().authorizer()) };
    const { body } = await kit.verify({ ...request, connection: 'c', peer: '192.0.2.7' }, TCP);
    expect(body).toMatchObject({ decision: true, freshness: 'none', entity: 'client.john' });
    for (const name of HANDED_OUT) expect(body).not.toHaveProperty(name);
    expect(kit.deps.state.sessions.size).toBe(0);
  });

  it('gets freshness by expected_challenge, and still nothing handed out', async () => {
    const authorizer = b64(osdTicket().authorizer(7n));
    const request = { service: 'osd', authorizer, connection: 'c', expected_challenge: '7' };
    const { body } = await kit.verify(request, TCP);
    expect(body).toMatchObject({ decision: true, freshness: 'challenge' });
    for (const name of HANDED_OUT) expect(body).not.toHaveProperty(name);
  });

  it.each([{ challenge_state: 'x' }, { receipt: 'x' }, { secure: true }])(
    'is told that %j needs accept',
    async (fields) => {
      const authorizer = b64(osdTicket().authorizer());
      const { status, body } = await kit.verify({ service: 'osd', authorizer, ...fields }, TCP);
      expect([status, body.code]).toEqual([403, 'right.missing']);
    },
  );

  it('has no session, release or signature', async () => {
    const { final } = await kit.accept(osdTicket());
    const { session } = final.body;
    const op = { pool: 'liverpool', read: true };
    const check = await kit.post('/v1/check', { service: 'osd', session, op }, TCP);
    expect(check.body.reason.code).toBe('session.unknown');
    for (const path of [`/v1/sessions/${session}/release`, '/v1/sign', '/v1/sign/verify']) {
      const { status, body } = await kit.post(path, {}, TCP);
      expect([path, status, body.code]).toEqual([path, 403, 'right.missing']);
    }
    const still = await kit.post('/v1/check', { service: 'osd', session, op }, UNIX);
    expect(still.body.decision).toBe(true);
  });
});

describe('tickets', () => {
  it('show their caps and flags', async () => {
    const none = await kit.accept(osdTicket({ caps: null }));
    expect(none.final.body).toMatchObject({ caps: '', allow_all: false });
    const all = await kit.accept(osdTicket({ allowAll: true }));
    expect(all.final.body).toMatchObject({ allow_all: true });
  });

  it('are refused past their time and before, unless expiry is only reported', async () => {
    const cases = [
      [{ createdNs: NOW_NS - 2n * HOUR_NS }, 'ticket.expired'],
      [{ createdNs: NOW_NS + HOUR_NS }, 'ticket.not_yet_valid'],
      [{ createdNs: NOW_NS - HOUR_NS - 299n * SECOND_NS }, 'ok'],
      [{ createdNs: NOW_NS - HOUR_NS - 300n * SECOND_NS }, 'ticket.expired'],
      [{ createdNs: NOW_NS + 300n * SECOND_NS }, 'ok'],
    ] as const;
    for (const [options, code] of cases) {
      const authorizer = b64(osdTicket(options).authorizer());
      const { body } = await kit.verify({ service: 'osd', authorizer }, TCP);
      expect(body.reason.code).toBe(code);
    }
    for (const expiry of ['report', 'ring'] as const) {
      const lax = await Kit.create({ policy: { expiry } });
      const authorizer = b64(osdTicket({ createdNs: NOW_NS - 2n * HOUR_NS }).authorizer());
      const { body } = await lax.verify({ service: 'osd', authorizer }, TCP);
      expect(body).toMatchObject({ decision: true, expired: true });
    }
  });

  it('of a type that is not allowed are refused', async () => {
    const strict = await Kit.create({ policy: { allowedTypes: ['aes256k'] } });
    const aes = await strict.verify(
      { service: 'osd', authorizer: b64(osdTicket({ aes: true }).authorizer()) },
      TCP,
    );
    expect(aes.body.reason.code).toBe('ticket.cipher_not_allowed');
    const aes256k = { service: 'osd', authorizer: b64(osdTicket().authorizer()) };
    expect((await strict.verify(aes256k, TCP)).body.decision).toBe(true);
  });

  it('of another service, an unknown secret or a broken frame are refused by name', async () => {
    const good = osdTicket().authorizer();
    const mode = good.slice();
    mode[0] = 10;
    const cases = [
      [osdTicket({ service: 2 }).authorizer(), 'authorizer.service'],
      [osdTicket({ secretId: 9n }).authorizer(), 'authorizer.secret_unknown'],
      [osdTicket({ secretId: 18446744073709551615n }).authorizer(), 'authorizer.secret_unknown'],
      [mode, 'authorizer.mode'],
      [good.subarray(0, 20), 'authorizer.malformed'],
      [good.subarray(0, good.length - 1), 'authorizer.malformed'],
      [new Uint8Array(0), 'authorizer.malformed'],
      [new Uint8Array(73729).fill(1), 'limit.exceeded'],
    ] as const;
    for (const listener of [UNIX, TCP]) {
      for (const [authorizer, code] of cases) {
        const request = { service: 'osd', authorizer: b64(authorizer), connection: 'c' };
        const { status, body } = await kit.verify(request, listener);
        expect([status, body.decision, body.reason.code]).toEqual([200, false, code]);
        expect(body.client_errno).toBe(-13);
      }
    }
  });

  it('for mds and mgr are judged by their own secrets; mon and auth are refused', async () => {
    for (const [service, id] of [
      ['mds', 2],
      ['mgr', 16],
    ] as const) {
      const authorizer = b64(osdTicket({ service: id }).authorizer());
      const { body } = await kit.verify({ service, authorizer }, TCP);
      expect(body).toMatchObject({ decision: true, service });
    }
    for (const service of ['mon', 'auth']) {
      for (const listener of [UNIX, TCP]) {
        const { status, body } = await kit.verify({ service, authorizer: '' }, listener);
        expect([status, body.code]).toEqual([403, 'service.refused']);
      }
    }
  });
});

describe('the log', () => {
  it('has the exact check and no bytes', async () => {
    const good = osdTicket().authorizer();
    good[good.length - 1]! ^= 1;
    await kit.verify({ service: 'osd', authorizer: b64(good) }, TCP);
    expect(kit.logs.at(-1)).toMatchObject({
      event: 'decision',
      call: 'verify',
      caller: 'tcp',
      service: 'osd',
      decision: false,
      reason: 'authorizer.invalid',
      check: 'ciphertext.mac',
    });
  });

  it('says which token was refused', async () => {
    const ticket = osdTicket();
    const { final, request } = await kit.accept(ticket);
    const receipt = bytesOf(final.body.receipt);
    receipt[receipt.length - 1]! ^= 1;
    await kit.verify({ ...request, receipt: b64(receipt) });
    expect(kit.logs.at(-1)).toMatchObject({ check: 'sidecar.receipt.bad' });
    await kit.verify({ ...request, challenge_state: b64(random(81)) });
    expect(kit.logs.at(-1)).toMatchObject({ check: 'sidecar.state.bad' });
  });
});

it('knows every reason that it can give', async () => {
  const { REASON_MESSAGES } = await import('../src/http/reasons.ts');
  expect(Object.keys(REASON_MESSAGES)).toEqual([...REASON_CODES]);
});
