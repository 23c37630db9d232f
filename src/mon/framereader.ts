/**
 * The receiving end of a stream: takes bytes as they come, gives banner and frames as they become
 * whole. Holds no more than one frame and the last piece that came.
 */

import { type Banner, bannerSteps } from './banner.ts';
import type { Frame, Framing, SegmentLimits } from './frame.ts';

export class FrameReader {
  readonly #queue = new ByteQueue();
  #steps: Generator<number, Frame | Banner, Uint8Array> | undefined;
  #wanted = 0;
  #taken: Uint8Array[] = [];

  push(bytes: Uint8Array): void {
    this.#queue.push(bytes);
  }

  /** The banner, once it is whole. */
  banner(): Read<Banner> | undefined {
    return this.#read(bannerSteps) as Read<Banner> | undefined;
  }

  /** The next frame, once it is whole. Throws MonError `mon.protocol`. */
  frame(framing: Framing, limits: SegmentLimits): Read<Frame> | undefined {
    return this.#read(() => framing.decode(limits)) as Read<Frame> | undefined;
  }

  #read(
    start: () => Generator<number, Frame | Banner, Uint8Array>,
  ): Read<Frame | Banner> | undefined {
    if (this.#steps === undefined) {
      this.#steps = start();
      this.#wanted = this.#steps.next().value as number;
    }
    for (;;) {
      const bytes = this.#queue.take(this.#wanted);
      if (bytes === undefined) return undefined;
      this.#taken.push(bytes);
      const step = this.#steps.next(bytes);
      if (step.done === true) {
        const raw = this.#taken;
        this.#steps = undefined;
        this.#taken = [];
        return { value: step.value, raw };
      }
      this.#wanted = step.value;
    }
  }
}

/** Something whole, and the bytes it came in. */
export interface Read<T> {
  readonly value: T;
  readonly raw: readonly Uint8Array[];
}

class ByteQueue {
  #pieces: Uint8Array[] = [];
  #length = 0;

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#pieces.push(bytes);
    this.#length += bytes.length;
  }

  /** The first n bytes, undefined while there are fewer. */
  take(n: number): Uint8Array | undefined {
    if (this.#length < n) return undefined;
    const out = new Uint8Array(n);
    let at = 0;
    let used = 0;
    while (at < n) {
      const piece = this.#pieces[used]!;
      const part = piece.subarray(0, n - at);
      out.set(part, at);
      at += part.length;
      if (part.length === piece.length) used++;
      else this.#pieces[used] = piece.subarray(part.length);
    }
    this.#pieces.splice(0, used);
    this.#length -= n;
    return out;
  }
}
