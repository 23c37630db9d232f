/** What every store must do: two suites, called with a way to open an empty one. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store, WatchEvent } from '../src/store/store.ts';
import {
  KEY_LEN_MAX,
  LEASE_NOTE_LEN_MAX,
  TRANSACTION_BYTES_MAX,
  TRANSACTION_OPERATIONS_MAX,
} from '../src/store/store.ts';
import { transaction } from '../src/store/transaction.ts';
import { Rng, seedOf } from './rng.ts';
import { randomTransactions, StoreTwin } from './store-twin.ts';

/** All but the leases; `transactions` random ones are compared with the twin. */
export function storeContract(
  name: string,
  open: () => Promise<Store>,
  transactions: number,
): void {
  let store: Store;
  beforeEach(async () => {
    store = await open();
  });
  afterEach(async () => {
    await store.close();
  });

  const put = async (key: string, value: string) => {
    const outcome = await store.commit(transaction({ puts: [pair(key, value)] }), CALL);
    expect(outcome.status).toBe('committed');
    return outcome.status === 'committed' ? outcome.snapshot : 0n;
  };
  const read = async (key: string, at?: bigint) => {
    const { entry } = await store.get(bytes(key), { ...CALL, at });
    return entry && text(entry.value);
  };

  describe(`${name}: transactions`, () => {
    it('reads what was written, with the snapshot that wrote it', async () => {
      const before = (await store.get(bytes('a'), CALL)).snapshot;
      const snapshot = await put('a', '1');
      expect(snapshot).toBeGreaterThan(before);
      const found = await store.get(bytes('a'), CALL);
      expect(found.snapshot).toBe(snapshot);
      expect(found.entry).toEqual({ ...pair('a', '1'), revision: snapshot });
      expect(await read('b')).toBeUndefined();
    });

    it('takes any bytes as key and value, also none as value', async () => {
      const key = Uint8Array.from({ length: 256 }, (_, i) => 255 - i);
      const puts = [
        { key, value: key },
        { key: new Uint8Array([0]), value: new Uint8Array() },
        { key: new Uint8Array(KEY_LEN_MAX).fill(255), value: new Uint8Array([0]) },
      ];
      expect((await store.commit(transaction({ puts }), CALL)).status).toBe('committed');
      for (const each of puts) {
        expect((await store.get(each.key, CALL)).entry).toMatchObject(each);
      }
    });

    it('keeps its own copy of what it takes and gives', async () => {
      const value = bytes('secret');
      await store.commit(transaction({ puts: [{ key: bytes('a'), value }] }), CALL);
      value.fill(0);
      (await store.get(bytes('a'), CALL)).entry!.value.fill(0);
      const page = await store.list({ ...CALL, prefix: bytes('a') });
      page.entries[0]!.value.fill(0);
      expect(await read('a')).toBe('secret');
    });

    it('applies all of a transaction or nothing', async () => {
      const first = await put('a', '1');
      const both = transaction({
        compares: [{ key: bytes('a'), revision: first }],
        puts: [pair('b', '2')],
        deletes: [bytes('a')],
      });
      expect((await store.commit(both, CALL)).status).toBe('committed');
      expect([await read('a'), await read('b')]).toEqual([undefined, '2']);
      const stale = { ...both, requestId: transaction({}).requestId, puts: [pair('b', '3')] };
      expect((await store.commit(stale, CALL)).status).toBe('failed-compare');
      expect([await read('a'), await read('b')]).toEqual([undefined, '2']);
    });

    it('compares with a revision and with absence', async () => {
      const absent = () =>
        transaction({
          compares: [{ key: bytes('a'), revision: 'absent' }],
          puts: [pair('a', 'x')],
        });
      expect((await store.commit(absent(), CALL)).status).toBe('committed');
      expect((await store.commit(absent(), CALL)).status).toBe('failed-compare');
      await store.commit(transaction({ deletes: [bytes('a')] }), CALL);
      expect((await store.commit(absent(), CALL)).status).toBe('committed');
    });

    it('does not apply a request twice', async () => {
      const tx = transaction({
        compares: [{ key: bytes('a'), revision: 'absent' }],
        puts: [pair('a', '1')],
      });
      const first = await store.commit(tx, CALL);
      await put('a', '2');
      expect(await store.commit(tx, CALL)).toEqual(first);
      expect(await read('a')).toBe('2');
    });

    it('lets a request that failed to compare try again', async () => {
      const tx = transaction({
        compares: [{ key: bytes('a'), revision: 'absent' }],
        puts: [pair('b', '1')],
      });
      await put('a', '1');
      expect((await store.commit(tx, CALL)).status).toBe('failed-compare');
      await store.commit(transaction({ deletes: [bytes('a')] }), CALL);
      expect((await store.commit(tx, CALL)).status).toBe('committed');
    });

    it('lets one of many win a compare', async () => {
      const tries = Array.from({ length: 20 }, (_, i) =>
        store.commit(
          transaction({
            compares: [{ key: bytes('leader'), revision: 'absent' }],
            puts: [pair('leader', String(i))],
          }),
          CALL,
        ),
      );
      const outcomes = (await Promise.all(tries)).map((outcome) => outcome.status);
      expect(outcomes.filter((status) => status === 'committed')).toHaveLength(1);
    });

    it('holds its limits', async () => {
      const puts = (n: number) => Array.from({ length: n }, (_, i) => pair(`k${i}`, ''));
      const full = transaction({ puts: puts(TRANSACTION_OPERATIONS_MAX) });
      expect((await store.commit(full, CALL)).status).toBe('committed');
      const over = transaction({ puts: puts(TRANSACTION_OPERATIONS_MAX + 1) });
      await expect(store.commit(over, CALL)).rejects.toMatchObject({ code: 'store.limit' });
      const large = (n: number) =>
        transaction({ puts: [{ key: bytes('k'), value: new Uint8Array(n) }] });
      const largest = await store.commit(large(TRANSACTION_BYTES_MAX - 1), CALL);
      expect(largest.status).toBe('committed');
      await expect(store.commit(large(TRANSACTION_BYTES_MAX), CALL)).rejects.toMatchObject({
        code: 'store.limit',
      });
    });

    it('throws at misuse', async () => {
      const twice = transaction({ puts: [pair('a', '1')], deletes: [bytes('a')] });
      const shortId = { ...twice, deletes: [], requestId: new Uint8Array(15) };
      for (const wrong of [twice, shortId, transaction({})]) {
        await expect(store.commit(wrong, CALL)).rejects.toBeInstanceOf(RangeError);
      }
      await expect(store.get(new Uint8Array(), CALL)).rejects.toBeInstanceOf(RangeError);
      await expect(store.get(bytes('a'), { timeoutMs: 0 })).rejects.toBeInstanceOf(RangeError);
      await expect(store.get('a' as never, CALL)).rejects.toBeInstanceOf(TypeError);
      const list = { ...CALL, prefix: bytes('a') };
      await expect(store.list({ ...list, limit: 0 })).rejects.toBeInstanceOf(RangeError);
      await expect(store.list({ ...list, after: bytes('b') })).rejects.toBeInstanceOf(RangeError);
    });
  });

  describe(`${name}: snapshots and lists`, () => {
    it('reads an earlier snapshot, and says when there is none', async () => {
      const first = await put('a', '1');
      const second = await put('a', '2');
      expect([await read('a', first), await read('a', second)]).toEqual(['1', '2']);
      await expect(read('a', second + 1000n)).rejects.toMatchObject({ code: 'store.future' });
    });

    it('lists by prefix, in byte order, page by page, of one snapshot', async () => {
      const names = ['p', 'p/', 'p/\u0001', 'p/a', 'p/a/', 'p/aa', 'p/b', 'p0', 'q'];
      for (const name of [...names].reverse()) await put(name, name);
      const found: string[] = [];
      const options = { ...CALL, prefix: bytes('p/'), limit: 2 };
      let page = await store.list(options);
      const { snapshot } = page;
      for (;;) {
        expect(page.entries.length).toBeLessThanOrEqual(2);
        found.push(...page.entries.map((entry) => text(entry.key)));
        await put(`p/a${found.length}`, 'after the first page');
        if (page.next === undefined) break;
        page = await store.list({ ...options, at: snapshot, after: page.next });
      }
      expect(found).toEqual(names.filter((name) => name.startsWith('p/')));
      const all = await store.list({ ...CALL, prefix: new Uint8Array(), at: snapshot });
      expect(all.entries.map((entry) => text(entry.key))).toEqual(names);
      expect(all.next).toBeUndefined();
    });

    it('ends a list whose last page is full', async () => {
      for (const name of ['a1', 'a2', 'b']) await put(name, '');
      const page = await store.list({ ...CALL, prefix: bytes('a'), limit: 2 });
      expect([page.entries.length, page.next]).toEqual([2, undefined]);
    });
  });

  describe(`${name}: watches`, () => {
    it('yields whole transactions after a snapshot, in order', async () => {
      await put('a', '0');
      const from = await put('a', '1');
      const second = await put('a', '2');
      const watch = store.watch(from);
      const events = take(watch, 3);
      const tx = transaction({ puts: [pair('c', '3'), pair('b', '3')], deletes: [bytes('a')] });
      const third = await store.commit(tx, CALL);
      const fourth = await put('a', '4');
      expect(await events).toEqual([
        changed(second, ['a', '2']),
        changed(third.status === 'committed' ? third.snapshot : 0n, ['a'], ['b', '3'], ['c', '3']),
        changed(fourth, ['a', '4']),
      ]);
    });

    it('tells nothing of failed transactions and of deleted absent keys', async () => {
      const from = await put('a', '1');
      const events = take(store.watch(from), 1);
      const failing = transaction({
        compares: [{ key: bytes('a'), revision: 'absent' }],
        puts: [pair('a', 'x')],
      });
      await store.commit(failing, CALL);
      await store.commit(transaction({ deletes: [bytes('absent')] }), CALL);
      const last = await put('b', '2');
      expect(await events).toEqual([changed(last, ['b', '2'])]);
    });

    it('proves that it lives, and ends when closed', async ({ expect }) => {
      const from = await put('a', '1');
      const watch = store.watch(from);
      const events = take(watch, Number.POSITIVE_INFINITY);
      await put('a', '2');
      await expect.poll(() => watch.proofAgeMs()).toBeLessThan(5_000);
      await new Promise((resolve) => setTimeout(resolve, 100));
      watch.close();
      expect(await events).toHaveLength(1);
    });

    it('ends when the store is closed', async () => {
      const events = take(store.watch(await put('a', '1')), Number.POSITIVE_INFINITY);
      await store.close();
      expect(await events).toEqual([]);
      await expect(read('a')).rejects.toMatchObject({ code: 'store.closed' });
    });
  });

  it(`${name}: agrees with the twin over random transactions`, async ({ expect }) => {
    const seed = seedOf(20261124);
    const twin = new StoreTwin();
    const watch = store.watch((await store.get(bytes('a'), CALL)).snapshot);
    const events: WatchEvent[] = [];
    const told = take(watch, Number.POSITIVE_INFINITY, events);
    await randomTransactions(store, twin, new Rng(seed), transactions, `seed ${seed}`);
    // Stores that tell later than they commit get the time to do so.
    await expect.poll(() => events.length, { timeout: 10_000 }).toBe(twin.told.length);
    watch.close();
    expect(await told, `seed ${seed}`).toEqual(twin.told);
  });
}

