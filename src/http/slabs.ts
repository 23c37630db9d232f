/**
 * Memory for answers that is used again. What is new for each answer is counted against the heap
 * by V8 until it is collected, and makes it look through all of the heap every few dozen calls.
 */
export class Slabs {
  readonly #free: Uint8Array<ArrayBuffer>[] = [];

  /** A copy in a slab, or in memory of its own if it is too long for one. */
  copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    if (bytes.length > SLAB_LEN) return bytes.slice();
    const slab = this.#free.pop() ?? new Uint8Array(SLAB_LEN);
    slab.set(bytes);
    return slab.subarray(0, bytes.length);
  }

  /** Takes back what `copy` gave, once, and wipes it: answers hold connection secrets. */
  giveBack(copy: Uint8Array<ArrayBuffer>): void {
    copy.fill(0);
    const { buffer } = copy;
    if (buffer.byteLength === SLAB_LEN && this.#free.length < FREE_MAX) {
      this.#free.push(new Uint8Array(buffer));
    }
  }
}

const SLAB_LEN = 1_048_576;
const FREE_MAX = 8;
