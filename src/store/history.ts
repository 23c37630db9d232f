/**
 * The snapshots that an embedded store keeps in memory: each is a map that shares its structure
 * with its neighbours, with the changes that led to it. Watches walk along them.
 */

import { StoreError } from '../errors.ts';
import type { PMap } from './pmap.ts';
import type { Watch, WatchEvent } from './store.ts';
import { keyBytes } from './text.ts';

/** A value in memory; it belongs to the store and is copied on its way in and out. */
export interface Stored {
  readonly value: Uint8Array;
  readonly revision: bigint;
}

export interface Step {
  readonly snapshot: bigint;
  readonly map: PMap<Stored>;
  /** Key text and value, or undefined when deleted; in key order. */
  readonly changes: readonly (readonly [string, Uint8Array | undefined])[];
}

export class History {
  /** At least one; the first one's changes are not told any more. */
  readonly #steps: Step[];
  readonly #waiting = new Set<() => void>();
  #bytes = 0;
  #ended: 'closed' | StoreError | undefined;

  constructor(snapshot: bigint, map: PMap<Stored>) {
    this.#steps = [{ snapshot, map, changes: [] }];
  }

  get latest(): Step {
    return this.#steps[this.#steps.length - 1]!;
  }

  push(step: Step): void {
    this.#steps.push(step);
    this.#bytes += bytesOf(step);
    while (this.#steps.length > STEPS_MAX || (this.#bytes > BYTES_MAX && this.#steps.length > 1)) {
      this.#steps.shift();
      this.#bytes -= bytesOf(this.#steps[0]!);
    }
    this.#wake();
  }

  /** The state of a snapshot. Throws StoreError `store.compacted` or `store.future`. */
  at(snapshot: bigint): Step {
    const oldest = this.#steps[0]!.snapshot;
    if (snapshot < oldest) {
      const present = `the oldest one kept is ${oldest}`;
      throw new StoreError('store.compacted', `cannot read snapshot ${snapshot}: ${present}`);
    }
    if (snapshot > this.latest.snapshot) {
      const present = `the latest one is ${this.latest.snapshot}`;
      throw new StoreError('store.future', `cannot read snapshot ${snapshot}: ${present}`);
    }
    return this.#steps[this.#after(snapshot) - 1]!;
  }

  /** Ends all watches: quietly when closed, with the error when failed. */
  end(why: 'closed' | StoreError): void {
    this.#ended ??= why;
    this.#wake();
  }

  watch(from: bigint): Watch {
    let closed = false;
    let wake: (() => void) | undefined;
    return {
      proofAgeMs: () => (this.#ended === undefined ? 0 : Number.POSITIVE_INFINITY),
      close: () => {
        closed = true;
        wake?.();
      },
      [Symbol.asyncIterator]: () =>
        this.#walk(from, {
          isClosed: () => closed,
          news: () =>
            new Promise<void>((resolve) => {
              wake = () => {
                this.#waiting.delete(wake!);
                resolve();
              };
              this.#waiting.add(wake);
            }),
        }),
    };
  }

  async *#walk(
    from: bigint,
    watch: { isClosed: () => boolean; news: () => Promise<void> },
  ): AsyncGenerator<WatchEvent, void> {
    let at = from;
    while (!watch.isClosed()) {
      if (this.#ended instanceof StoreError) throw this.#ended;
      const oldest = this.#steps[0]!.snapshot;
      // A number ahead of us is of another past, as after a backup was put back: list again.
      if (at < oldest || at > this.latest.snapshot) {
        yield { type: 'compacted', snapshot: oldest };
        return;
      }
      const step = this.#steps[this.#after(at)];
      if (step === undefined) {
        if (this.#ended === 'closed') return;
        await watch.news();
        continue;
      }
      at = step.snapshot;
      if (step.changes.length > 0) yield eventOf(step);
    }
  }

  /** Index of the first step after a snapshot; the number of steps if there is none. */
  #after(snapshot: bigint): number {
    let low = 0;
    let high = this.#steps.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#steps[middle]!.snapshot > snapshot) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

function eventOf(step: Step): WatchEvent {
  const changes = step.changes.map(([key, value]) => ({
    key: keyBytes(key),
    value: value && new Uint8Array(value),
  }));
  return { type: 'transaction', snapshot: step.snapshot, changes };
}

function bytesOf(step: Step): number {
  return step.changes.reduce((sum, [key, value]) => sum + key.length + (value?.length ?? 0), 0);
}

/** Snapshots that reads and watches can name, and the bytes of changes they may hold. */
const STEPS_MAX = 1024;
const BYTES_MAX = 33_554_432;
