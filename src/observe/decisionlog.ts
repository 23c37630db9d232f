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
import { beginLine, endLine, lineField } from './logger.ts';
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

/** What lines of one answer have in common. */
interface Shared {
  readonly id: string;
  readonly before: string;
  readonly after: string;
}

export class DecisionLog {
  readonly #options: DecisionLogOptions;
  #allowed = 0;
  /** Of the last decision. */
  #shared: Shared = { id: '', before: '', after: '' };

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
    const { verdict, op, item } = facts;
    const { sample } = this.#options;
    // Those of one answer are decided at one time, on one question of one caller.
    const shared = item !== undefined && facts.id === this.#shared.id;
    const { before, after } = shared ? this.#shared : this.#share(facts);
    const line =
      `${before}${item === undefined ? '' : `,"item":${item}`}${after}` +
      `,"decision":${facts.decision},"reason":"${facts.reason}","check":"${facts.check}"`;
    const sampled = facts.decision && sample > 1 ? `,"sample":${sample}` : '';
    const proven = verdict === undefined ? '' : provenFields(verdict);
    return endLine(line + proven + (isObject(op) ? this.#opFields(op) : '') + sampled);
  }

  /** What stands before and behind the place of a decision in its answer. */
  #share({ id, requestId, call, caller, service }: DecisionFacts): Shared {
    // All but the caller's names are words of ours, ids among them: nothing to look for in them.
    const before = `${beginLine(this.#options.clock(), 'info', 'decision')},"decision_id":"${id}"`;
    const names = [lineField('request_id', requestId), `,"call":"${call}"`];
    // Joined it is one piece; a sum would be put together anew in every line.
    const after = [...names, lineField('caller', caller), `,"service":"${service}"`].join('');
    this.#shared = { id, before, after };
    return this.#shared;
  }

  /** The operation by what it names; values such as the arguments of a command stay out. */
  #opFields(op: Readonly<Record<string, unknown>>): string {
    let fields = '';
    for (const name of ['pool', 'namespace', 'fs', 'module', 'command', 'mask']) {
      fields += lineField(name, op[name]);
    }
    let access = op.read === true ? 'read' : '';
    for (const name of ['write', 'exec']) {
      if (op[name] === true) access += access === '' ? name : `,${name}`;
    }
    if (access !== '') fields += `,"access":"${access}"`;
    const { object, path } = op;
    if (this.#options.hashKey === undefined) {
      return fields + lineField('object', object) + lineField('path', path);
    }
    const hashed = lineField('object_hash', this.#hash(object));
    return fields + hashed + lineField('path_hash', this.#hash(path));
  }

  #hash(name: unknown): string | undefined {
    if (typeof name !== 'string' || this.#options.hashKey === undefined) return undefined;
    const mac = createHmac('sha256', this.#options.hashKey).update(name).digest();
    return encodeHex(mac.subarray(0, HASH_LEN));
  }
}

type Verdict = NonNullable<DecisionFacts['verdict']>;

/** Whom a verdict is about, where that was proved. */
function provenFields(verdict: Verdict): string {
  const { entityType, proven } = verdict;
  let fields = '';
  if (entityType !== 0 && (proven || verdict.decision)) {
    fields += lineField('entity', formatEntityName({ type: entityType, id: verdict.entityId }));
  }
  if (!proven) return fields;
  fields += `,"global_id":"${verdict.globalId}","secret_id":"${verdict.secretId}"`;
  fields += lineField('ticket_key_type', verdict.ticketKeyType);
  return fields + lineField('session_key_type', verdict.sessionKeyType);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Bytes of a name's hash: names of a run of 2^32 objects do not collide. */
const HASH_LEN = 16;
