/**
 * Transactions on etcd. Every one writes the key of its request too and compares what that key was
 * before, so it can be sent again to any member: an answer that did not come says nothing.
 */

import {
  type Compare,
  type Outcome,
  REQUESTS_KEPT,
  TRANSACTION_OPERATIONS_MAX,
  type Transaction,
} from '../store.ts';
import { keyText } from '../text.ts';
import { Deadline, unreachable } from './client.ts';
import {
  createdIs,
  deleteOp,
  endOf,
  flag,
  type Json,
  modIs,
  putOp,
  rangeOf,
  rangeOp,
  rangeRequest,
  rangesOf,
  revisionOf,
  valueIs,
} from './codec.ts';
import type { EtcdContext } from './etcd.ts';
import {
  decodeGeneration,
  encodeGeneration,
  joined,
  LAST_COMMIT,
  REQUEST_DONE,
  REQUEST_VOID,
} from './layout.ts';

export class Committer {
  readonly #context: EtcdContext;
  /** Requests that were answered `unknown`: they may still be under way. */
  readonly #unsure = new Set<string>();
  #sweeping = false;

  constructor(context: EtcdContext) {
    this.#context = context;
  }

  /** Throws StoreError when the transaction certainly was not applied. */
  async commit(transaction: Transaction, deadline: Deadline): Promise<Outcome> {
    const { client, layout } = this.#context;
    const id = keyText(transaction.requestId);
    const key = layout.request(transaction.requestId);
    let unsure = this.#unsure.has(id);
    let guard = 0n;
    for (let tries = 1; ; tries++) {
      const { generation } = this.#context;
      const request = this.#request(transaction, generation, key, guard);
      const attempt = await client.attempt(TXN, request, deadline);
      if (attempt.kind === 'refused') {
        if (!unsure) throw attempt.error;
        return this.#unknown(id, attempt.error.message);
      }
      if (attempt.kind === 'none') {
        unsure ||= attempt.sent;
        if (await client.pause(deadline, tries)) continue;
        if (unsure) return this.#unknown(id, attempt.message);
        client.checkOpen();
        throw unreachable(attempt.message);
      }
      const snapshot = revisionOf(attempt.answer);
      if (flag(attempt.answer, 'succeeded')) return this.#committed(id, snapshot);
      const found = this.#found(attempt.answer);
      if (found.doneAt !== undefined) return this.#committed(id, found.doneAt);
      if (found.guard !== guard || this.#context.generation !== generation) {
        guard = found.guard;
        continue;
      }
      // An earlier try may be under way, and what it compares may hold again when it arrives.
      if (unsure && !(await this.#makeVoid(key, guard, deadline))) continue;
      this.#unsure.delete(id);
      return { status: 'failed-compare', snapshot };
    }
  }

  #request(transaction: Transaction, generation: string, key: Uint8Array, guard: bigint): Json {
    const { layout, envelope } = this.#context;
    const data = layout.data(generation);
    const pointer = encodeGeneration({ id: generation, kind: envelope.kind });
    return {
      compare: [
        modIs(key, guard),
        valueIs(layout.generation, pointer),
        ...transaction.compares.map((compare) => this.#compare(compare, data)),
      ],
      success: [
        ...transaction.puts.map((put) => {
          const path = joined(data, put.key);
          return putOp(path, envelope.close(path, put.value));
        }),
        ...transaction.deletes.map((each) => deleteOp(joined(data, each))),
        putOp(key, REQUEST_DONE),
        putOp(layout.last(generation), LAST_COMMIT),
      ],
      failure: [rangeOp(key), rangeOp(layout.generation)],
    };
  }

  #compare(compare: Compare, data: Uint8Array): Json {
    if ('lease' in compare) {
      return createdIs(this.#context.layout.lease(compare.lease), compare.fencing);
    }
    const revision = compare.revision === 'absent' ? 0n : compare.revision;
    return modIs(joined(data, compare.key), revision);
  }

  /** What a failed transaction found: its own earlier try, or what to compare from now on. */
  #found(answer: Json): { doneAt?: bigint; guard: bigint } {
    const [request, pointer] = rangesOf(answer);
    const generation = pointer?.kvs[0];
    if (generation !== undefined) {
      this.#context.generation = decodeGeneration(generation.value).id;
    }
    const earlier = request?.kvs[0];
    if (earlier === undefined) return { guard: 0n };
    const isDone = earlier.value[0] === REQUEST_DONE[0];
    return { guard: earlier.modRevision, ...(isDone && { doneAt: earlier.modRevision }) };
  }

  /** Makes sure that no earlier try is applied any more; false if that did not succeed yet. */
  async #makeVoid(key: Uint8Array, guard: bigint, deadline: Deadline): Promise<boolean> {
    const request = { compare: [modIs(key, guard)], success: [putOp(key, REQUEST_VOID)] };
    const attempt = await this.#context.client.attempt(TXN, request, deadline);
    return attempt.kind === 'answer' && flag(attempt.answer, 'succeeded');
  }

  #committed(id: string, snapshot: bigint): Outcome {
    this.#unsure.delete(id);
    if (Math.random() < 1 / SWEEP_EVERY) void this.#sweep();
    return { status: 'committed', snapshot };
  }

  #unknown(id: string, message: string): Outcome {
    this.#unsure.add(id);
    // Long before so many others, what was sent has been carried out or lost.
    if (this.#unsure.size > REQUESTS_KEPT) this.#unsure.delete(this.#unsure.keys().next().value!);
    return { status: 'unknown', message };
  }

  /** Forgets the oldest requests. Several instances may do it at once. */
  async #sweep(): Promise<void> {
    if (this.#sweeping) return;
    this.#sweeping = true;
    const { client, layout } = this.#context;
    try {
      const end = endOf(layout.requests);
      const request = rangeRequest(layout.requests, { end, keysOnly: true, oldestFirst: true });
      const { kvs } = rangeOf(await client.call(RANGE, request, new Deadline(SWEEP_TIMEOUT_MS)));
      const old = kvs.slice(0, Math.max(0, kvs.length - REQUESTS_KEPT));
      for (let at = 0; at < old.length; at += TRANSACTION_OPERATIONS_MAX) {
        const some = old.slice(at, at + TRANSACTION_OPERATIONS_MAX);
        // Compared: a request that was made void and tried again is young.
        const compare = some.map((kv) => modIs(kv.key, kv.modRevision));
        const success = some.map((kv) => deleteOp(kv.key));
        await client.call(TXN, { compare, success }, new Deadline(SWEEP_TIMEOUT_MS));
      }
    } catch {
      // The next one does it.
    } finally {
      this.#sweeping = false;
    }
  }
}

const TXN = '/v3/kv/txn';
const RANGE = '/v3/kv/range';
/** One commit out of so many looks for requests to forget. */
const SWEEP_EVERY = 1_024;
const SWEEP_TIMEOUT_MS = 10_000;
