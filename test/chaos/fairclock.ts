/**
 * Time as this process got it: where the machine gave it no turn, no time has passed. Bounds that
 * are measured by it speak of what is tested and not of how busy the machine is.
 */

export class FairClock {
  #nowMs = 0;
  #lastMs = performance.now();
  /** What was left out so far, and the longest single stop. */
  lostMs = 0;
  stopMaxMs = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor() {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    // A test that fails before it stops this one ends all the same.
    this.#timer.unref();
  }

  get nowMs(): number {
    this.#tick();
    return this.#nowMs;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = performance.now();
    const passed = now - this.#lastMs;
    this.#lastMs = now;
    const counted = Math.min(passed, 2 * TICK_MS);
    this.#nowMs += counted;
    this.lostMs += passed - counted;
    this.stopMaxMs = Math.max(this.stopMaxMs, passed);
  }
}

const TICK_MS = 50;
