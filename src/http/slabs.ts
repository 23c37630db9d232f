/**
 * Memory for answers that is used again. What is new for each answer is counted against the heap
 * by V8 until it is collected, and makes it look through all of the heap every few dozen calls.
 */
export class Slabs {
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  /** Of all slabs, those on their way among them. */
  readonly #buffers = new Set<ArrayBuffer>();

  /**
   * A copy in a slab; in memory of its own if it is too long for one, or while all are on their
   * way: whoever leaves his answers unread keeps no more than their length.
   */
  copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const slab = bytes.length > SLAB_LEN ? undefined : (this.#free.pop() ?? this.#make());
    if (slab === undefined) return bytes.slice();
    slab.set(bytes);
    return slab.subarray(0, bytes.length);
  }

  /** Takes back what `copy` gave, once, and wipes it: answers hold connection secrets. */
  giveBack(copy: Uint8Array<ArrayBuffer>): void {
    copy.fill(0);
    const { buffer } = copy;
    if (this.#buffers.has(buffer)) this.#free.push(new Uint8Array(buffer));
  }

  #make(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#buffers.size === SLABS_MAX) return undefined;
    const slab = new Uint8Array(SLAB_LEN);
    this.#buffers.add(slab.buffer);
    return slab;
  }
}

const SLAB_LEN = 1_048_576;
const SLABS_MAX = 8;
