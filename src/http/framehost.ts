/**
 * Answers frames: request records in, verdict records out, one call of the core for as many as it
 * holds. Clock, policy, randomness, challenges and granted flags are the host's alone.
 *
 *   records -> prepareRecord (rights, ownership, freshness) -> engine.run -> mask, tokens -> log
 */

import * as abi from '../../assembly/abi.ts';
import type { Challenge } from '../engine/types.ts';
import type { AppDeps } from './deps.ts';
import { answerOf } from './frameanswer.ts';
import { type FrameOwner, FrameOwners } from './frameowners.ts';
import { type FrameCall, meansPrevious, type Prepared, prepareRecord } from './framerecord.ts';

/** What a call of the core may take, by the preset of its memory. */
interface Room {
  /** Bytes of records and of what their verdicts may add to them. */
  readonly response: number;
  readonly replies: number;
  readonly secrets: number;
}

/** Keeps what the core has answered, which its next call overwrites. */
export type Copy = (response: Uint8Array) => Uint8Array;
const slice: Copy = (response) => response.slice();

export class FrameHost {
  readonly #deps: AppDeps;
  readonly #owners: FrameOwners;
  readonly #room: Room;

  constructor(deps: AppDeps) {
    const word = (field: number): number => deps.engine.layout.getUint32(field, true);
    this.#deps = deps;
    this.#owners = new FrameOwners(word(abi.LAYOUT_SESSIONS_MAX));
    this.#room = {
      // The core keeps a head for each record that may still come.
      response: word(abi.LAYOUT_RESPONSE_LEN) - abi.BATCH_RECORDS_MAX * abi.VERDICT_LEN,
      replies: Math.floor(word(abi.LAYOUT_RANDOM_LEN) / RANDOM_PER_REPLY),
      secrets: Math.min(SECRETS_MAX, Math.floor(word(abi.LAYOUT_SECRET_LEN) / SECRET_ROOM)),
    };
  }

  /**
   * Answers whole records that lie back to back (their lengths were checked), in order. The bytes
   * are changed; each piece of the answer belongs to the caller.
   */
  answer(owner: FrameOwner, records: Uint8Array, copy: Copy = slice): Uint8Array[] {
    const nowNs = this.#deps.clock();
    this.#deps.ring.advance(nowNs);
    const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < records.length; ) {
      const end = this.#callEnd(view, at);
      pieces.push(this.#run(owner, records.subarray(at, end), nowNs, copy));
      at = end;
    }
    return pieces;
  }

  /** Ends all sessions of an owner that has gone. */
  close(owner: FrameOwner): void {
    for (const handle of this.#owners.forgetAll(owner)) this.#deps.engine.sessionRelease(handle);
  }

  /** The end of the records that one call can answer without any of them lacking room. */
  #callEnd(view: DataView, start: number): number {
    let { response, replies, secrets } = this.#room;
    let at = start;
    for (let count = 0; at < view.byteLength && count < abi.BATCH_RECORDS_MAX; count++) {
      const length = view.getUint32(at + abi.RECORD_BYTES, true);
      const kind = view.getUint16(at + abi.RECORD_KIND, true);
      const flags = view.getUint16(at + abi.RECORD_FLAGS, true);
      // What these print is as long as it gets: alone they have all the room there is.
      const large = kind === abi.KIND_EXPLAIN || kind === abi.KIND_CAPS_PARSE;
      if (large) return at === start ? at + length : at;
      response -= length + VERDICT_ROOM;
      if ((flags & abi.FLAG_REPLY) !== 0) replies -= 1;
      if ((flags & abi.FLAG_SECURE) !== 0) secrets -= 1;
      if (at > start && (response < 0 || replies < 0 || secrets < 0)) return at;
      at += length;
    }
    return at;
  }

  #run(owner: FrameOwner, bytes: Uint8Array, nowNs: bigint, copy: Copy): Uint8Array {
    const deps = this.#deps;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const accepts = owner.caller.rights.has('accept');
    const call = { deps, owner, owners: this.#owners, accepts, bytes, view, nowNs };
    const carried = carryPrevious(call);
    const prepared: Prepared[] = [];
    const challenges: Challenge[] = [];
    for (let at = 0; at < bytes.length; at += view.getUint32(at, true)) {
      const each = prepareRecord(call, at);
      prepared.push(each);
      challenges.push(each.challenge);
    }
    const host = { nowNs, policy: deps.policy };
    const granted = accepts ? GRANTED_ACCEPT : GRANTED;
    const response = deps.engine.run(bytes, host, challenges, granted);
    return answerOf(call, prepared, copy(response), carried);
  }
}

/**
 * The core knows "the session of the record before" within one call only. Where a call begins is
 * nothing that the sender can know, so the host carries the handle over. Returns it, or 0.
 */
function carryPrevious({ owner, view }: FrameCall): bigint {
  const { previous } = owner;
  owner.previous = 0n;
  if (previous === 0n || !meansPrevious(view, 0)) return 0n;
  view.setBigUint64(abi.RECORD_HANDLE, previous, true);
  return previous;
}

/** Flags that the core may honour; which of them this very record may have is seen to before. */
const GRANTED = abi.FLAG_TAIL | abi.FLAG_KEEP;
const GRANTED_ACCEPT = GRANTED | abi.FLAG_REPLY | abi.FLAG_SECURE | abi.FLAG_SECRETS;
/** What a verdict may take besides what its record gives back; the core asks for as much. */
const VERDICT_ROOM = 512;
/** Connection secret and confounder, rounded up. */
const RANDOM_PER_REPLY = 96;
/** An entry of the secret block with the longest key. */
const SECRET_ROOM = 256;
/** Each is looked up among the others. */
const SECRETS_MAX = 64;
