/** GET /v1/admin/health, and the codes of it that `/readyz?verbose` shows. */

import type { Context } from 'hono';
import type { HealthCheck } from '../auth/cipherpolicy.ts';
import type { AdminDeps, AdminEnv } from './admin.ts';
import { requireCaps } from './admincaps.ts';
import { Problem } from './problem.ts';

/** `{status, checks: [{code, level, summary, detail}]}`; the status as Ceph names it. */
export async function getHealth(c: Context<AdminEnv>, deps: AdminDeps): Promise<Response> {
  requireCaps(c, deps, { prefix: 'auth ls' });
  if (deps.health === undefined) throw new Problem('route.unknown', 'no health is watched here');
  const checks = await deps.health();
  return c.json({ status: statusOf(checks), checks });
}

export function statusOf(
  checks: readonly HealthCheck[],
): 'HEALTH_OK' | 'HEALTH_WARN' | 'HEALTH_ERR' {
  if (checks.length === 0) return 'HEALTH_OK';
  return checks.some(({ level }) => level === 'error') ? 'HEALTH_ERR' : 'HEALTH_WARN';
}

/**
 * The codes that were raised last: what answers everybody must not look at every entity each time.
 */
export class HealthCodes {
  readonly #read: () => Promise<readonly HealthCheck[]>;
  readonly #clock: () => bigint;
  #codes: readonly string[] = [];
  #dueNs = 0n;
  #reading: Promise<void> | undefined;

  constructor(read: () => Promise<readonly HealthCheck[]>, clock: () => bigint) {
    this.#read = read;
    this.#clock = clock;
  }

  /**
   * At most MAX_AGE old, or older where looking takes long: anybody may ask, and that must not keep
   * the process busy. After a failure of the store the codes from before.
   */
  async codes(): Promise<readonly string[]> {
    if (this.#clock() >= this.#dueNs) {
      this.#reading ??= this.#refresh().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
    return this.#codes;
  }

  async #refresh(): Promise<void> {
    const begunMs = performance.now();
    try {
      this.#codes = (await this.#read()).map(({ code }) => code);
    } catch {
      // The store says why to whoever asks it for something; health has its own route.
    }
    const restNs = REST_FACTOR * BigInt(Math.round((performance.now() - begunMs) * 1e6));
    this.#dueNs = this.#clock() + (restNs > MAX_AGE_NS ? restNs : MAX_AGE_NS);
  }
}

const MAX_AGE_NS = 10_000_000_000n;
/** Of the time, no more than one part in so many. */
const REST_FACTOR = 50n;
