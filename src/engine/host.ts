/**
 * The host block: clock, policy, challenges and randomness. Written here alone, before each call;
 * no record can reach it.
 */

import * as abi from '../../assembly/abi.ts';
import type { Challenge, Expiry, HostContext, KeyTypeName, Plausibility, Policy } from './types.ts';

/** What holds where the caller says nothing. */
export const DEFAULT_POLICY: Policy = {
  plausibility: 'pr71231-order',
  expiry: 'enforce',
  skewNs: 300_000_000_000n,
  allowedTypes: 'ring',
  sessionLifetime: 'ticket',
  sessionMaxAgeNs: 0n,
  release: 20,
  generalSecret: false,
  msgr1Aes256k: false,
};

const PLAUSIBILITIES: Readonly<Record<Plausibility, number>> = {
  released: abi.PLAUSIBILITY_RELEASED,
  'pr71231-order': abi.PLAUSIBILITY_ORDER,
  'pr71231-span': abi.PLAUSIBILITY_SPAN,
  strict: abi.PLAUSIBILITY_STRICT,
};
const EXPIRIES: Readonly<Record<Expiry, number>> = {
  enforce: abi.EXPIRY_ENFORCE,
  report: abi.EXPIRY_REPORT,
  ring: abi.EXPIRY_RING,
};
const TYPE_BITS: Readonly<Record<KeyTypeName, number>> = {
  none: 1 << abi.KEY_TYPE_NONE,
  aes: 1 << abi.KEY_TYPE_AES,
  aes256k: 1 << abi.KEY_TYPE_AES256K,
};
const ALL_TYPES = TYPE_BITS.aes | TYPE_BITS.aes256k;
// By words and longs; constants of this module, which an engine compiles into its code.
const NOW = abi.HOST_NOW / 8;
const FLAGS = abi.HOST_FLAGS / 4;
const COUNT = abi.HOST_CHALLENGE_COUNT / 4;
const MODE = abi.HOST_CHALLENGE_MODE / 4;
const VALUE = abi.HOST_CHALLENGE / 8;
const LONGS_PER_ENTRY = abi.CHALLENGE_ENTRY_LEN / 8;
const WORDS_PER_ENTRY = abi.CHALLENGE_ENTRY_LEN / 4;
const MODE_OF_ENTRY = 2;
const CHALLENGE_ISSUED = abi.CHALLENGE_ISSUED;
const CHALLENGE_OFF = abi.CHALLENGE_OFF;
const CHALLENGE_REQUIRED = abi.CHALLENGE_REQUIRED;

/** Least number of random bytes fetched at once. */
const RANDOM_REFILL = 4096;

export class HostBlock {
  readonly random: (into: Uint8Array) => void;
  readonly #view: DataView;
  /** The block by words of 4 and of 8 bytes: an element costs less than a method of the view. */
  readonly #words: Int32Array;
  readonly #longs: BigUint64Array;
  /** The challenges likewise. */
  readonly #modes: Int32Array;
  readonly #values: BigUint64Array;
  readonly #pool: Uint8Array;
  #policy: Partial<Policy> | undefined;
  #written = false;

  constructor(buffer: ArrayBufferLike, layout: DataView, random: (into: Uint8Array) => void) {
    const word = (field: number): number => layout.getUint32(field, true);
    this.random = random;
    this.#view = new DataView(buffer, word(abi.LAYOUT_HOST), abi.HOST_LEN);
    this.#words = new Int32Array(buffer, word(abi.LAYOUT_HOST), abi.HOST_LEN / 4);
    this.#longs = new BigUint64Array(buffer, word(abi.LAYOUT_HOST), abi.HOST_LEN / 8);
    const challenges = word(abi.LAYOUT_CHALLENGES);
    const bytes = word(abi.LAYOUT_CHALLENGES_LEN);
    this.#modes = new Int32Array(buffer, challenges, bytes / 4);
    this.#values = new BigUint64Array(buffer, challenges, bytes / 8);
    this.#pool = new Uint8Array(buffer, word(abi.LAYOUT_RANDOM), word(abi.LAYOUT_RANDOM_LEN));
  }

