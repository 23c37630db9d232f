/**
 * The decision log: what was decided, for whom, on what, and by which exact rule, as JSON lines
 * in a file of its own. It is the operator's: the exact check names stand in it, secrets never.
 *
 *   denial  -> always written; where the queue is full the process waits for the file
 *   allowed -> one in `sample`; where the queue is full it is dropped, and counted
 *
 * A disk that is full or gone does not stop decisions: then denials are dropped too, and counted.
 * What waits in the queue is lost if the process is killed, and written if it ends.
 */

import { createHmac } from 'node:crypto';
import { formatEntityName } from '../cephx/protocol.ts';
import { encodeHex } from '../http/codec.ts';
import type { DecisionFacts } from './facts.ts';
import { formatLine } from './logger.ts';
import type { RotatingFile } from './rotatingfile.ts';

export interface DecisionLogOptions {
  readonly file: Pick<RotatingFile, 'write' | 'writeNow'>;
  readonly clock: () => bigint;
  /** One of so many allowed decisions is written. */
  readonly sample: number;
  /** 32 bytes: objects and paths are written as HMAC-SHA256 under this key. */
  readonly hashKey?: Uint8Array | undefined;
  readonly dropped: (decision: 'allowed' | 'denied') => void;
}

export class DecisionLog {
  readonly #options: DecisionLogOptions;
  #allowed = 0;

  constructor(options: DecisionLogOptions) {
    this.#options = options;
  }

  add(facts: DecisionFacts): void {
    const { file, sample, dropped } = this.#options;
    if (facts.decision) {
      this.#allowed = (this.#allowed + 1) % sample;
      // The first one is written, so that a log of few decisions is not empty.
      if (this.#allowed !== 1 % sample) return;
      if (!file.write(this.#line(facts))) dropped('allowed');
      return;
    }
    const line = this.#line(facts);
    if (!file.write(line) && !file.writeNow(line)) dropped('denied');
  }

  #line(facts: DecisionFacts): string {
    const { verdict, op } = facts;
    return formatLine(this.#options.clock(), {
      event: 'decision',
      decision_id: facts.id,
      item: facts.item,
      request_id: facts.requestId,
      call: facts.call,
      caller: facts.caller,
      service: facts.service,
      decision: facts.decision,
      reason: facts.reason,
      check: facts.check,
      ...(verdict !== undefined && provenFields(verdict)),
      ...(isObject(op) && this.#opFields(op)),
      sample: facts.decision && this.#options.sample > 1 ? this.#options.sample : undefined,
    });
  }

  /** The operation by what it names; values such as the arguments of a command stay out. */
  #opFields(op: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const access = ['read', 'write', 'exec'].filter((name) => op[name] === true).join(',');
    const { pool, namespace, fs, module, command, mask } = op;
    const shared = { pool, namespace, fs, module, command, mask, access: access || undefined };
    const { object, path } = op;
    if (this.#options.hashKey === undefined) return { ...shared, object, path };
    return { ...shared, object_hash: this.#hash(object), path_hash: this.#hash(path) };
  }

  #hash(name: unknown): string | undefined {
    if (typeof name !== 'string' || this.#options.hashKey === undefined) return undefined;
    const mac = createHmac('sha256', this.#options.hashKey).update(name).digest();
    return encodeHex(mac.subarray(0, HASH_LEN));
  }
}

type Verdict = NonNullable<DecisionFacts['verdict']>;

/** Whom a verdict is about, where that was proved. */
function provenFields(verdict: Verdict): Record<string, unknown> {
  const { entityType } = verdict;
  const proven = verdict.proven || (entityType !== 0 && verdict.decision);
  if (!proven) return {};
  return {
    entity:
      entityType === 0 ? undefined : formatEntityName({ type: entityType, id: verdict.entityId }),
    ...(verdict.proven && {
      global_id: verdict.globalId,
      secret_id: verdict.secretId,
      ticket_key_type: verdict.ticketKeyType,
      session_key_type: verdict.sessionKeyType,
    }),
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Bytes of a name's hash: names of a run of 2^32 objects do not collide. */
const HASH_LEN = 16;
