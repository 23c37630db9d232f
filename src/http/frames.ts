/**
 * POST /v1/frames: records in the core's own layout, as many as a call holds, answered in order
 * (interface section 3.4). The same stream is spoken on the frames socket.
 */

import type { Context } from 'hono';
import { BATCH_RECORDS_MAX } from '../../assembly/abi.ts';
import { frameEnd } from '../frames/layout.ts';
import { refuseEncoded } from './body.ts';
import { readPieces, sent, together } from './bodybytes.ts';
import { type Caller, requireRight } from './callers.ts';
import type { AppDeps, AppEnv } from './deps.ts';
import type { DirectRoute } from './direct.ts';
import { type Copy, FrameHost } from './framehost.ts';
import { FrameOwner } from './frameowners.ts';
import type { HeaderLookup } from './headers.ts';
import { Problem } from './problem.ts';
import type { Reply } from './reply.ts';
import { Slabs } from './slabs.ts';

/** The route for Hono. */
export function framesRoute(deps: AppDeps): (c: Context<AppEnv>) => Promise<Reply> {
  const frames = framesOf(deps);
  return async (c) => {
    requireFrames(c.get('headers'));
    return frames.answer(await readPieces(sent(c), deps.body), c.get('caller'));
  };
}

/** The calls of an app, by whichever way they come: they share the sessions that they open. */
export function framesOf(deps: AppDeps): FrameCalls {
  let calls = CALLS.get(deps);
  if (calls === undefined) {
    calls = new FrameCalls(deps);
    CALLS.set(deps, calls);
  }
  return calls;
}

class FrameCalls {
  /** For where it is seen when an answer has gone out. */
  readonly direct: DirectRoute = {
    requireType: requireFrames,
    decide: (pieces, caller) => {
      const copies: Uint8Array<ArrayBuffer>[] = [];
      const done = (): void => {
        for (const copy of copies.splice(0)) this.#slabs.giveBack(copy);
      };
      const copied: Copy = (response) => {
        const copy = this.#slabs.copy(response);
        copies.push(copy);
        return copy;
      };
      try {
        return { type: FRAMES_TYPE, body: this.#run(pieces, caller, copied), done };
      } catch (error) {
        done();
        throw error;
      }
    },
  };
  readonly #host: FrameHost;
  readonly #owners = new Map<string, FrameOwner>();
  /** Kept: pages that are new for each call cost more than copying into them. */
  readonly #room: Uint8Array;
  readonly #slabs = new Slabs();

  constructor(deps: AppDeps) {
    this.#host = new FrameHost(deps);
    this.#room = new Uint8Array(deps.body.lenMax);
  }

  answer(pieces: readonly Uint8Array[], caller: Caller): Reply {
    return { type: FRAMES_TYPE, body: this.#run(pieces, caller) };
  }

  #run(pieces: readonly Uint8Array[], caller: Caller, copy?: Copy): Uint8Array<ArrayBuffer> {
    requireRight(caller, 'verify', 'this call');
    const bytes = together(pieces, this.#room);
    requireWhole(bytes);
    const answers = this.#host.answer(ownerOf(this.#owners, caller), bytes, copy);
    // As a rule one call of the core answers all.
    return together(answers) as Uint8Array<ArrayBuffer>;
  }
}

const CALLS = new WeakMap<AppDeps, FrameCalls>();

/** All calls of a caller are one owner: it cannot be seen which of them belong together. */
function ownerOf(owners: Map<string, FrameOwner>, caller: Caller): FrameOwner {
  let owner = owners.get(caller.id);
  if (owner === undefined) {
    owner = new FrameOwner(caller, caller.id);
    owners.set(caller.id, owner);
  }
  // What a token may ask can have changed since.
  owner.caller = caller;
  // No call continues another one.
  owner.previous = 0n;
  return owner;
}

function requireFrames(headers: HeaderLookup): void {
  const type = headers.get('content-type') ?? '';
  if (!/^application\/octet-stream\s*$/i.test(type)) {
    throw new Problem('body.content_type', `the content-type is not ${FRAMES_TYPE}`);
  }
  refuseEncoded(headers);
}

/** Every length must be right before anything is answered: a wrong one shifts all that follow. */
function requireWhole(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  for (let count = 0; at < bytes.length; count++) {
    const end = bytes.length - at < 4 ? -1 : frameEnd(view, at);
    if (end < 0 || end > bytes.length) {
      throw new Problem('body.not_frames', `record ${count} has a length that cannot be right`);
    }
    if (count === BATCH_RECORDS_MAX) {
      throw new Problem('body.too_large', `the body has more than ${BATCH_RECORDS_MAX} records`);
    }
    at = end;
  }
}

const FRAMES_TYPE = 'application/octet-stream';
