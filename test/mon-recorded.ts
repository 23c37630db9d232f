/**
 * Recorded conversations with a monitor: their frames again, and our client in
 * the place of theirs.
 */

import { CephxClientHandler } from '../src/cephx/client.ts';
import { CryptoKey, type Sealer } from '../src/cephx/cryptokey.ts';
import { Writer } from '../src/cephx/denc.ts';
import { parseEntityName } from '../src/cephx/protocol.ts';
import { ClientConnection, type ConnectionEvent } from '../src/mon/connection.ts';
import * as control from '../src/mon/control.ts';
import {
  crcFraming,
  type Frame,
  type Framing,
  LIMITS_AFTER_AUTH,
  secureFraming,
} from '../src/mon/frame.ts';
import { FrameReader } from '../src/mon/framereader.ts';
import { gcmStreams, type Revision } from '../src/mon/gcm.ts';
import { openMessage } from '../src/mon/message.ts';
import type { RecordedSession, StreamRecord } from './mon-vectors.ts';
import { fromHex, toHex } from './twin/load.ts';

/** What our client said, in hex, and understood. */
export interface Replayed {
  readonly sent: string;
  readonly events: readonly ConnectionEvent[];
  readonly handler: CephxClientHandler;
}

/** Frames of one direction of a recorded session. */
export class Cursor {
  readonly reader: FrameReader = new FrameReader();
  readonly #clear: Framing;
  readonly #secure: Framing | undefined;

  constructor(session: RecordedSession, from: 'client' | 'server') {
    const revision: Revision = session.protocol === 'msgr2.1' ? 1 : 0;
    this.#clear = crcFraming(revision);
    if (session.mode === 'crc') return;
    const secret = fromHex(session.connection_secret);
    // What one side sends, that side seals and the other one opens: two states of one stream.
    const { send } = gcmStreams(secret, from, revision);
    const { receive } = gcmStreams(secret, from === 'client' ? 'server' : 'client', revision);
    this.#secure = secureFraming(revision, { send, receive });
  }

  framing(record: StreamRecord): Framing {
    return record.units === undefined ? this.#clear : this.#secure!;
  }

  read(bytes: Uint8Array, record: StreamRecord): Frame {
    this.reader.push(bytes);
    const read = this.reader.frame(this.framing(record), LIMITS_AFTER_AUTH);
    if (read === undefined) throw new Error('the frame is not whole');
    return read.value;
  }
}

/** Lets our client talk to the recorded monitor. */
export function replayClient(sealer: Sealer, session: RecordedSession, pieceLen: number): Replayed {
  const { stream } = session;
  const decoded = (frame: string) => stream.find((each) => each.frame === frame)!.decoded!;
  const challenge = new Writer().u64(BigInt(session.client_challenge)).finish();
  const handler = new CephxClientHandler({
    sealer,
    clock: () => 0n,
    random: () => challenge,
    name: parseEntityName(session.entity)!,
    key: CryptoKey.fromBase64(session.key),
  });
  const addresses = decoded('CLIENT_IDENT').addrs as { nonce: number }[];
  const connection = new ClientConnection({
    sealer,
    handler,
    target: { type: 'v2', nonce: 0, ...session.monitor },
    nonce: addresses[0]!.nonce,
    modes: [session.mode === 'crc' ? control.MODE_CRC : control.MODE_SECURE],
    entityType: Number(decoded('HELLO').entity_type),
    messageFlags: 1,
  });
  let sent = toHex(connection.takeOutput());
  const events: ConnectionEvent[] = [];
  for (const record of stream) {
    if (record.from === 'server') {
      const bytes = fromHex(record.bytes);
      for (let at = 0; at < bytes.length; at += pieceLen) {
        events.push(...connection.receive(bytes.subarray(at, at + pieceLen)));
        sent += toHex(connection.takeOutput());
      }
    } else if (record.tag === control.TAG_KEEPALIVE2) {
      connection.sendKeepalive(fromHex(record.segments![0]!));
      sent += toHex(connection.takeOutput());
    } else if (record.tag === control.TAG_MESSAGE) {
      const message = openMessage({ tag: 17, segments: record.segments!.map(fromHex) });
      const { type, version, compatVersion, tid, front, data } = message;
      connection.send({ type, version, compatVersion, tid, front, data });
      sent += toHex(connection.takeOutput());
    }
  }
  return { sent, events, handler };
}

export function recordedBytes({ stream }: RecordedSession, from: string): string {
  return stream.flatMap((each) => (each.from === from ? [each.bytes] : [])).join('');
}