  /** Clock, policy, granted flags, and at least `randomBytes` in the pool (as far as it holds). */
  set(host: HostContext, grantedFlags: number, randomBytes: number): void {
    const words = this.#words;
    this.#longs[NOW] = host.nowNs;
    words[FLAGS] = grantedFlags;
    words[COUNT] = 0;
    words[MODE] = CHALLENGE_REQUIRED;
    // A policy object is taken as unchanging: writing it out again each time would cost more.
    if (!this.#written || host.policy !== this.#policy) this.#setPolicy(host.policy);
    if (randomBytes > 0) this.#fillPool(randomBytes);
  }

  /** Whether opened tickets are kept; turning it off empties the cache. */
  setTicketCache(on: boolean): void {
    this.#view.setUint32(abi.HOST_TICKET_CACHE, on ? 1 : 0, true);
  }

  setChallenge(challenge: Challenge): void {
    this.#words[MODE] = modeOf(challenge);
    this.#longs[VALUE] = challenge.mode === 'off' ? 0n : challenge.value;
  }

  /**
   * One challenge per `stride` records; records beyond the list must answer a fresh one. (Those in
   * between are checks, which have none.)
   */
  setChallenges(challenges: readonly Challenge[], stride = 1): void {
    const count = Math.min(challenges.length, Math.floor(abi.BATCH_RECORDS_MAX / stride));
    this.#words[COUNT] = count * stride;
    for (let i = 0; i < count; i++) {
      const challenge = challenges[i] as Challenge;
      const entry = i * stride;
      this.#values[entry * LONGS_PER_ENTRY] = challenge.mode === 'off' ? 0n : challenge.value;
      this.#modes[entry * WORDS_PER_ENTRY + MODE_OF_ENTRY] = modeOf(challenge);
    }
  }

  #setPolicy(given: Partial<Policy> | undefined): void {
    const policy: Policy = { ...DEFAULT_POLICY, ...given };
    const view = this.#view;
    const types =
      policy.allowedTypes === 'ring'
        ? ALL_TYPES
        : policy.allowedTypes.reduce((bits, name) => bits | TYPE_BITS[name], 0);
    const lifetime =
      policy.sessionLifetime === 'ticket'
        ? abi.SESSION_LIFETIME_TICKET
        : abi.SESSION_LIFETIME_CONNECTION;
    view.setBigUint64(abi.HOST_SKEW, policy.skewNs, true);
    view.setUint32(abi.HOST_PLAUSIBILITY, PLAUSIBILITIES[policy.plausibility], true);
    view.setUint32(abi.HOST_EXPIRY, EXPIRIES[policy.expiry], true);
    view.setUint32(abi.HOST_ALLOWED_TYPES, types, true);
    view.setUint32(abi.HOST_SESSION_LIFETIME, lifetime, true);
    view.setBigUint64(abi.HOST_SESSION_MAX_AGE, policy.sessionMaxAgeNs, true);
    view.setUint32(abi.HOST_RELEASE, policy.release, true);
    view.setUint32(abi.HOST_GENERAL_SECRET, policy.generalSecret ? 1 : 0, true);
    view.setUint32(abi.HOST_MSGR1_AES256K, policy.msgr1Aes256k ? 1 : 0, true);
    this.#policy = given;
    this.#written = true;
  }

  #fillPool(wanted: number): void {
    const have = this.#view.getUint32(abi.HOST_RANDOM_AVAILABLE, true);
    const needed = Math.min(wanted, this.#pool.length);
    if (have >= needed) return;
    const fill = Math.min(Math.max(needed, RANDOM_REFILL), this.#pool.length);
    this.random(this.#pool.subarray(0, fill));
    this.#view.setUint32(abi.HOST_RANDOM_AVAILABLE, fill, true);
  }
}

/** A mode that is none of the three is taken for the strictest. */
function modeOf({ mode }: Challenge): number {
  if (mode === 'issued') return CHALLENGE_ISSUED;
  return mode === 'off' ? CHALLENGE_OFF : CHALLENGE_REQUIRED;
}
