/**
 * Whose a session is that was opened over frames. There a session is named by the core's own
 * handle, which can be guessed, so each is good only for the one who opened it.
 */

import type { Caller } from './callers.ts';

/** One who sends frames: a connection of the frames socket, or all calls of an HTTP caller. */
export class FrameOwner {
  caller: Caller;
  /** For the log. */
  readonly name: string;
  /** The session that the last record opened, which the first of the next call may mean. */
  previous = 0n;
  /** Slots of the sessions it opened; some may have gone to others since. */
  readonly slots: Set<number> = new Set<number>();
  /** Handles of caps it had parsed, oldest first. */
  readonly caps: Set<bigint> = new Set<bigint>();

  constructor(caller: Caller, name: string) {
    this.caller = caller;
    this.name = name;
  }

  /** Caps are kept by content, so their handle can be that of another owner too. */
  addCaps(handle: bigint): void {
    this.caps.delete(handle);
    if (this.caps.size >= CAPS_MAX) this.caps.delete(this.caps.values().next().value!);
    this.caps.add(handle);
  }
}

/** The owners by slot of the session; a handle is slot + 1 and, in the high half, a generation. */
export class FrameOwners {
  readonly #owners: (FrameOwner | undefined)[];
  readonly #generations: Uint32Array;
  readonly #answeredNs: BigInt64Array;

  /** @param sessionsMax the sessions that the core keeps */
  constructor(sessionsMax: number) {
    this.#owners = new Array<FrameOwner | undefined>(sessionsMax + 1).fill(undefined);
    this.#generations = new Uint32Array(sessionsMax + 1);
    this.#answeredNs = new BigInt64Array(sessionsMax + 1);
  }

  owns(owner: FrameOwner, low: number, high: number): boolean {
    return this.#owners[low] === owner && this.#generations[low] === high;
  }

  /** When the challenge was answered for the session in a slot that is owned. */
  answeredNs(low: number): bigint {
    return this.#answeredNs[low]!;
  }

  add(owner: FrameOwner, handle: bigint, answeredNs: bigint): void {
    const low = Number(handle & 0xffff_ffffn);
    this.#owners[low] = owner;
    this.#generations[low] = Number(handle >> 32n);
    this.#answeredNs[low] = answeredNs;
    owner.slots.add(low);
  }

  forget(owner: FrameOwner, handle: bigint): void {
    const low = Number(handle & 0xffff_ffffn);
    if (!this.owns(owner, low, Number(handle >> 32n))) return;
    this.#owners[low] = undefined;
    owner.slots.delete(low);
  }

  /** Forgets all of an owner and gives the handles of its sessions. */
  forgetAll(owner: FrameOwner): bigint[] {
    const handles: bigint[] = [];
    for (const low of owner.slots) {
      if (this.#owners[low] !== owner) continue;
      handles.push((BigInt(this.#generations[low]!) << 32n) | BigInt(low));
      this.#owners[low] = undefined;
    }
    owner.slots.clear();
    return handles;
  }
}

const CAPS_MAX = 1_024;
