/** POST /v1/frames: the two steps, sessions and their owners, rights, masks, framing. */

import { beforeEach, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { openAuthorizeReply } from '../src/cephx/authorizer.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { encode } from '../src/cephx/denc.ts';
import { FrameWriter, SESSION_BEFORE } from '../src/client/frames.ts';
import { RecordWriter } from '../src/engine/index.ts';
import { FrameHost } from '../src/http/framehost.ts';
import { FrameOwner } from '../src/http/frameowners.ts';
import { HOUR_NS } from './authorizers.ts';
import {
  accept,
  ask,
  challengeOf,
  check,
  frames,
  nonceIn,
  OSD,
  PEER,
  post,
  verdicts,
  verify,
} from './frames-kit.ts';
import { b64, Kit, newConnection, osdTicket, SECOND_NS, TCP, UNIX } from './http-kit.ts';
import { twinSealer } from './twin/sealer.ts';

const OP = { pool: 'liverpool', object: 'o1', read: true };
const ACCEPT = { id: 'unix', rights: new Set(['verify', 'accept', 'explain'] as const) };

let kit: Kit;
beforeEach(async () => {
  kit = await Kit.create();
});

describe('a verify record', () => {
  it('is accepted in two steps, with reply, session and receipt', async () => {
    const ticket = osdTicket();
    const { first, final } = await accept(kit, ticket);
    expect([first.decision, first.handle, first.entityId]).toEqual([false, 0n, '']);
    expect([final.decision, final.reason, final.tag]).toEqual([true, 'ok', 1]);
    expect([final.entityType, final.entityId, final.globalId]).toEqual([8, 'john', 4153n]);
    expect([final.caps, final.challenged]).toEqual(['allow rw pool=liverpool', true]);
    expect(final.handle).not.toBe(0n);
    expect(final.token).toMatch(/^[A-Za-z0-9+/=]{56}$/);
    expect(final.connectionSecret).toBeUndefined();
    expect((await check(kit, { session: final.handle, op: OP, peer: PEER })).reason).toBe('ok');
  });

  it('hands out the connection secret that its reply holds, and no other key', async () => {
    const ticket = osdTicket();
    const { final, question } = await accept(kit, ticket, { secure: true });
    expect(final.connectionSecret).toHaveLength(64);
    const nonce = nonceIn(question.authorizer, ticket);
    const sealed = openAuthorizeReply(twinSealer, ticket.sessionKey, nonce, final.reply!);
    expect(b64(sealed)).toBe(b64(final.connectionSecret!));
    const key = Buffer.from(encode(CryptoKey.encode, ticket.sessionKey)).subarray(-32);
    expect(Buffer.from(final.bytes).includes(key)).toBe(false);
  });

  it('spends a challenge state once, on whichever way it came', async () => {
    const ticket = osdTicket();
    const { question, state } = await accept(kit, ticket);
    const again = await verify(kit, { ...question, challengeState: state });
    expect([again.reason, again.reply]).toEqual(['authorizer.challenge_expired', undefined]);
    const { request, challengeState } = await kit.accept(ticket);
    const connection = request.connection as string;
    const authorizer = Buffer.from(request.authorizer as string, 'base64');
    const spent = { peer: PEER, connection, authorizer, challengeState };
    expect((await verify(kit, spent)).reason).toBe('authorizer.challenge_expired');
  });

  it('takes states and receipts of /v1/verify, which takes its own', async () => {
    const ticket = osdTicket();
    const connection = newConnection();
    const json = { service: 'osd', peer: '192.0.2.7', connection };
    const asked = { peer: PEER, connection };
    const { body } = await kit.verify({ ...json, authorizer: b64(ticket.authorizer()) });
    const challenge = challengeOf(Buffer.from(body.challenge, 'base64'), ticket);
    const authorizer = ticket.authorizer(challenge);
    const state = { authorizer, challengeState: body.challenge_state };
    const verdict = await verify(kit, { ...asked, ...state });
    expect(verdict.reason).toBe('ok');
    const again = { ...json, authorizer: b64(authorizer), receipt: verdict.token };
    const { body: opened } = await kit.verify(again);
    expect([opened.freshness, opened.session.length]).toEqual(['receipt', 32]);
    const receipt = opened.receipt;
    expect((await verify(kit, { ...asked, authorizer, receipt })).reason).toBe('ok');
  });

  it('binds the state to service, connection and peer', async () => {
    const ticket = osdTicket();
    const { question, state, first } = await accept(kit, ticket);
    expect(first.token).toBe(state);
    for (const change of [{ connection: newConnection() }, { peer: undefined }]) {
      const { token } = await verify(kit, { ...question, authorizer: ticket.authorizer() });
      const other = await verify(kit, { ...question, ...change, challengeState: token });
      expect(other.reason).toBe('authorizer.challenge_expired');
    }
  });

  it('opens a session again by its receipt, without reply or secret', async () => {
    const ticket = osdTicket();
    const { final, question } = await accept(kit, ticket);
    const again = await verify(kit, { ...question, secure: true, receipt: final.token });
    expect([again.reason, again.reply, again.connectionSecret]).toEqual([
      'ok',
      undefined,
      undefined,
    ]);
    expect(again.handle).not.toBe(final.handle);
    const other = { ...question, connection: newConnection(), receipt: final.token };
    expect((await verify(kit, other)).reason).toBe('authorizer.challenge_expired');
    const both = { ...question, receipt: final.token, challengeState: final.token };
    expect((await verify(kit, both)).reason).toBe('record.malformed');
  });

  it('says nothing of a refused ticket, and never which rule it broke', async () => {
    const forged = osdTicket().authorizer();
    forged[forged.length - 1]! ^= 1;
    const old = osdTicket({ createdNs: kit.nowNs - 9n * HOUR_NS });
    for (const authorizer of [forged, forged.subarray(0, 20), new Uint8Array(0)]) {
      const verdict = await verify(kit, { authorizer, reply: true, session: true });
      expectBare(verdict.bytes);
    }
    const { final } = await accept(kit, old);
    expect(final.reason).toBe('ticket.expired');
    expectBare(final.bytes);
    const checks = kit.logs.map((line) => line.check);
    expect(checks.at(-1)).toBe('ticket.expired');
    expect(new Set(checks).size).toBeGreaterThan(3);
  });

  it('is a plain verdict for a caller that may only verify', async () => {
    const authorizer = osdTicket().authorizer();
    const verdict = await verify(kit, { authorizer }, TCP);
    expect([verdict.reason, verdict.entityId, verdict.handle]).toEqual(['ok', 'john', 0n]);
    expect([verdict.reply, verdict.token]).toEqual([undefined, undefined]);
    for (const more of [{ reply: true }, { session: true }, { challengeState: 'x' }]) {
      const refused = await verify(kit, { authorizer, ...more }, TCP);
      expect([refused.reason, refused.entityId]).toEqual(['record.malformed', '']);
    }
  });
});

describe('a session', () => {
  it('is good for the owner that opened it alone', async () => {
    const { final } = await accept(kit, osdTicket());
    const host = new FrameHost(kit.deps);
    const [mine, other] = [new FrameOwner(ACCEPT, '1'), new FrameOwner(ACCEPT, '2')];
    const question = { service: OSD, session: final.handle, op: OP, peer: PEER };
    const records = frames((writer) => writer.check(question, 0));
    const reasonFor = (owner: FrameOwner, bytes: Uint8Array): string =>
      verdicts(bytes, host.answer(owner, bytes.slice())[0]!)[0]!.reason;
    expect(reasonFor(mine, records)).toBe('session.unknown');
    const handle = openSession(host, mine);
    const own = frames((writer) => writer.check({ ...question, session: handle }, 0));
    expect(reasonFor(mine, own)).toBe('ok');
    expect(reasonFor(other, own)).toBe('session.unknown');
    host.close(other);
    expect(reasonFor(mine, own)).toBe('ok');
    host.close(mine);
    expect(kit.deps.engine.sessionRelease(handle)).toBe(false);
    expect(reasonFor(mine, own)).toBe('session.unknown');
  });

  it('that came by receipt is as old as its challenge', async () => {
    const aging = await Kit.create({ policy: { sessionMaxAgeNs: 100n * SECOND_NS } });
    const { final, question } = await accept(aging, osdTicket());
    aging.nowNs += 60n * SECOND_NS;
    const again = await verify(aging, { ...question, receipt: final.token });
    const asked = { session: again.handle, op: OP, peer: PEER };
    expect((await check(aging, asked)).reason).toBe('ok');
    aging.nowNs += 50n * SECOND_NS;
    expect((await check(aging, asked)).reason).toBe('session.expired');
    expect((await check(aging, asked)).reason).toBe('session.unknown');
  });

  it('of the record before is found wherever the stream was cut', () => {
    const host = new FrameHost(kit.deps);
    for (const keep of [false, true]) {
      for (const cut of [false, true]) {
        const owner = new FrameOwner(ACCEPT, 'x');
        const first = acceptedRecord(host, owner);
        const second = frames((writer) =>
          writer.check({ service: OSD, session: SESSION_BEFORE, op: OP, peer: PEER }, 7),
        );
        if (keep) second[abi.RECORD_FLAGS]! |= abi.FLAG_KEEP;
        const parts = cut ? [first, second] : [Buffer.concat([first, second])];
        const answers = parts.flatMap((part) => host.answer(owner, Uint8Array.from(part)));
        const both = verdicts(Buffer.concat([first, second]), Buffer.concat(answers));
        expect(both.map((each) => each.reason)).toEqual(['ok', 'ok']);
        expect([both[1]!.handle !== 0n, owner.slots.size]).toEqual([keep, keep ? 1 : 0]);
        expect(kit.deps.engine.sessionRelease(both[0]!.handle)).toBe(keep);
      }
    }
    const stray = frames((writer) =>
      writer.check({ service: OSD, session: SESSION_BEFORE, op: OP }, 0),
    );
    const owner = new FrameOwner(ACCEPT, 'y');
    const [verdict] = verdicts(stray, host.answer(owner, stray.slice())[0]!);
    expect(verdict!.reason).toBe('session.unknown');
  });

  /** The second step, as a record that is yet to be sent. */
  function acceptedRecord(host: FrameHost, owner: FrameOwner): Uint8Array {
    const ticket = osdTicket();
    const question = { service: OSD, peer: PEER, connection: newConnection() };
    const first = frames((writer) =>
      writer.verify({ ...question, authorizer: ticket.authorizer(), reply: true }, 1),
    );
    const [verdict] = verdicts(first, host.answer(owner, first.slice())[0]!);
    const challenge = challengeOf(verdict!.reply!, ticket);
    const answer = { authorizer: ticket.authorizer(challenge), session: true };
    return frames((writer) =>
      writer.verify({ ...question, ...answer, challengeState: verdict!.token }, 2),
    );
  }

  function openSession(host: FrameHost, owner: FrameOwner): bigint {
    const record = acceptedRecord(host, owner);
    return verdicts(record, host.answer(owner, record.slice())[0]!)[0]!.handle;
  }
});

describe('what a record may ask', () => {
  const records = (write: (writer: RecordWriter) => void): Uint8Array => {
    const bytes = new Uint8Array(4096);
    const writer = new RecordWriter(bytes);
    write(writer);
    return bytes.slice(0, writer.at);
  };

  it('never keys, and never what was not proved', async () => {
    const authorizer = osdTicket().authorizer();
    for (const more of [{ secrets: true }, { unproven: true }]) {
      for (const listener of [UNIX, TCP]) {
        const request = { service: OSD, authorizer, challenge: { mode: 'off' }, ...more } as const;
        const [verdict] = await ask(
          kit,
          records((writer) => writer.verify(request)),
          listener,
        );
        expect(verdict!.reason).toBe('record.malformed');
      }
    }
  });

  it('a caps text only with the right to explain, and its handle only oneself', async () => {
    const bytes = new TextEncoder().encode('allow r pool=liverpool');
    const parse = records((writer) => writer.capsParse(OSD, bytes, true, 5));
    const [parsed] = await ask(kit, parse);
    expect([parsed!.reason, parsed!.caps]).toEqual(['ok', 'osdcap[grant(pool liverpool r)]']);
    const asked = { session: parsed!.handle, op: OP, explain: true };
    const explained = await check(kit, asked);
    expect([explained.reason, explained.detail.length, explained.proven]).toEqual(['ok', 1, false]);
    expect((await check(kit, asked, TCP)).reason).toBe('record.malformed');
    expect((await check(kit, { ...asked, explain: false }, TCP)).reason).toBe('session.unknown');
    expect((await ask(kit, parse, TCP))[0]!.reason).toBe('record.malformed');
  });

  it('signatures only where they are enabled', async () => {
    const signing = await Kit.create({ sign: true });
    for (const [each, expected] of [
      [kit, 'record.malformed'],
      [signing, 'ok'],
    ] as const) {
      const { final } = await accept(each, osdTicket());
      const block = new Uint8Array(40);
      const record = records((writer) =>
        writer.sign(OSD, final.handle, 'msgr2-auth', block, undefined),
      );
      expect((await ask(each, record))[0]!.reason).toBe(expected);
      expect((await ask(each, record, TCP))[0]!.reason).toBe('record.malformed');
    }
  });

  it('nothing of services mon and auth', async () => {
    for (const service of [abi.ENTITY_TYPE_MON, abi.ENTITY_TYPE_AUTH, 0, 3]) {
      const verdict = await verify(kit, { service, authorizer: osdTicket().authorizer() });
      expect(verdict.reason).toBe('record.malformed');
    }
  });
});

describe('POST /v1/frames', () => {
  it('answers each record in its place, with its tag', async () => {
    const authorizer = osdTicket().authorizer();
    const stream = frames((writer) => {
      for (let tag = 0; tag < 1000; tag++) {
        if (tag % 3 === 0) writer.check({ service: OSD, session: 5n, op: OP }, tag);
        else writer.verify({ service: tag % 3 === 1 ? OSD : 1, authorizer }, tag);
      }
    });
    const answers = await ask(kit, stream, TCP);
    const reasons = ['session.unknown', 'ok', 'record.malformed'];
    for (const [tag, each] of answers.entries()) {
      expect([each.tag, each.reason]).toEqual([tag, reasons[tag % 3]]);
    }
  });

  it('refuses a body that is not frames, before it answers any', async () => {
    const good = frames((writer) => writer.check({ service: OSD, session: 5n, op: OP }, 1));
    const bad = async (body: Uint8Array, type?: string): Promise<unknown> => {
      const response = await post(kit, body, UNIX, type);
      return [response.status, (await response.json()).code];
    };
    const withLength = (length: number): Uint8Array => {
      const copy = Uint8Array.from(Buffer.concat([good, good]));
      new DataView(copy.buffer).setUint32(good.length, length, true);
      return copy;
    };
    for (const length of [0, 1, 23, good.length + 1, 2 ** 20 + 1, 2 ** 31, 2 ** 32 - 1]) {
      expect(await bad(withLength(length))).toEqual([400, 'body.not_frames']);
    }
    expect(await bad(good.subarray(0, 3))).toEqual([400, 'body.not_frames']);
    expect(kit.logs).toEqual([]);
    expect(await bad(good, 'application/json')).toEqual([415, 'body.content_type']);
    const many = new FrameWriter();
    for (let i = 0; i < 1025; i++) many.check({ service: OSD, session: 5n, op: OP }, i);
    expect(await bad(many.take())).toEqual([413, 'body.too_large']);
    expect(await bad(new Uint8Array(1_048_577))).toEqual([413, 'body.too_large']);
    expect((await post(kit, new Uint8Array(0))).status).toBe(200);
  });

  it('logs refusals one by one and the rest together', async () => {
    const authorizer = osdTicket().authorizer();
    const stream = frames((writer) => {
      for (let tag = 0; tag < 9; tag++) writer.verify({ service: OSD, authorizer }, tag);
      writer.check({ service: OSD, session: 5n, op: OP }, 77);
    });
    await ask(kit, stream, TCP);
    expect(
      kit.logs.map(({ event, tag, reason, decisions }) => [event, tag, reason, decisions]),
    ).toEqual([
      ['decision', 77, 'session.unknown', undefined],
      ['decisions', undefined, undefined, 9],
    ]);
  });
});

function expectBare(record: Uint8Array): void {
  const copy = record.slice();
  // Its length, reason, tag and "no grant" are all there is.
  copy.fill(0, abi.VERDICT_REASON, abi.VERDICT_DECISION);
  copy.fill(0, abi.VERDICT_GRANT, abi.VERDICT_INFO);
  expect([...copy.subarray(4)].every((byte) => byte === 0)).toBe(true);
}
