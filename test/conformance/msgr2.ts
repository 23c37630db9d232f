/**
 * Conversations with a monitor (msgr2-session-*.json, format msgr2-session/1), and AES-128-GCM as
 * they use it. A case is a conversation: its state goes from frame to frame.
 */

import { gcm } from '@noble/ciphers/aes.js';
import { ENTITY_TYPE_AUTH } from '../../assembly/abi.ts';
import { encodeBanner } from '../../src/mon/banner.ts';
import { GcmStream } from '../../src/mon/gcm.ts';
import { Cursor, recordedBytes, replayClient } from '../mon-recorded.ts';
import type { RecordedSession, SessionFile, StreamRecord } from '../mon-vectors.ts';
import { fromHex, toHex } from '../twin/load.ts';
import type { Check, Report } from './report.ts';
import { BY_TWIN, type Rig } from './rig.ts';

const BY_MON = 'src/mon';

export function runMsgr2(rig: Rig, report: Report, file: SessionFile): void {
  for (const [i, session] of file.sessions.entries()) {
    const { protocol, mode, entity } = session;
    report.case(
      `${i} ${protocol} ${mode} ${entity}`,
      { protocol, mode, entity },
      (check) => conversation(rig, check, session),
      session,
    );
  }
}

/** One vector of AES-128-GCM: key, iv, pt, ct, tag in hex. */
export function gcmVector(rig: Rig, check: Check, vector: Readonly<Record<string, unknown>>): void {
  const [key, iv, pt, ct, tag] = ['key', 'iv', 'pt', 'ct', 'tag'].map((name) =>
    fromHex(vector[name] as string),
  ) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  const sealed = rig.pair(
    () => new GcmStream(key, iv, 1).seal(pt),
    () => gcm(key, iv).encrypt(pt),
  );
  rig.used.add(BY_MON);
  check.same('ct', toHex(sealed.subarray(0, pt.length)), vector.ct as string);
  check.same('tag', toHex(sealed.subarray(pt.length)), vector.tag as string);
  const opened = new GcmStream(key, iv, 1).open(Uint8Array.from([...ct, ...tag]));
  check.same('pt', toHex(opened), vector.pt as string);
}

function conversation(rig: Rig, check: Check, session: RecordedSession): void {
  rig.used.add(BY_MON);
  const sides = ['client', 'server'] as const;
  const decoders = new Map(sides.map((from) => [from, new Cursor(session, from)]));
  const encoders = new Map(sides.map((from) => [from, new Cursor(session, from)]));
  for (const [i, record] of session.stream.entries()) {
    const at = `stream/${i}`;
    const decoder = decoders.get(record.from)!;
    if (record.banner !== undefined) banner(check, at, decoder, record);
    else frame(check, at, decoder, encoders.get(record.from)!, record);
    if (record.units !== undefined) units(rig, check, at, session, record);
  }
  if (session.protocol === 'msgr2.1') ourClient(rig, check, session);
}

function banner(check: Check, at: string, decoder: Cursor, record: StreamRecord): void {
  decoder.reader.push(fromHex(record.bytes));
  const { supported, required } = decoder.reader.banner()!.value;
  check.same(`${at}/banner/supported`, `${supported}`, record.banner!.supported);
  check.same(`${at}/banner/required`, `${required}`, record.banner!.required);
  check.same(`${at}/bytes`, toHex(encodeBanner({ supported, required })), record.bytes);
}

function frame(
  check: Check,
  at: string,
  decoder: Cursor,
  encoder: Cursor,
  record: StreamRecord,
): void {
  const { tag, segments } = decoder.read(fromHex(record.bytes), record);
  check.same(`${at}/tag`, tag, record.tag!);
  for (const [i, segment] of record.segments!.entries()) {
    check.same(`${at}/segments/${i}`, toHex(segments[i] ?? new Uint8Array(0)), segment);
  }
  check.same(`${at}/bytes`, toHex(encoder.framing(record).encode({ tag, segments })), record.bytes);
}

/** What the wire holds is what the twin makes of nonce and plaintext. */
function units(
  rig: Rig,
  check: Check,
  at: string,
  session: RecordedSession,
  record: StreamRecord,
): void {
  rig.used.add(BY_TWIN);
  const key = fromHex(session.connection_secret).subarray(0, 16);
  let wire = record.bytes;
  for (const [i, { nonce, plaintext, tag }] of record.units!.entries()) {
    const sealed = toHex(gcm(key, fromHex(nonce)).encrypt(fromHex(plaintext)));
    const opened = gcm(key, fromHex(nonce)).decrypt(fromHex(wire.slice(0, sealed.length)));
    check.same(`${at}/units/${i}/plaintext`, toHex(opened), plaintext);
    check.same(`${at}/units/${i}/tag`, sealed.slice(-32), tag);
    wire = wire.slice(sealed.length);
  }
}

/** Our client in the place of the recorded one: the same bytes, the same keys. */
function ourClient(rig: Rig, check: Check, session: RecordedSession): void {
  const sent = rig.both((sealer) => replayClient(sealer, session, session.stream.length).sent);
  if (sent !== recordedBytes(session, 'client')) check.fail('our client says something else');
  const { handler } = replayClient(rig.core, session, 1 << 20);
  const { sessionKey } = handler.tickets.held(ENTITY_TYPE_AUTH)!;
  check.same('auth_session_key', sessionKey.toBase64(), session.auth_session_key);
  check.same('global_id', `${handler.tickets.globalId}`, session.global_id);
}
