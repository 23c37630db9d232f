/** POST /v1/sign and /v1/sign/verify. */

import { beforeEach, describe, expect, it } from 'vitest';
import {
  handshakeSignature,
  legacyMessageSignature,
  messageSignature,
} from '../src/cephx/signature.ts';
import type { TestTicket } from './authorizers.ts';
import { type Answer, b64, Kit, osdTicket, random } from './http-kit.ts';
import { twinSealer } from './twin/sealer.ts';

const NUMBERS = {
  header_crc: 1,
  front_crc: 0xffffffff,
  front_len: 3,
  middle_crc: 4,
  middle_len: 5,
  data_crc: 6,
  data_len: 7,
  seq: '18446744073709551615',
};

let kit: Kit;
beforeEach(async () => {
  kit = await Kit.create({ sign: true });
});

async function open(ticket: TestTicket): Promise<string> {
  return (await kit.accept(ticket)).final.body.session;
}

function sign(body: unknown): Promise<Answer> {
  return kit.post('/v1/sign', body);
}

function signVerify(body: unknown): Promise<Answer> {
  return kit.post('/v1/sign/verify', body);
}

const MESSAGE = {
  headerCrc: 1,
  frontCrc: 0xffffffff,
  frontLen: 3,
  middleCrc: 4,
  middleLen: 5,
  dataCrc: 6,
  dataLen: 7,
  seq: 18446744073709551615n,
};

function word(signature: bigint | undefined): string {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, signature!, true);
  return b64(bytes);
}

describe('msgr1 under aes', () => {
  const schemes = [
    ['msgr1', messageSignature],
    ['msgr1-legacy', legacyMessageSignature],
  ] as const;
  it.each(schemes)('%s is what a client computes', async (scheme, compute) => {
    const ticket = osdTicket({ sessionType: 'aes' });
    const request = { session: await open(ticket), scheme, block: NUMBERS };
    const { status, body } = await sign(request);
    expect([status, body.decision, body.authenticated]).toEqual([200, true, true]);
    expect(body.signature).toBe(word(compute(twinSealer, ticket.sessionKey, MESSAGE)));
    const { signature } = body;
    expect((await signVerify({ ...request, signature })).body.decision).toBe(true);
  });

  it('every number counts, of seq its low word', async () => {
    const ticket = osdTicket({ sessionType: 'aes' });
    const request = { session: await open(ticket), scheme: 'msgr1' };
    const { signature } = (await sign({ ...request, block: NUMBERS })).body;
    for (const name of Object.keys(NUMBERS)) {
      const block = { ...NUMBERS, [name]: name === 'seq' ? '1' : 99 };
      const { body } = await signVerify({ ...request, block, signature });
      expect(body).toMatchObject({
        decision: false,
        reason: { code: 'signature.mismatch' },
        client_errno: -13,
      });
    }
    for (const seq of ['4294967295', 4294967295, '8589934591']) {
      const block = { ...NUMBERS, seq };
      expect((await signVerify({ ...request, block, signature })).body.decision).toBe(true);
    }
  });
});

describe('msgr1 under aes256k', () => {
  it('is unsupported unless enabled', async () => {
    const ticket = osdTicket();
    const request = { session: await open(ticket), scheme: 'msgr1', block: NUMBERS };
    const { body } = await sign(request);
    expect(body).toMatchObject({ decision: false, reason: { code: 'signature.unsupported' } });
    expect(body).not.toHaveProperty('signature');
    const check = await signVerify({ ...request, signature: b64(new Uint8Array(8)) });
    expect(check.body).toMatchObject({
      decision: false,
      reason: { code: 'signature.unsupported' },
    });
    kit = await Kit.create({ sign: true, policy: { msgr1Aes256k: true } });
    const enabled = await sign({ ...request, session: await open(ticket) });
    const expected = messageSignature(twinSealer, ticket.sessionKey, MESSAGE, true);
    expect(enabled.body.signature).toBe(word(expected));
  });
});

describe('msgr2-auth', () => {
  it.each(['aes', 'aes256k'] as const)('is what a client computes (%s)', async (sessionType) => {
    const ticket = osdTicket({ sessionType });
    const bytes = random(300);
    const session = await open(ticket);
    const request = { session, scheme: 'msgr2-auth', block: { bytes: b64(bytes) } };
    const { body } = await sign(request);
    expect(body.signature).toBe(b64(handshakeSignature(twinSealer, ticket.sessionKey, bytes)));
    const { signature } = body;
    expect((await signVerify({ ...request, signature })).body.decision).toBe(true);
    const wrong = b64(new Uint8Array(32));
    const answer = await signVerify({ ...request, signature: wrong });
    expect(answer.body.reason.code).toBe('signature.mismatch');
    const short = signature.slice(0, 40);
    const cut = await signVerify({ ...request, signature: short });
    expect(cut.body.reason.code).toBe('signature.mismatch');
  });
});

describe('what is refused', () => {
  it('anything unless enabled', async () => {
    kit = await Kit.create();
    for (const path of ['/v1/sign', '/v1/sign/verify']) {
      const { status, body } = await kit.post(path, {});
      expect([status, body.code]).toEqual([403, 'sign.disabled']);
    }
  });

  it('sessions that are not there, ended, or too old', async () => {
    const request = { scheme: 'msgr1', block: NUMBERS };
    const unknown = await sign({ ...request, session: '00'.repeat(16) });
    expect(unknown.body).toMatchObject({
      decision: false,
      authenticated: false,
      reason: { code: 'session.unknown' },
    });
    kit = await Kit.create({ sign: true, policy: { sessionMaxAgeNs: 5n } });
    const session = await open(osdTicket({ sessionType: 'aes' }));
    kit.nowNs += 5n;
    expect((await sign({ ...request, session })).body.reason.code).toBe('session.expired');
  });

  it.each([
    [{ scheme: 'msgr3', block: NUMBERS }, 'field.value'],
    [{ scheme: 'msgr1', block: { bytes: 'AAAA' } }, 'field.unknown'],
    [{ scheme: 'msgr1', block: { ...NUMBERS, front_crc: '1' } }, 'field.type'],
    [{ scheme: 'msgr1', block: { ...NUMBERS, front_crc: undefined } }, 'field.missing'],
    [{ scheme: 'msgr1', block: { ...NUMBERS, seq: 2 ** 60 } }, 'field.value'],
    [{ scheme: 'msgr1', block: { ...NUMBERS, seq: -1 } }, 'field.value'],
    [{ scheme: 'msgr1' }, 'field.missing'],
    [{ scheme: 'msgr2-auth', block: NUMBERS }, 'field.unknown'],
    [{ scheme: 'msgr2-auth', block: { bytes: 'A' } }, 'field.value'],
  ])('%j', async (fields, code) => {
    const { status, body } = await sign({ session: 'x', ...fields });
    expect([status, body.code]).toEqual([400, code]);
  });
});
