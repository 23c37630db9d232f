/** Recorded conversations with a real monitor, byte for byte, in both directions. */

import { beforeAll, describe, expect, it } from 'vitest';
import { ENTITY_TYPE_AUTH } from '../assembly/abi.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { Reader } from '../src/cephx/denc.ts';
import { openRotatingSecrets, openTicketReply } from '../src/cephx/ticket.ts';
import { Engine } from '../src/engine/engine.ts';
import { encodeBanner } from '../src/mon/banner.ts';
import * as control from '../src/mon/control.ts';
import {
  MSG_AUTH_REPLY,
  MSG_MON_COMMAND_ACK,
  messageFrame,
  openAuthReply,
  openCommandAck,
  openMessage,
} from '../src/mon/message.ts';
import { engineSealer } from '../src/sealer.ts';
import { Cursor, recordedBytes, replayClient } from './mon-recorded.ts';
import type { RecordedSession, SessionFile } from './mon-vectors.ts';
import { fromHex, loadVectors, toHex } from './twin/load.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.create();
});

const FILES = ['2.0', 'crc', 'secure'].map((name) =>
  loadVectors<SessionFile>(`msgr2-session-${name}.json`),
);
const SESSIONS = FILES.flatMap(({ sessions }) => sessions);

describe.each(SESSIONS.map((each) => [label(each), each] as const))('%s', (_, session) => {
  it('decodes to the recorded segments and encodes to the same bytes, both ways', () => {
    for (const from of ['client', 'server'] as const) {
      const decoded = new Cursor(session, from);
      const encoded = new Cursor(session, from);
      for (const record of session.stream.filter((each) => each.from === from)) {
        const bytes = fromHex(record.bytes);
        if (record.banner !== undefined) {
          const banner = decoded.reader.banner.bind(decoded.reader);
          decoded.reader.push(bytes);
          const { supported, required } = banner()!.value;
          expect({ supported: `${supported}`, required: `${required}` }).toMatchObject({
            supported: record.banner.supported,
            required: record.banner.required,
          });
          expect(toHex(encodeBanner({ supported, required }))).toBe(record.bytes);
          continue;
        }
        const frame = decoded.read(bytes, record);
        expect(frame.tag).toBe(record.tag);
        expect(frame.segments.map(toHex)).toEqual(record.segments);
        expect(toHex(encoded.framing(record).encode(frame))).toBe(record.bytes);
      }
    }
  });

  it('encodes to the same bytes from decoded payloads', () => {
    for (const record of session.stream) {
      if (record.segments === undefined) continue;
      const frame = { tag: record.tag!, segments: record.segments.map(fromHex) };
      if (record.tag === control.TAG_MESSAGE) {
        const again = messageFrame(openMessage(frame));
        expect(again.segments.map(toHex)).toEqual(record.segments);
        continue;
      }
      const payload = PAYLOADS.find(({ tag }) => tag === record.tag)!;
      const again = control.controlFrame(payload, control.openControl(payload, frame));
      expect(again.segments.map(toHex)).toEqual(record.segments);
    }
  });

  it('notices one flipped bit in any frame', () => {
    for (const from of ['client', 'server'] as const) {
      const frames = session.stream.filter((each) => each.from === from && each.tag !== undefined);
      for (const [index, record] of frames.entries()) {
        const bytes = fromHex(record.bytes);
        const bit = (index * 7919) % (bytes.length * 8);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        const cursor = new Cursor(session, from);
        for (const before of frames.slice(0, index)) cursor.read(fromHex(before.bytes), before);
        expect(() => {
          const frame = cursor.read(bytes, record);
          expect(frame).toBeDefined();
        }, `${from} frame ${index}, bit ${bit}`).toThrow();
      }
    }
  });
});

describe.each(
  SESSIONS.filter(({ protocol }) => protocol === 'msgr2.1').map(
    (each) => [label(each), each] as const,
  ),
)('our client in %s', (_, session) => {
  it('says what the recorded one said, and understands the monitor', () => {
    const { sent, handler } = replayClient(engineSealer(engine), session, 1 << 20);
    expect(sent).toBe(recordedBytes(session, 'client'));
    expect(`${handler.tickets.globalId}`).toBe(session.global_id);
  });

  it('does so when the bytes come one by one', () => {
    expect(replayClient(engineSealer(engine), session, 1).sent).toBe(
      recordedBytes(session, 'client'),
    );
  });

  it('opens what the messages hold', () => {
    const { events, handler } = replayClient(engineSealer(engine), session, 1 << 20);
    expect(events[0]).toEqual({ kind: 'open', isSecure: session.mode === 'secure' });
    const { sessionKey } = handler.tickets.held(ENTITY_TYPE_AUTH)!;
    expect(sessionKey.toBase64()).toBe(session.auth_session_key);
    const sealer = engineSealer(engine);
    for (const event of events) {
      if (event.kind !== 'message') continue;
      const { message } = event;
      if (message.type === MSG_MON_COMMAND_ACK) {
        const recorded = acks(session).find(({ header }) => header.tid === `${message.tid}`)!;
        const { result, status, output } = openCommandAck(message);
        expect([result, status]).toEqual([recorded.r, recorded.rs]);
        expect(new TextDecoder().decode(output)).toBe(recorded.data);
      }
      if (message.type !== MSG_AUTH_REPLY) continue;
      const { result, payload } = openAuthReply(message);
      expect(result).toBe(0);
      if (session.entity === 'client.admin') {
        const reader = new Reader(payload.subarray(RESPONSE_HEADER_LEN));
        const tickets = openTicketReply(sealer, sessionKey, reader);
        expect(tickets.map(({ serviceId }) => serviceId)).toEqual([1, 4]);
      } else {
        const key = CryptoKey.fromBase64(session.key);
        const sealed = payload.subarray(RESPONSE_HEADER_LEN);
        const { secrets, maxVersion } = openRotatingSecrets(sealer, key, sealed);
        expect([...secrets.keys()]).toEqual([1n, 2n, 3n]);
        expect(maxVersion).toBe(3n);
      }
    }
  });
});

interface RecordedAck {
  readonly name?: string;
  readonly header: { readonly tid: string };
  readonly r: number;
  readonly rs: string;
  readonly data: string;
}

function acks({ stream }: RecordedSession): readonly RecordedAck[] {
  const all = stream.map(({ decoded }) => decoded as unknown as RecordedAck | undefined);
  return all.filter((each): each is RecordedAck => each?.name === 'MMonCommandAck');
}

function label({ protocol, mode, entity }: RecordedSession): string {
  return `${protocol} ${mode}, ${entity}`;
}

const RESPONSE_HEADER_LEN = 6;
const PAYLOADS: readonly control.Payload<never>[] = [
  control.HELLO,
  control.AUTH_REQUEST,
  control.AUTH_REPLY_MORE,
  control.AUTH_REQUEST_MORE,
  control.AUTH_DONE,
  control.AUTH_SIGNATURE,
  control.CLIENT_IDENT,
  control.SERVER_IDENT,
  control.KEEPALIVE2,
  control.KEEPALIVE2_ACK,
] as unknown as readonly control.Payload<never>[];
