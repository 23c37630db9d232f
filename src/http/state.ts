/**
 * Everything that outlives a request: state keys, the name of this process, spent challenge
 * states, sessions and how often each caller asked. A new State with the same keys is what a
 * restart leaves.
 */

import { equalBytes } from '../cephx/denc.ts';
import { Ids } from '../observe/ids.ts';
import { type RateLimit, RateLimiter } from './ratelimit.ts';
import { Sessions } from './sessions.ts';
import { type ChallengeState, INSTANCE_LEN, SALT_LEN, type StateKeys } from './tokens.ts';

export interface StateOptions {
  readonly keys: StateKeys;
  /** Gives n random bytes. */
  readonly random: (n: number) => Uint8Array;
  /** Most sessions kept; the longest unused one goes first. */
  readonly sessionsMax?: number;
  /** Most spent challenge states remembered; more in one lifetime of a state are refused. */
  readonly spentMax?: number;
  /** How often a caller may ask; none: as often as it likes. */
  readonly rateLimit?: RateLimit | undefined;
}

export class State {
  readonly keys: StateKeys;
  /** Random name of this process. */
  readonly instance: Uint8Array;
  readonly spent: SpentStates;
  readonly sessions: Sessions;
  readonly rates: RateLimiter;
  /** Of requests and decisions. */
  readonly ids: Ids;
  /** Set when the process is about to end: not ready any more. */
  draining = false;
  readonly #random: StateOptions['random'];
  #serial = 0n;
  #salts: Uint8Array = new Uint8Array(0);
  #salted = 0;

  constructor(options: StateOptions) {
    this.keys = options.keys;
    this.#random = options.random;
    this.instance = options.random(INSTANCE_LEN);
    this.spent = new SpentStates(this.instance, options.spentMax ?? SPENT_MAX);
    this.sessions = new Sessions(options.random, options.sessionsMax ?? SESSIONS_MAX);
    this.rates = new RateLimiter(options.rateLimit);
    this.ids = new Ids(options.random);
  }

  /** Number for the next challenge state, from 1. */
  nextSerial(): bigint {
    this.#serial += 1n;
    return this.#serial;
  }

  /** SALT_LEN random bytes that nobody has had. */
  salt(): Uint8Array {
    // Drawn many at a time: alone, each would cost more than the MAC of the state does.
    if (this.#salted === this.#salts.length) {
      this.#salts = this.#random(SALT_LEN * SALTS);
      this.#salted = 0;
    }
    this.#salted += SALT_LEN;
    return this.#salts.subarray(this.#salted - SALT_LEN, this.#salted);
  }
}

/** What became of a challenge state that was presented. */
export type Spending = 'spent' | 'refused' | 'full';

/**
 * The challenge states that were presented in the last CHALLENGE_STATE_LIFE. Bounded: an entry
 * goes when the state itself is too old; what was swept stays refused by its serial number, even
 * if the clock is set back.
 */
export class SpentStates {
  readonly #instance: Uint8Array;
  readonly #max: number;
  /** Instance and serial of the state -> its serial and when it was made, oldest entry first. */
  readonly #entries = new Map<string, { own: boolean; serial: bigint; issuedNs: bigint }>();
  #sweptSerial = 0n;

  constructor(instance: Uint8Array, max: number) {
    this.#instance = instance;
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Marks a state as spent. `refused`: too old, from the future, or spent before. */
  spend(state: ChallengeState, nowNs: bigint): Spending {
    this.#sweep(nowNs);
    const age = nowNs - state.issuedNs;
    if (age < 0n || age > CHALLENGE_STATE_LIFE_NS) return 'refused';
    const own = equalBytes(state.instance, this.#instance);
    if (own && state.serial <= this.#sweptSerial) return 'refused';
    const id = `${state.instance.join('.')}/${state.serial}`;
    if (this.#entries.has(id)) return 'refused';
    if (this.#entries.size >= this.#max) return 'full';
    this.#entries.set(id, { own, serial: state.serial, issuedNs: state.issuedNs });
    return 'spent';
  }

  #sweep(nowNs: bigint): void {
    for (const [id, entry] of this.#entries) {
      if (nowNs - entry.issuedNs <= CHALLENGE_STATE_LIFE_NS) return;
      this.#entries.delete(id);
      if (entry.own && entry.serial > this.#sweptSerial) this.#sweptSerial = entry.serial;
    }
  }
}

/** How long a challenge state is good. */
export const CHALLENGE_STATE_LIFE_NS = 10_000_000_000n;
const SPENT_MAX = 262_144;
const SALTS = 128;
const SESSIONS_MAX = 65_536;