/**
 * What leases do in every store, the shortest of which lasts `leaseTtlMs`. They are waited for: a
 * suite of their own can run beside the rest.
 */
export function leaseContract(name: string, open: () => Promise<Store>, leaseTtlMs: number): void {
  describe(`${name}: leases`, () => {
    let store: Store;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(async () => {
      await store.close();
    });
    const holds = async (lease: string, fencing: bigint) => {
      const tx = transaction({ compares: [{ lease, fencing }], puts: [pair('by', lease)] });
      return (await store.commit(tx, CALL)).status === 'committed';
    };

    it('grants a name to one holder, with growing numbers', async () => {
      const first = await store.lease('rotation', 60_000, CALL);
      expect(await store.lease('rotation', 60_000, CALL)).toBeUndefined();
      const other = await store.lease('other', 60_000, CALL);
      expect(other!.fencing).toBeGreaterThan(first!.fencing);
      expect(await holds('rotation', first!.fencing)).toBe(true);
      expect(await holds('rotation', other!.fencing)).toBe(false);
      expect(await holds('nobody', 1n)).toBe(false);
      await first!.release(CALL);
      expect(await holds('rotation', first!.fencing)).toBe(false);
      expect(await first!.renew(CALL)).toBe(false);
      const second = await store.lease('rotation', 60_000, CALL);
      expect(second!.fencing).toBeGreaterThan(other!.fencing);
      await first!.release(CALL);
      expect(await holds('rotation', second!.fencing)).toBe(true);
    });

    it('shows what is noted on those that are held, and tells no watch of it', async () => {
      const watch = store.watch((await store.get(bytes('a'), CALL)).snapshot);
      const told = take(watch, Number.POSITIVE_INFINITY);
      const shown = async (prefix: string) =>
        (await store.leases(prefix, CALL)).map(({ name, note }) => [name, text(note)]);
      const [b, a] = [
        await store.lease('x/b', 60_000, CALL),
        await store.lease('x/a', 60_000, CALL),
      ];
      const other = await store.lease('y', 60_000, CALL);
      expect(await shown('x/')).toEqual([
        ['x/a', ''],
        ['x/b', ''],
      ]);
      expect(await b!.renew(CALL, bytes('one'))).toBe(true);
      expect(await b!.renew(CALL, bytes('two'))).toBe(true);
      expect(await b!.renew(CALL)).toBe(true);
      expect(await other!.renew(CALL, bytes('else'))).toBe(true);
      expect(await shown('x/')).toEqual([
        ['x/a', ''],
        ['x/b', 'two'],
      ]);
      const [, held] = await store.leases('x/', CALL);
      expect([held!.fencing, await holds('x/b', b!.fencing)]).toEqual([b!.fencing, true]);
      await a!.release(CALL);
      expect([await a!.renew(CALL, bytes('late')), await shown('')]).toEqual([
        false,
        [
          ['x/b', 'two'],
          ['y', 'else'],
        ],
      ]);
      const long = new Uint8Array(LEASE_NOTE_LEN_MAX + 1);
      await expect(b!.renew(CALL, long)).rejects.toThrow(RangeError);
      // Its one commit is that of `holds`.
      await new Promise((resolve) => setTimeout(resolve, 300));
      watch.close();
      const events = (await told).filter(
        (event) => event.type !== 'transaction' || event.changes.length > 0,
      );
      expect(events.map(({ type }) => type)).toEqual(['transaction']);
    });

    // The time between two calls counts here, which a busy machine can stretch.
    it('ends without renewal, and lives on with it', { retry: 3 }, async () => {
      const ttl = leaseTtlMs;
      const kept = await store.lease('kept', ttl * 3, CALL);
      const lost = await store.lease('lost', ttl, CALL);
      expect(await holds('lost', lost!.fencing)).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, ttl * 2));
      expect(await holds('lost', lost!.fencing)).toBe(false);
      expect(await lost!.renew(CALL)).toBe(false);
      expect(await kept!.renew(CALL)).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, ttl * 2));
      expect(await holds('kept', kept!.fencing)).toBe(true);
      expect((await store.lease('lost', ttl, CALL))?.fencing).toBeGreaterThan(lost!.fencing);
    });
  });
}

export const CALL = { timeoutMs: 5_000 };

export function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

export function text(value: Uint8Array): string {
  return new TextDecoder().decode(value);
}

export function pair(key: string, value: string): { key: Uint8Array; value: Uint8Array } {
  return { key: bytes(key), value: bytes(value) };
}

/** The first n events, or fewer if the watch ends before; they go into `events` as they come. */
export async function take(
  watch: AsyncIterable<WatchEvent>,
  n: number,
  events: WatchEvent[] = [],
): Promise<WatchEvent[]> {
  if (n === 0) return events;
  for await (const event of watch) {
    events.push(event);
    if (events.length >= n) break;
  }
  return events;
}

function changed(snapshot: bigint, ...changes: [string, string?][]): WatchEvent {
  return {
    type: 'transaction',
    snapshot,
    changes: changes.map(([key, value]) => ({
      key: bytes(key),
      value: value === undefined ? undefined : bytes(value),
    })),
  };
}
