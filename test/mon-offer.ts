/** Shows an authorizer to a real daemon, and to a sidecar: each with the challenge it asks for. */

import { connect, type Socket } from 'node:net';
import type { ServiceAuthorizer } from '../src/cephx/client.ts';
import { encodeBanner } from '../src/mon/banner.ts';
import * as control from '../src/mon/control.ts';
import { crcFraming, type Frame, LIMITS_BEFORE_AUTH } from '../src/mon/frame.ts';
import { FrameReader } from '../src/mon/framereader.ts';
import { base64, type ClusterSidecar, fromBase64 } from './mon-sidecar.ts';

export interface Verdict {
  readonly accepted: boolean;
  /** Our reason code, or the daemon's errno. */
  readonly why: string;
  readonly body?: Awaited<ReturnType<ClusterSidecar['call']>>;
}

/** What a daemon on this port of loopback does. Throws if it says nothing of both. */
export async function offerToDaemon(port: number, authorizer: ServiceAuthorizer): Promise<Verdict> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  socket.setTimeout(10_000, () => socket.destroy(new Error('the daemon was silent')));
  try {
    return await converse(socket, port, authorizer);
  } finally {
    socket.destroy();
  }
}

async function converse(
  socket: Socket,
  port: number,
  authorizer: ServiceAuthorizer,
): Promise<Verdict> {
  const reader = new FrameReader();
  const framing = crcFraming(1);
  const send = <T>(payload: control.Payload<T>, value: T): void => {
    socket.write(framing.encode(control.controlFrame(payload, value)));
  };
  let hasBanner = false;
  const target = { type: 'v2', nonce: 0, host: '127.0.0.1', port } as const;
  socket.write(encodeBanner({ supported: 1n, required: 0n }));
  send(control.HELLO, { entityType: 8, peerAddress: target });
  const modes = [control.MODE_CRC];
  send(control.AUTH_REQUEST, { method: 2, modes, payload: authorizer.first() });
  for await (const bytes of socket) {
    reader.push(bytes as Uint8Array);
    hasBanner ||= reader.banner() !== undefined;
    if (!hasBanner) continue;
    for (;;) {
      const frame: Frame | undefined = reader.frame(framing, LIMITS_BEFORE_AUTH)?.value;
      if (frame === undefined) break;
      if (frame.tag === control.TAG_AUTH_DONE) return { accepted: true, why: 'ok' };
      if (frame.tag === control.TAG_AUTH_BAD_METHOD) {
        const { result } = control.openControl(control.AUTH_BAD_METHOD, frame);
        return { accepted: false, why: String(result) };
      }
      if (frame.tag !== control.TAG_AUTH_REPLY_MORE) continue;
      const answer = authorizer.answer(control.openControl(control.AUTH_REPLY_MORE, frame));
      if (!answer.ok) throw new Error(answer.reason);
      send(control.AUTH_REQUEST_MORE, answer.value);
    }
  }
  throw new Error('the daemon hung up');
}

/** What a sidecar says, asked as a daemon asks. */
export async function offerToSidecar(
  sidecar: ClusterSidecar,
  authorizer: ServiceAuthorizer,
): Promise<Verdict> {
  const common = { service: 'osd', peer: '127.0.0.1', connection: `offer ${++offers}` };
  const ask = (more: object): Promise<Verdict['body']> =>
    sidecar.call('/v1/verify', { ...common, ...more });
  const first = await ask({ authorizer: base64(authorizer.first()) });
  const refused = (body: Verdict['body']): Verdict => {
    return { accepted: false, why: body.reason.code, body };
  };
  if (first.challenge === undefined) return refused(first);
  const answer = authorizer.answer(fromBase64(first.challenge));
  if (!answer.ok) throw new Error(answer.reason);
  const state = { challenge_state: first.challenge_state };
  const body = await ask({ authorizer: base64(answer.value), ...state });
  if (body.decision !== true) return refused(body);
  const proof = authorizer.verifyReply(fromBase64(body.reply), { secure: false });
  if (!proof.ok) throw new Error(proof.reason);
  return { accepted: true, why: 'ok', body };
}

let offers = 0;
