/**
 * A verifier that meets a secret id above all it has may be behind: it looks once, together with
 * all others who ask, and at most once a second, whatever is sent to it.
 */

export class SharedRefresh {
  readonly #refresh: () => Promise<void>;
  readonly #nowMs: () => number;
  #next: Promise<boolean> | undefined;
  #running: Promise<boolean> | undefined;
  #startedMs = Number.NEGATIVE_INFINITY;
  #waiting = 0;

  /**
   * @param refresh brings what the store has; may throw
   * @param nowMs a clock that never goes back
   */
  constructor(refresh: () => Promise<void>, nowMs: () => number = () => performance.now()) {
    this.#refresh = refresh;
    this.#nowMs = nowMs;
  }

  /**
   * True once all that was in the store before this call is here; false if it could not be read,
   * or too many wait already. Takes a second at most, and the time of one reading.
   */
  async once(): Promise<boolean> {
    if (this.#waiting >= WAITING_MAX) return false;
    this.#waiting += 1;
    try {
      // One that is under way may have read before the caller's secret was there.
      this.#next ??= this.#begin();
      return await this.#next;
    } finally {
      this.#waiting -= 1;
    }
  }

  async #begin(): Promise<boolean> {
    await this.#running;
    const waitMs = this.#startedMs + EVERY_MS - this.#nowMs();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    this.#startedMs = this.#nowMs();
    this.#running = this.#refresh().then(
      () => true,
      () => false,
    );
    this.#next = undefined;
    return await this.#running;
  }
}

const EVERY_MS = 1_000;
const WAITING_MAX = 1_024;
