/**
 * What one instance knows of a store that others change too: one watch brings it, and says how old
 * it is and up to which snapshot all of it is here.
 */

import type { Store, Watch } from '../store/store.ts';
import { SharedRefresh } from './leader-refresh.ts';
import { STORE_TIMEOUT_MS } from './storecalls.ts';

/** Records that are read again when one of them changed. */
export interface Followed {
  readonly prefix: Uint8Array;
  readonly load: () => Promise<unknown>;
}

/** What becomes of decisions while the view is too old. */
export type OnStale = 'serve' | 'deny';

export interface ViewOptions {
  readonly store: Store;
  readonly followed: readonly Followed[];
  /** Older than this it is stale; undefined: never, as nobody else writes the store. */
  readonly staleAfterMs: number | undefined;
  readonly onStale: OnStale;
}

export class StoreView {
  /** Reads all that is followed, once for all who ask. */
  readonly refresh: SharedRefresh = new SharedRefresh(async () => void (await this.#read()));
  readonly onStale: OnStale;
  readonly #store: Store;
  readonly #followed: readonly Followed[];
  readonly #staleAfterMs: number;
  #watch: Watch | undefined;
  /** Since when something told has not been taken over yet. */
  #loadingMs: number | undefined;
  /** When all was read for the last time without the watch. */
  #readMs = performance.now();
  #snapshot = 0n;
  readonly #waiting = new Set<() => void>();

  constructor({ store, followed, staleAfterMs, onStale }: ViewOptions) {
    this.#store = store;
    this.#followed = followed;
    this.#staleAfterMs = staleAfterMs ?? Number.POSITIVE_INFINITY;
    this.onStale = onStale;
  }

  /** All changes up to this snapshot are here. */
  get snapshot(): bigint {
    return this.#snapshot;
  }

  /** Milliseconds for which changes of others may be missing here: below 2 s in good times. */
  ageMs(): number {
    const nowMs = performance.now();
    const loadingMs = this.#loadingMs === undefined ? 0 : nowMs - this.#loadingMs;
    const watchMs = this.#watch?.proofAgeMs() ?? Number.POSITIVE_INFINITY;
    return Math.max(loadingMs, Math.min(watchMs, nowMs - this.#readMs));
  }

  /** So old that nothing is issued or administered from it, and nothing decided under `deny`. */
  isStale(): boolean {
    return this.ageMs() >= this.#staleAfterMs;
  }

  /**
   * Waits until all up to a snapshot is here; false when that takes longer than REACH_MAX_MS, as
   * for a number of another store.
   */
  async reach(snapshot: bigint): Promise<boolean> {
    const endMs = performance.now() + REACH_MAX_MS;
    // As a rule the watch is about to bring it. What it cannot tell is that there is no change
    // between the last one and that number: reading can.
    for (let ms = WATCH_FIRST_MS; !(await this.#waitFor(snapshot, ms)); ms = REACH_POLL_MS) {
      if (performance.now() > endMs) return false;
      await this.refresh.once();
    }
    return true;
  }

  /** Reads all, then what changes, until there is a gap. Throws StoreError. */
  async follow(signal: AbortSignal): Promise<void> {
    const snapshot = await this.#read();
    // Also where it is less than before: then this is another past, as after a backup.
    this.#reached(snapshot);
    this.#loadingMs = undefined;
    const watch = this.#store.watch(snapshot);
    const close = (): void => watch.close();
    signal.addEventListener('abort', close);
    if (signal.aborted) close();
    this.#watch = watch;
    try {
      for await (const event of watch) {
        if (event.type === 'compacted') return;
        const touched = this.#followed.filter(({ prefix }) =>
          event.changes.some(({ key }) => prefix.every((byte, i) => key[i] === byte)),
        );
        this.#loadingMs = performance.now();
        for (const load of new Set(touched.map((each) => each.load))) await load();
        this.#loadingMs = undefined;
        this.#reached(event.snapshot);
      }
    } finally {
      signal.removeEventListener('abort', close);
      close();
    }
  }

  /** Reads all that is followed; returns the snapshot that is here then. Throws StoreError. */
  async #read(): Promise<bigint> {
    const startMs = performance.now();
    // The snapshot first: what changes while the records are read is then told by the watch.
    const { snapshot } = await this.#store.get(ANY_KEY, { timeoutMs: STORE_TIMEOUT_MS });
    for (const load of new Set(this.#followed.map((each) => each.load))) await load();
    this.#readMs = startMs;
    if (snapshot > this.#snapshot) this.#reached(snapshot);
    return snapshot;
  }

  async #waitFor(snapshot: bigint, timeoutMs: number): Promise<boolean> {
    if (this.#snapshot >= snapshot) return true;
    return await new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(this.#snapshot >= snapshot);
      };
      const look = (): void => {
        if (this.#snapshot >= snapshot) end();
      };
      const timer = setTimeout(end, timeoutMs);
      this.#waiting.add(look);
    });
  }

  #reached(snapshot: bigint): void {
    this.#snapshot = snapshot;
    for (const look of [...this.#waiting]) look();
  }
}

/** No record has it: only the snapshot is asked for. */
const ANY_KEY = new TextEncoder().encode('-');
/** A view of revocations and rings that is older may lack what everybody else has. */
export const STALE_AFTER_MS = 10_000;
const REACH_MAX_MS = 3_000;
const WATCH_FIRST_MS = 200;
const REACH_POLL_MS = 50;
