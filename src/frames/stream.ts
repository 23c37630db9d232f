/**
 * One connection of the frames socket without its socket: bytes and times in, whole records and
 * decisions about the connection out. Nothing is held but what was sent and not yet answered, and
 * a length is looked at before anything is kept for it.
 */

import { FRAME_LEN_MAX, frameEnd } from './layout.ts';

/** What a connection may take. Times in milliseconds. */
export interface StreamLimits {
  /** How long a frame may stay unfinished. */
  readonly halfFrameMs: number;
  /** How long answers may stay unsent without any progress. */
  readonly stalledMs: number;
  /** Bytes of unsent answers from which on nothing more is read or answered. */
  readonly unsentMax: number;
  /** Bytes of records answered in one turn, a single longer frame apart. */
  readonly turnMax: number;
  /** Records answered in one turn: a refusal takes as long as many a kilobyte of checks. */
  readonly turnRecordsMax: number;
}

export const STREAM_LIMITS: StreamLimits = {
  halfFrameMs: 10_000,
  stalledMs: 30_000,
  unsentMax: 1_048_576,
  turnMax: 65_536,
  turnRecordsMax: 64,
};

export class FrameStream {
  readonly #limits: StreamLimits;
  /** Received and not yet answered: from #start whole frames up to #whole, then part of one. */
  #bytes: Uint8Array = NOTHING;
  #view: DataView = new DataView(NOTHING.buffer);
  #start = 0;
  #whole = 0;
  #end = 0;
  #halfSinceMs: number | undefined;
  #unsent = 0;
  #progressMs = 0;
  #broken = false;

  constructor(limits: StreamLimits = STREAM_LIMITS) {
    this.#limits = limits;
  }

  /** A length was wrong: nothing more is read, and the connection ends after its answers. */
  get broken(): boolean {
    return this.#broken;
  }

  /** Whether more may be read now. */
  get reading(): boolean {
    return !this.#broken && this.#unsent <= this.#limits.unsentMax && !this.ready;
  }

  /** Whether there are whole frames. */
  get ready(): boolean {
    return this.#whole > this.#start;
  }

  /** Whether answers may be made: their reader keeps up. */
  get writable(): boolean {
    return this.#unsent <= this.#limits.unsentMax;
  }

  /** Bytes of answers that are not sent. */
  get unsent(): number {
    return this.#unsent;
  }

  /** Bytes that are kept for what was received. */
  get held(): number {
    return this.#bytes.length;
  }

  /** Takes what was read. The bytes are the stream's from now on. */
  receive(bytes: Uint8Array, nowMs: number): void {
    if (this.#broken || bytes.length === 0) return;
    this.#append(bytes);
    const before = this.#whole;
    this.#scan();
    // A frame's time runs from its first byte, not from its last one.
    if (this.#end === this.#whole) this.#halfSinceMs = undefined;
    else if (this.#halfSinceMs === undefined || this.#whole > before) this.#halfSinceMs = nowMs;
  }

  /** The whole frames of one turn, to be answered before the stream is given anything else. */
  take(): Uint8Array {
    const { turnMax, turnRecordsMax } = this.#limits;
    const start = this.#start;
    let at = start;
    for (let count = 0; at < this.#whole && count < turnRecordsMax; count++) {
      const end = frameEnd(this.#view, at);
      if (at > start && end - start > turnMax) break;
      at = end;
    }
    const taken = this.#bytes.subarray(start, at);
    this.#start = at;
    if (at === this.#end) this.#keep(NOTHING, 0);
    return taken;
  }

  /** Forgets what was received; nothing more is read. */
  drop(): void {
    this.#keep(NOTHING, 0);
    this.#halfSinceMs = undefined;
    this.#broken = true;
  }

  /** Says that an answer was handed to the socket. */
  sending(bytes: number, nowMs: number): void {
    if (this.#unsent === 0) this.#progressMs = nowMs;
    this.#unsent += bytes;
  }

  /** Says that so much of it has gone. */
  sent(bytes: number, nowMs: number): void {
    const waited = !this.writable;
    this.#unsent -= bytes;
    this.#progressMs = nowMs;
    // While we did not read, the sender could not have finished its frame.
    if (waited && this.writable && this.#halfSinceMs !== undefined) this.#halfSinceMs = nowMs;
  }

  /** Why the connection must end now, if it must. */
  expired(nowMs: number): 'half frame' | 'stalled' | undefined {
    const { halfFrameMs, stalledMs } = this.#limits;
    if (this.#unsent > 0 && nowMs - this.#progressMs >= stalledMs) return 'stalled';
    const half = this.#halfSinceMs;
    if (half !== undefined && this.reading && nowMs - half >= halfFrameMs) return 'half frame';
    return undefined;
  }

  #append(bytes: Uint8Array): void {
    if (this.#start === this.#end) {
      this.#keep(bytes, bytes.length);
      return;
    }
    const held = this.#end - this.#start;
    const needed = held + bytes.length;
    if (this.#end + bytes.length > this.#bytes.length) {
      // Twice as much each time, so that a frame sent byte by byte is not copied byte by byte.
      const most = Math.max(needed, FRAME_LEN_MAX);
      const larger = new Uint8Array(Math.min(Math.max(needed * 2, GROW_MIN), most));
      larger.set(this.#bytes.subarray(this.#start, this.#end));
      const whole = this.#whole - this.#start;
      this.#keep(larger, held);
      this.#whole = whole;
    }
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  #keep(bytes: Uint8Array, end: number): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#start = 0;
    this.#whole = 0;
    this.#end = end;
  }

  /** Moves #whole behind all frames that are complete. */
  #scan(): void {
    while (this.#end - this.#whole >= LENGTH_LEN) {
      const end = frameEnd(this.#view, this.#whole);
      if (end < 0) {
        // What follows cannot be told apart; what precedes is answered.
        this.#broken = true;
        this.#end = this.#whole;
        return;
      }
      if (end > this.#end) return;
      this.#whole = end;
    }
  }
}

const NOTHING = new Uint8Array(0);
/** Bytes of a frame that say how long it is. */
const LENGTH_LEN = 4;
const GROW_MIN = 4_096;
