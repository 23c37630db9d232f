/**
 * What each plausibility policy would have said of tickets sealed with `aes`, so that an operator
 * sees what a stricter policy would refuse before choosing it.
 *
 *   authorizer -> sealed with aes, by its public secret id? -> sampled -> after the answer:
 *   one engine.verify per policy, without challenge, reply and session
 *
 * Neither the choice nor the outcome may tell more than the answer does. The choice is made from
 * public bytes alone, so no time depends on what was inside. An authorizer whose part b does not
 * open is `unproven` under every policy: what failed first is not told (interface section 3.6).
 */

import type { Engine } from '../engine/engine.ts';
import type { Plausibility, Policy } from '../engine/types.ts';
import type { SecretFact } from '../http/deps.ts';

export type ShadowOutcome = 'plausible' | 'implausible' | 'unproven';

export interface ShadowOptions {
  readonly engine: Engine;
  readonly secrets: () => readonly SecretFact[];
  readonly policy: Partial<Policy>;
  readonly clock: () => bigint;
  readonly judged: (policy: Plausibility, outcome: ShadowOutcome) => void;
  /** Most authorizers judged in a second. */
  readonly perSecondMax?: number;
  /** Runs a function after the answer. Default `setTimeout`. */
  readonly later?: (run: () => void) => void;
}

export class Shadow {
  readonly #options: ShadowOptions;
  readonly #perSecondMax: number;
  #second = -1n;
  #taken = 0;

  constructor(options: ShadowOptions) {
    this.#options = options;
    this.#perSecondMax = options.perSecondMax ?? PER_SECOND_MAX;
  }

  /** Takes an authorizer into the sample, or not. */
  offer(service: number, authorizer: Uint8Array): void {
    if (!this.#isAes(service, authorizer) || !this.#take()) return;
    const { later = (run) => void setTimeout(run, 0) } = this.#options;
    // The bytes may be those of a buffer that is used again.
    const own = authorizer.slice();
    later(() => this.#judge(service, own));
  }

  #judge(service: number, authorizer: Uint8Array): void {
    const { engine, policy, clock, judged } = this.#options;
    const nowNs = clock();
    const request = { service, authorizer, challenge: { mode: 'off' }, tail: false } as const;
    for (const plausibility of PLAUSIBILITIES) {
      const open = { ...policy, plausibility, expiry: 'ring', allowedTypes: 'ring' } as const;
      const { reason, proven } = engine.verify(request, { nowNs, policy: open });
      const implausible = reason === 'ticket.implausible';
      judged(plausibility, implausible ? 'implausible' : proven ? 'plausible' : 'unproven');
    }
  }

  #take(): boolean {
    const second = this.#options.clock() / 1_000_000_000n;
    if (second !== this.#second) {
      this.#second = second;
      this.#taken = 0;
    }
    this.#taken += 1;
    return this.#taken <= this.#perSecondMax;
  }

  #isAes(service: number, authorizer: Uint8Array): boolean {
    if (authorizer.length < SECRET_ID_AT + 8) return false;
    const { buffer, byteOffset } = authorizer;
    const secretId = new DataView(buffer, byteOffset).getBigUint64(SECRET_ID_AT, true);
    return this.#options
      .secrets()
      .some(
        (each) =>
          each.serviceId === service && each.secretId === secretId && each.keyType === 'aes',
      );
  }
}

/** In the order of strictness. */
export const PLAUSIBILITIES: readonly Plausibility[] = [
  'released',
  'pr71231-order',
  'pr71231-span',
  'strict',
];
/** CephXAuthorizer: authorizer_v, global_id, service_id, then CephXTicketBlob: struct_v, id. */
const SECRET_ID_AT = 14;
const PER_SECOND_MAX = 10;
