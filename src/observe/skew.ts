/**
 * An estimate of how far our clock is ahead of the monitors'. A ticket is never made after it is
 * presented, so now - created is at least the difference of the two clocks; the smallest value of
 * some minutes, when fresh tickets came by, is near it.
 */

/** The smallest of the values of the last 10 to 20 minutes. */
export class SkewEstimate {
  #sinceNs = 0n;
  #present: number | undefined;
  #former: number | undefined;

  /** @param createdNs when the monitor made a ticket, by its own clock */
  add(createdNs: bigint, nowNs: bigint): void {
    this.#turn(nowNs);
    const seconds = Number(nowNs - createdNs) / 1e9;
    if (this.#present === undefined || seconds < this.#present) this.#present = seconds;
  }

  /** Seconds that our clock is ahead, at most; below 0 it is behind. Undefined without tickets. */
  seconds(nowNs: bigint): number | undefined {
    this.#turn(nowNs);
    if (this.#present === undefined) return this.#former;
    return this.#former === undefined ? this.#present : Math.min(this.#present, this.#former);
  }

  #turn(nowNs: bigint): void {
    const age = nowNs - this.#sinceNs;
    if (age >= 0n && age < WINDOW_NS) return;
    this.#former = age < 2n * WINDOW_NS && age >= 0n ? this.#present : undefined;
    this.#present = undefined;
    this.#sinceNs = nowNs;
  }
}

const WINDOW_NS = 600_000_000_000n;
