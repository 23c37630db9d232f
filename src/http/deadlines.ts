/**
 * Deadlines that hardly ever come: a timer of their own for each would cost more than what they
 * bound. They share one timer, set for the first of them.
 */

export interface Deadline {
  readonly dueMs: number;
  readonly expire: () => void;
}

export class Deadlines {
  readonly #pending = new Set<Deadline>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerDueMs = 0;

  /** `expire` is called once, when the time is over, unless the deadline is removed before. */
  add(ms: number, expire: () => void): Deadline {
    const dueMs = performance.now() + ms;
    const deadline = { dueMs, expire };
    this.#pending.add(deadline);
    if (this.#timer === undefined || dueMs < this.#timerDueMs) this.#arm(dueMs, ms);
    return deadline;
  }

  remove(deadline: Deadline): void {
    this.#pending.delete(deadline);
  }

  #arm(dueMs: number, ms: number): void {
    clearTimeout(this.#timer);
    this.#timerDueMs = dueMs;
    // A millisecond more: timers may come early by less than that.
    this.#timer = setTimeout(() => this.#look(), ms + 1);
    this.#timer.unref?.();
  }

  #look(): void {
    this.#timer = undefined;
    const nowMs = performance.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const deadline of this.#pending) {
      if (deadline.dueMs > nowMs) nextMs = Math.min(nextMs, deadline.dueMs);
      else {
        this.#pending.delete(deadline);
        deadline.expire();
      }
    }
    if (nextMs !== Number.POSITIVE_INFINITY) this.#arm(nextMs, nextMs - nowMs);
  }
}
