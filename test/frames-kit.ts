/** Frames in a test: over POST /v1/frames of a kit, and verdicts one by one. */

import { expect } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { openAuthorizeChallenge } from '../src/cephx/authorizer.ts';
import { openObject } from '../src/cephx/cryptokey.ts';
import { Reader } from '../src/cephx/denc.ts';
import { decodeAuthorize, decodeAuthorizer } from '../src/cephx/protocol.ts';
import {
  type CheckQuestion,
  FrameVerdict,
  FrameWriter,
  type VerifyQuestion,
} from '../src/client/frames.ts';
import type { Address } from '../src/engine/index.ts';
import type { Listener } from '../src/http/callers.ts';
import type { TestTicket } from './authorizers.ts';
import { HOST, type Kit, newConnection, UNIX } from './http-kit.ts';
import { twinSealer } from './twin/sealer.ts';

export const OSD: number = abi.ENTITY_TYPE_OSD;
export const PEER: Address = { family: 4, bytes: Uint8Array.of(192, 0, 2, 7) };

/** Frames written one after the other; tags count from 0. */
export function frames(write: (writer: FrameWriter) => void): Uint8Array {
  const writer = new FrameWriter();
  write(writer);
  return writer.take();
}

/** The records of a stream of verdicts, or of requests. */
export function split(stream: Uint8Array): Uint8Array[] {
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  const records: Uint8Array[] = [];
  for (let at = 0; at < stream.length; ) {
    const length = view.getUint32(at, true);
    records.push(stream.subarray(at, at + length));
    at += length;
  }
  return records;
}

/** The verdicts on `records`. */
export function verdicts(records: Uint8Array, answer: Uint8Array): FrameVerdict[] {
  const asked = split(records);
  const given = split(answer);
  expect(given).toHaveLength(asked.length);
  return given.map((record, index) => {
    const kind = new DataView(asked[index]!.buffer, asked[index]!.byteOffset).getUint16(4, true);
    return new FrameVerdict(record, kind === abi.KIND_VERIFY);
  });
}

export async function post(
  kit: Kit,
  body: Uint8Array,
  listener: Listener = UNIX,
  type = 'application/octet-stream',
): Promise<Response> {
  const headers = { 'content-type': type, host: HOST };
  const init = { method: 'POST', headers, body: body.slice() };
  return kit.app.request('/v1/frames', init, { listener });
}

export async function ask(
  kit: Kit,
  records: Uint8Array,
  listener: Listener = UNIX,
): Promise<FrameVerdict[]> {
  const response = await post(kit, records, listener);
  expect([response.status, response.headers.get('content-type')]).toEqual([
    200,
    'application/octet-stream',
  ]);
  return verdicts(records, new Uint8Array(await response.arrayBuffer()));
}

export async function verify(
  kit: Kit,
  question: Omit<VerifyQuestion, 'service'> & { readonly service?: number },
  listener: Listener = UNIX,
): Promise<FrameVerdict> {
  const records = frames((writer) => writer.verify({ service: OSD, ...question }, 1));
  return (await ask(kit, records, listener))[0]!;
}

export async function check(
  kit: Kit,
  question: Omit<CheckQuestion, 'service'> & { readonly service?: number },
  listener: Listener = UNIX,
): Promise<FrameVerdict> {
  const records = frames((writer) => writer.check({ service: OSD, ...question }, 2));
  return (await ask(kit, records, listener))[0]!;
}

export interface AcceptedFrame {
  readonly first: FrameVerdict;
  readonly final: FrameVerdict;
  /** The second question without its challenge state. */
  readonly question: Omit<VerifyQuestion, 'service'>;
  readonly state: string;
}

/** Both steps of a verify. */
export async function accept(
  kit: Kit,
  ticket: TestTicket,
  fields: Partial<VerifyQuestion> = {},
): Promise<AcceptedFrame> {
  const base = { peer: PEER, connection: newConnection(), reply: true, session: true, ...fields };
  const first = await verify(kit, { ...base, authorizer: ticket.authorizer() });
  expect(first.reason).toBe('authorizer.challenge_required');
  const challenge = openAuthorizeChallenge(twinSealer, ticket.sessionKey, first.reply!);
  const state = first.token!;
  const question = { ...base, authorizer: ticket.authorizer(challenge) };
  const final = await verify(kit, { ...question, challengeState: state });
  return { first, final, question, state };
}

/** The server challenge in a first answer. */
export function challengeOf(sealed: Uint8Array, ticket: TestTicket): bigint {
  return openAuthorizeChallenge(twinSealer, ticket.sessionKey, sealed);
}

/** The nonce of an authorizer, which its reply must answer. */
export function nonceIn(authorizer: Uint8Array, ticket: TestTicket): bigint {
  const { sealed } = decodeAuthorizer(new Reader(authorizer));
  const part = openObject(twinSealer, ticket.sessionKey, 0x10, sealed, { prefixed: false });
  return decodeAuthorize(new Reader(part)).nonce;
}
