/**
 * GET /v1/admin/watch: server-sent events, one for each transaction of the store, with its snapshot
 * number as the id. Names and kinds of what changed, never values.
 *
 *   event: change      {"snapshot": "12", "changes": [{"kind", "name", "op": "put" | "delete"}]}
 *   event: compacted   {"snapshot": "40"}: what lies between is lost, read all again
 */

import type { Context } from 'hono';
import {
  CIPHERS,
  ENTITIES,
  GLOBAL_ID,
  REVOCATIONS,
  type RecordKind,
  ROTATING,
} from '../store/records.ts';
import type { Change, Store, Watch, WatchEvent } from '../store/store.ts';
import type { AdminDeps, AdminEnv } from './admin.ts';
import { requireCaps } from './admincaps.ts';
import { AdminProblem } from './adminproblem.ts';
import { parseU64 } from './codec.ts';
import { Problem } from './problem.ts';

/**
 * After `Last-Event-ID`, or `?from=`, else from now on. With `?wait=SECONDS` the answer ends with
 * the first change, or when the time is over; a caller that signs always gets that, as nobody can
 * sign what has no end.
 */
export async function getWatch(c: Context<AdminEnv>, deps: AdminDeps): Promise<Response> {
  requireCaps(c, deps, { prefix: 'auth ls' });
  const { store } = deps.command;
  const from = fromOf(c) ?? (await presentSnapshot(store));
  const waitMs = waitOf(c);
  const watches = (watching.get(store) ?? 0) + 1;
  if (watches > WATCHES_MAX) throw new AdminProblem('watch.full', 'too many watch already');
  watching.set(store, watches);
  const watch = store.watch(from);
  const end = (): void => watch.close();
  deps.ending?.addEventListener('abort', end);
  if (deps.ending?.aborted) end();
  const over = (): void => {
    watch.close();
    deps.ending?.removeEventListener('abort', end);
    watching.set(store, (watching.get(store) ?? 1) - 1);
  };
  const headers = { 'content-type': 'text/event-stream' };
  if (waitMs === undefined) {
    // Where it ends we end too, or nobody watches any more: nothing else comes on its connection.
    const last = { ...headers, connection: 'close' };
    return new Response(streamOf(watch, from, over), { headers: last });
  }
  try {
    return new Response(await firstOf(watch, from, waitMs), { headers });
  } finally {
    over();
  }
}

function streamOf(watch: Watch, from: bigint, over: () => void): ReadableStream<Uint8Array> {
  const events = watch[Symbol.asyncIterator]();
  let beat: ReturnType<typeof setInterval> | undefined;
  const end = (): void => {
    clearInterval(beat);
    over();
  };
  return new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(utf8.encode(opening(from)));
      // So that both ends notice when the other one is gone.
      beat = setInterval(() => controller.enqueue(utf8.encode(':\n\n')), BEAT_MS);
    },
    async pull(controller) {
      try {
        for (;;) {
          const { done, value } = await events.next();
          if (done) break;
          const text = eventText(value);
          if (text === '') continue;
          controller.enqueue(utf8.encode(text));
          return;
        }
        controller.close();
        end();
      } catch (error) {
        end();
        controller.error(error);
      }
    },
    cancel: end,
  });
}

async function firstOf(watch: Watch, from: bigint, waitMs: number): Promise<string> {
  const timer = setTimeout(() => watch.close(), waitMs);
  try {
    for await (const event of watch) {
      const text = eventText(event);
      if (text !== '') return opening(from) + text;
    }
    return opening(from);
  } finally {
    clearTimeout(timer);
  }
}

function opening(from: bigint): string {
  return `retry: 1000\nid: ${from}\n\n`;
}

function eventText(event: WatchEvent): string {
  const snapshot = event.snapshot.toString();
  if (event.type === 'compacted') return message('compacted', snapshot, { snapshot });
  const changes = event.changes.flatMap(shown);
  return changes.length === 0 ? '' : message('change', snapshot, { snapshot, changes });
}

function message(event: string, id: string, data: unknown): string {
  return `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
}

interface ShownChange {
  readonly kind: string;
  readonly name: string;
  readonly op: 'put' | 'delete';
}

/** Nothing for what is the store's own business: leases, imports that are not committed. */
function shown({ key, value }: Change): ShownChange[] {
  const found = KINDS.find(({ prefix }) => prefix.every((byte, i) => key[i] === byte));
  if (found === undefined) return [];
  const name = new TextDecoder().decode(key.subarray(found.prefix.length));
  return [{ kind: found.kind, name, op: value === undefined ? 'delete' : 'put' }];
}

function fromOf(c: Context<AdminEnv>): bigint | undefined {
  const text = c.req.header('last-event-id') ?? c.req.query('from');
  if (text === undefined) return undefined;
  const from = parseU64(text);
  if (from === undefined) throw new Problem('field.value', '"from" is not a snapshot number');
  return from;
}

function waitOf(c: Context<AdminEnv>): number | undefined {
  const text = c.req.query('wait');
  if (text === undefined) return c.get('caller') === undefined ? undefined : WAIT_MAX_MS;
  if (!/^[0-9]{1,2}$/.test(text) || Number(text) * 1000 > WAIT_MAX_MS) {
    throw new Problem('field.value', '"wait" is not 0 to 30 seconds');
  }
  return Number(text) * 1000;
}

async function presentSnapshot(store: Store): Promise<bigint> {
  return (await store.get(CIPHERS.prefix, { timeoutMs: 5_000 })).snapshot;
}

const kindOf = (kind: string, { prefix }: Pick<RecordKind<never, never>, 'prefix'>) => ({
  kind,
  prefix,
});
const KINDS = [
  kindOf('entity', ENTITIES),
  kindOf('secrets', ROTATING),
  kindOf('revocation', REVOCATIONS),
  kindOf('ciphers', CIPHERS),
  kindOf('global_id', GLOBAL_ID),
];
/** Open watches by store. */
const watching = new WeakMap<Store, number>();
const WATCHES_MAX = 64;
const WAIT_MAX_MS = 30_000;
const BEAT_MS = 15_000;
const utf8 = new TextEncoder();
