/**
 * Leases of a store with one process: they end with it, so they live in memory. Their fencing
 * numbers are snapshots, which the store never gives twice, not even after a restart.
 */

import type { HeldLease } from './store.ts';

interface Running {
  readonly fencing: bigint;
  readonly endMs: number;
  readonly note: Uint8Array;
}

export class Leases {
  readonly #held = new Map<string, Running>();
  readonly #now: () => number;

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number) {
    this.#now = now;
  }

  isFree(name: string): boolean {
    return this.#running(name) === undefined;
  }

  holds(name: string, fencing: bigint): boolean {
    return this.#running(name)?.fencing === fencing;
  }

  take(name: string, fencing: bigint, ttlMs: number): void {
    this.#held.set(name, { fencing, endMs: this.#now() + ttlMs, note: new Uint8Array() });
  }

  /** A note of undefined leaves the one that is there. */
  renew(name: string, fencing: bigint, ttlMs: number, note: Uint8Array | undefined): boolean {
    const lease = this.#running(name);
    if (lease?.fencing !== fencing) return false;
    const kept = note === undefined ? lease.note : new Uint8Array(note);
    this.#held.set(name, { fencing, endMs: this.#now() + ttlMs, note: kept });
    return true;
  }

  list(prefix: string): HeldLease[] {
    return [...this.#held.keys()]
      .filter((name) => name.startsWith(prefix))
      .sort()
      .flatMap((name) => {
        const lease = this.#running(name);
        if (lease === undefined) return [];
        return [{ name, fencing: lease.fencing, note: new Uint8Array(lease.note) }];
      });
  }

  release(name: string, fencing: bigint): void {
    if (this.holds(name, fencing)) this.#held.delete(name);
  }

  #running(name: string): Running | undefined {
    const lease = this.#held.get(name);
    if (lease === undefined || this.#now() < lease.endMs) return lease;
    this.#held.delete(name);
    return undefined;
  }
}
