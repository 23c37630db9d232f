/**
 * Leases of a store with one process: they end with it, so they live in memory. Their fencing
 * numbers are snapshots, which the store never gives twice, not even after a restart.
 */

export class Leases {
  readonly #held = new Map<string, { fencing: bigint; endMs: number }>();
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
    this.#held.set(name, { fencing, endMs: this.#now() + ttlMs });
  }

  renew(name: string, fencing: bigint, ttlMs: number): boolean {
    if (!this.holds(name, fencing)) return false;
    this.take(name, fencing, ttlMs);
    return true;
  }

  release(name: string, fencing: bigint): void {
    if (this.holds(name, fencing)) this.#held.delete(name);
  }

  #running(name: string): { fencing: bigint; endMs: number } | undefined {
    const lease = this.#held.get(name);
    if (lease === undefined || this.#now() < lease.endMs) return lease;
    this.#held.delete(name);
    return undefined;
  }
}
