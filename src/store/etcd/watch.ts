/**
 * Watches on etcd, resumed by revision on any member. A stream can go silently dead, and a slow one
 * looks alive, so every watch is under proof (proof.ts): one that falls behind is opened anew.
 */

import { StoreError } from '../../errors.ts';
import type { Change, Watch, WatchEvent } from '../store.ts';
import { keyText } from '../text.ts';
import { Deadline } from './client.ts';
import {
  endOf,
  flag,
  int,
  type Json,
  type KeyValue,
  keyValueOf,
  list,
  object,
  rangeOp,
  rangesOf,
  revisionOf,
  text,
  toBase64,
} from './codec.ts';
import type { EtcdContext } from './etcd.ts';
import { decodeGeneration, LAST_MOVED } from './layout.ts';
import { PostError } from './post.ts';
import { WatchProof } from './proof.ts';

export class EtcdWatch implements Watch {
  readonly #context: EtcdContext;
  readonly #closing = new AbortController();
  readonly #proof: WatchProof;
  /** All up to here was told. */
  #at: bigint;
  /** What is watched; undefined before the first stream. */
  #generation: string | undefined;

  constructor(context: EtcdContext, from: bigint) {
    this.#context = context;
    this.#at = from;
    this.#proof = new WatchProof(context);
  }

  proofAgeMs(): number {
    return this.#isClosed() ? Number.POSITIVE_INFINITY : this.#proof.ageMs();
  }

  close(): void {
    this.#closing.abort();
    this.#proof.stop();
    this.#context.watches.delete(this);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchEvent, void> {
    this.#context.watches.add(this);
    try {
      while (!this.#isClosed()) {
        try {
          const isEnd = yield* this.#follow();
          if (isEnd) return;
        } catch (error) {
          if (this.#isClosed()) return;
          if (!(error instanceof PostError || isPassing(error))) throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, REOPEN_MS * Math.random()));
      }
    } finally {
      this.close();
    }
  }

  #isClosed(): boolean {
    return this.#closing.signal.aborted || this.#context.client.closed;
  }

  /** One stream, until it breaks (false) or no other one can go on from where we are (true). */
  async *#follow(): AsyncGenerator<WatchEvent, boolean> {
    const { client, layout } = this.#context;
    const start = await this.#start();
    if ('compacted' in start) {
      yield { type: 'compacted', snapshot: start.compacted };
      return true;
    }
    const stream = new AbortController();
    const signal = AbortSignal.any([stream.signal, this.#closing.signal]);
    this.#proof.start(start.generation, () => stream.abort());
    const opened = await client.stream('/v3/watch', this.#request(start.generation), signal);
    try {
      let events: KeyEvent[] = [];
      for await (const document of opened.documents) {
        this.#proof.heard();
        const compacted = compactedIn(document);
        if (compacted !== undefined) {
          yield { type: 'compacted', snapshot: compacted };
          return true;
        }
        events.push(...list(document, 'events').map(eventOf));
        const last = flag(document, 'fragment') ? events.at(-1)?.kv.modRevision : undefined;
        const open = events.filter(({ kv }) => kv.modRevision === last);
        for (const group of byRevision(events.slice(0, events.length - open.length))) {
          const event = this.#take(group, layout.last(start.generation), start.generation);
          this.#proof.reached(this.#at);
          if (event === undefined) continue;
          yield event;
          if (event.type === 'compacted') return true;
        }
        events = open;
      }
    } finally {
      this.#proof.stop();
      stream.abort();
      // Whatever ended it: another member is as good.
      client.leave(opened.member);
    }
    return false;
  }

  /** What to watch, asked linearizably; `compacted` if it does not go on from where we are. */
  async #start(): Promise<{ generation: string } | { compacted: bigint }> {
    const { client, layout } = this.#context;
    const askedMs = performance.now();
    const success = [
      rangeOp(layout.generation),
      rangeOp(layout.last(this.#generation ?? this.#context.generation)),
    ];
    const answer = await client.call('/v3/kv/txn', { success }, new Deadline(START_TIMEOUT_MS));
    const latest = revisionOf(answer);
    const [pointer, last] = rangesOf(answer).map((range) => range?.kvs[0]);
    // A number ahead of etcd is of another past, as after a backup was put back.
    if (pointer === undefined || latest < this.#at) return { compacted: latest };
    const { id } = decodeGeneration(pointer.value);
    const isFirst = pointer.createRevision === pointer.modRevision;
    const isSame = this.#generation === undefined || this.#generation === id;
    if (!isSame || !(isFirst || pointer.modRevision <= this.#at)) return { compacted: latest };
    if (id === this.#context.generation && last !== undefined) {
      this.#proof.ask(last.modRevision, askedMs);
      this.#proof.reached(this.#at);
    }
    this.#context.generation = id;
    this.#generation = id;
    return { generation: id };
  }

  #request(generation: string): Json {
    const key = this.#context.layout.all(generation);
    const range = { key: toBase64(key), range_end: toBase64(endOf(key)) };
    const start = { start_revision: String(this.#at + 1n), fragment: true };
    return { create_request: { ...range, ...start } };
  }

  /** The events of one revision as a transaction; undefined if none of them is of the database. */
  #take(events: readonly KeyEvent[], last: Uint8Array, generation: string): WatchEvent | undefined {
    const { layout, envelope } = this.#context;
    const snapshot = events[0]!.kv.modRevision;
    this.#at = snapshot;
    const changes: [string, Change][] = [];
    for (const { kv, isDelete } of events) {
      if (keyText(kv.key) === keyText(last)) {
        const isMoved = isDelete || kv.value[0] === LAST_MOVED[0];
        if (isMoved) return { type: 'compacted', snapshot };
        this.#proof.lastSeen = snapshot;
        continue;
      }
      const key = kv.key.slice(layout.data(generation).length);
      const value = isDelete ? undefined : envelope.open(kv.key, kv.value);
      changes.push([keyText(key), { key, value }]);
    }
    if (changes.length === 0) return undefined;
    changes.sort(([a], [b]) => (a < b ? -1 : 1));
    return { type: 'transaction', snapshot, changes: changes.map(([, change]) => change) };
  }
}

interface KeyEvent {
  readonly kv: KeyValue;
  readonly isDelete: boolean;
}

function eventOf(event: Json): KeyEvent {
  return { kv: keyValueOf(object(event, 'kv')), isDelete: event.type === 'DELETE' };
}

/** Events that are next to each other and of one revision. */
function byRevision(events: readonly KeyEvent[]): KeyEvent[][] {
  const groups: KeyEvent[][] = [];
  for (const event of events) {
    const group = groups.at(-1);
    if (group?.[0]?.kv.modRevision === event.kv.modRevision) group.push(event);
    else groups.push([event]);
  }
  return groups;
}

/** The revision up to which etcd has forgotten, if it says so. Throws PostError for another end. */
function compactedIn(document: Json): bigint | undefined {
  if (!flag(document, 'canceled')) return undefined;
  const compacted = int(document, 'compact_revision');
  if (compacted > 0n) return compacted;
  throw new PostError(`etcd ended the watch: ${text(document, 'cancel_reason')}`, true);
}

function isPassing(error: unknown): boolean {
  return error instanceof StoreError && PASSING.has(error.code);
}

const PASSING: ReadonlySet<string> = new Set(['store.unreachable', 'store.busy', 'store.full']);
const START_TIMEOUT_MS = 3_000;
const REOPEN_MS = 100;
