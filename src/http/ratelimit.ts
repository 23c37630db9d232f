/**
 * How often one caller may ask: a token bucket each (RFC 2697 calls its size the burst). It counts
 * requests of callers, never of entities: nobody can lock out a client by asking for it.
 */

export interface RateLimit {
  /** Requests a second, in the long run. */
  readonly perSecond: number;
  /** Requests at once. */
  readonly burst: number;
}

export class RateLimiter {
  #limit: RateLimit | undefined;
  readonly #callersMax: number;
  /** Id of the caller -> what is left, the longest unused first. A full bucket is left out. */
  readonly #buckets = new Map<string, Bucket>();

  /** Without limit all may pass. */
  constructor(limit: RateLimit | undefined, callersMax: number = CALLERS_MAX) {
    this.#limit = limit;
    this.#callersMax = callersMax;
  }

  /** Callers that are counted now. */
  get size(): number {
    return this.#buckets.size;
  }

  get limit(): RateLimit | undefined {
    return this.#limit;
  }

  /** Changes the limit; what was used before counts on. */
  set(limit: RateLimit | undefined): void {
    this.#limit = limit;
    if (limit === undefined) this.#buckets.clear();
  }

  /** Seconds after which to ask again, at least 1; 0: the request may pass. */
  take(caller: string, nowNs: bigint): number {
    const limit = this.#limit;
    if (limit === undefined) return 0;
    const id = this.#counted(caller, nowNs, limit);
    const left = refilled(this.#buckets.get(id), nowNs, limit);
    this.#buckets.delete(id);
    const passes = left >= 1;
    this.#buckets.set(id, { left: passes ? left - 1 : left, atNs: nowNs });
    return passes ? 0 : Math.max(1, Math.ceil((1 - left) / limit.perSecond));
  }

  /** Where memory ends, newcomers share one bucket: nobody else's is taken for them. */
  #counted(caller: string, nowNs: bigint, limit: RateLimit): string {
    if (this.#buckets.has(caller)) return caller;
    for (const [id, bucket] of this.#buckets) {
      if (refilled(bucket, nowNs, limit) < limit.burst) break;
      this.#buckets.delete(id);
    }
    return this.#buckets.size < this.#callersMax ? caller : NEWCOMERS;
  }
}

interface Bucket {
  readonly left: number;
  readonly atNs: bigint;
}

function refilled(bucket: Bucket | undefined, nowNs: bigint, limit: RateLimit): number {
  if (bucket === undefined) return limit.burst;
  // A clock that was set back gives nothing and takes nothing.
  const seconds = nowNs > bucket.atNs ? Number(nowNs - bucket.atNs) / 1e9 : 0;
  return Math.min(limit.burst, bucket.left + seconds * limit.perSecond);
}

/** What the limit counts as one caller: without proof, the address it comes from. */
export function rateKey(callerId: string, remote: string | undefined): string {
  if (callerId !== 'tcp' || remote === undefined) return callerId;
  const bare = remote.replace(/^::ffff:/, '');
  // Who has one address of IPv6 has 2^64 of them.
  return bare.includes(':') ? `tcp/${network64(bare)}` : `tcp/${bare}`;
}

/** The first four groups of an IPv6 address in text form. */
function network64(address: string): string {
  const [head = '', tail] = address.split('%')[0]!.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length);
  const groups = [...front, ...Array.from({ length: zeros }, () => '0'), ...back];
  return groups.slice(0, 4).join(':');
}

const CALLERS_MAX = 4_096;
/** No id of a caller has a space. */
const NEWCOMERS = 'all others';
