/** The key server: rotation by the clock, several instances on one store, wipe, failing store. */

import { describe, expect, test } from 'vitest';
import {
  DEFAULT_TTLS,
  KeyServer,
  type KeyServerOptions,
  ROTATING_SERVICES,
  type TicketTtls,
} from '../src/auth/keyserver.ts';
import { KeyServerRing } from '../src/auth/keyserver-ring.ts';
import { dueNs, NO_SECRETS, rotated, sealingSecret, ticketLifeNs } from '../src/auth/rotation.ts';
import { StoreView } from '../src/auth/storeview.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { ENTITY_TYPES } from '../src/cephx/protocol.ts';
import type { ServiceSecret } from '../src/engine/index.ts';
import { StoreError } from '../src/errors.ts';
import {
  CIPHERS,
  MemoryStore,
  ROTATING,
  type RotatingRecord,
  type Store,
} from '../src/store/index.ts';
import { BOTH_CIPHERS, put } from './auth-issue-kit.ts';
import { HOUR_NS, NOW_NS } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';

const rng = new Rng(seedOf(43));
const SECOND = 1_000_000_000n;

/** What an engine holds, by service and id; refuses what the core refuses. */
class Table {
  readonly secrets = new Map<string, string>();
  changes = 0;

  putSecret({ service, secretId, key }: ServiceSecret): void {
    this.changes += 1;
    this.secrets.set(
      `${service}/${secretId}`,
      CryptoKey.fromBase64(btoa(String.fromCharCode(...key))).toBase64(),
    );
  }
  removeSecret(service: number, secretId: bigint): boolean {
    return this.secrets.delete(`${service}/${secretId}`);
  }
  ids(service: string): bigint[] {
    const prefix = `${ENTITY_TYPES[service]}/`;
    const mine = [...this.secrets.keys()].filter((key) => key.startsWith(prefix));
    return mine.map((key) => BigInt(key.slice(prefix.length))).sort((a, b) => Number(a - b));
  }
}

interface Instance {
  readonly server: KeyServer;
  readonly table: Table;
  readonly failures: unknown[];
}

async function open(
  store: Store,
  nowNs: bigint,
  options: Partial<KeyServerOptions> = {},
): Promise<Instance> {
  const table = new Table();
  const failures: unknown[] = [];
  const failed = (error: unknown): void => void failures.push(error);
  const all = { store, engine: table, random: rng.random, failed, ...options };
  return { server: await KeyServer.open(all, nowNs), table, failures };
}

const shape = (instance: Instance, service: 'osd' | 'auth') =>
  instance.server.held(service).map((each) => [each.secretId, each.expiresNs - NOW_NS]);

describe('rotation', () => {
  const key = new Uint8Array(1);

  test('a fresh ring: ids 1, 2, 3 at now + 1, 2, 3 ttl, and tickets under 2', () => {
    const ring = rotated(NO_SECRETS, 1000n, 10n, () => key);
    expect(ring.secrets.map((each) => [each.secretId, each.expiresNs])).toEqual([
      [1n, 1010n],
      [2n, 1020n],
      [3n, 1030n],
    ]);
    expect(sealingSecret(ring.secrets, 1000n)?.secretId).toBe(2n);
    expect(sealingSecret(ring.secrets, 1019n)?.secretId).toBe(2n);
    expect(sealingSecret(ring.secrets, 1020n)?.secretId).toBe(3n);
    expect(sealingSecret(ring.secrets, 1030n)).toBe(undefined);
    expect(ticketLifeNs(ring.secrets, 1019n, 10n)).toBe(10n);
    expect(ticketLifeNs(ring.secrets, 1021n, 10n)).toBe(9n);
    expect(rotated(ring, 1019n, 10n, () => key)).toBe(ring);
    expect(rotated(ring, 1020n, 10n, () => key).secrets.map(({ secretId }) => secretId)).toEqual([
      2n,
      3n,
      4n,
    ]);
  });

  test('10^4 random clocks and ttls: what must hold of every ring', () => {
    for (let run = 0; run < 500; run++) {
      let ring: RotatingRecord = NO_SECRETS;
      let now = 10n ** 18n;
      for (let step = 0; step < 20; step++) {
        const ttl = BigInt(1 + rng.int(1000));
        now += BigInt(rng.int(3000));
        const before = ring;
        ring = rotated(ring, now, ttl, () => key);
        const { secrets } = ring;
        expect(secrets.length).toBe(3);
        expect(dueNs(secrets)).toBeGreaterThan(now);
        expect(secrets[2]!.secretId).toBe(ring.secretIdMax);
        expect(secrets[1]!.secretId).toBe(secrets[0]!.secretId + 1n);
        expect(secrets[2]!.secretId).toBe(secrets[1]!.secretId + 1n);
        expect(secrets[1]!.expiresNs).toBeGreaterThan(secrets[0]!.expiresNs);
        expect(secrets[2]!.expiresNs).toBeGreaterThan(secrets[1]!.expiresNs);
        // A secret that was there never changes.
        for (const each of before.secrets) {
          const kept = secrets.find(({ secretId }) => secretId === each.secretId);
          if (kept !== undefined) expect(kept).toBe(each);
        }
        // A ticket ends before its secret would be dropped by a ring that turns in time.
        const life = ticketLifeNs(secrets, now, ttl);
        expect(now + life <= secrets[2]!.expiresNs && life > 0n && life <= ttl).toBe(true);
      }
    }
  });
});

describe('key server', () => {
  test('five services with their ttl and cipher; the engine holds what is held', async () => {
    const store = new MemoryStore();
    await put(store, CIPHERS.key(undefined), CIPHERS.encode({ ...BOTH_CIPHERS, service: 'aes' }));
    const one = await open(store, NOW_NS);
    const { authMonTicketTtlNs: mon, authServiceTicketTtlNs: ttl } = DEFAULT_TTLS;
    expect(shape(one, 'osd')).toEqual([1n, 2n, 3n].map((id) => [id, id * ttl]));
    expect(shape(one, 'auth')).toEqual([1n, 2n, 3n].map((id) => [id, id * mon]));
    for (const service of ROTATING_SERVICES) {
      expect(one.table.ids(service)).toEqual([1n, 2n, 3n]);
      for (const { key } of one.server.held(service)) expect(key.typeName).toBe('aes');
    }
    // A change of the cipher is for new secrets only.
    await put(store, CIPHERS.key(undefined), CIPHERS.encode(BOTH_CIPHERS));
    const { snapshot } = one.server;
    await one.server.ready(NOW_NS + 2n * ttl);
    expect(one.server.snapshot).toBeGreaterThan(snapshot);
    expect(one.server.held('osd').map(({ key }) => key.typeName)).toEqual([
      'aes',
      'aes',
      'aes256k',
    ]);
    expect(one.table.ids('osd')).toEqual([2n, 3n, 4n]);
    expect(one.table.ids('auth')).toEqual([1n, 2n, 3n]);
    one.server.close();
    expect(one.table.secrets.size).toBe(0);
  });

  test('a restart finds the rings it left; two that start at once agree', async () => {
    const store = new MemoryStore();
    const [one, two] = await Promise.all([open(store, NOW_NS), open(store, NOW_NS)]);
    expect(two.table.secrets).toEqual(one.table.secrets);
    const later = NOW_NS + 10n * HOUR_NS;
    await Promise.all([one.server.ready(later), two.server.ready(later), one.server.ready(later)]);
    expect(two.table.secrets).toEqual(one.table.secrets);
    const three = await open(store, later);
    expect(three.table.secrets).toEqual(one.table.secrets);
    expect([...one.failures, ...two.failures, ...three.failures]).toEqual([]);
    // Ten hours late: rotation catches up in one step, every secret from now on.
    expect(one.server.dueNs).toBeGreaterThan(later);
  });

  test('rotate turns by one, wipe spares AUTH and gives no id twice', async () => {
    const one = await open(new MemoryStore(), NOW_NS);
    await one.server.rotate(['osd', 'auth'], NOW_NS);
    expect(one.table.ids('osd')).toEqual([2n, 3n, 4n]);
    expect(one.table.ids('auth')).toEqual([2n, 3n, 4n]);
    expect(one.table.ids('mds')).toEqual([1n, 2n, 3n]);
    expect(shape(one, 'osd').at(-1)).toEqual([4n, 4n * HOUR_NS]);
    await one.server.wipe(NOW_NS);
    expect(one.table.ids('osd')).toEqual([5n, 6n, 7n]);
    expect(one.table.ids('mon')).toEqual([4n, 5n, 6n]);
    expect(one.table.ids('auth')).toEqual([2n, 3n, 4n]);
    expect(shape(one, 'osd')).toEqual([5n, 6n, 7n].map((id) => [id, (id - 4n) * HOUR_NS]));
  });

  test('while the store fails, next seals, then nothing; then it recovers', async () => {
    const inner = new MemoryStore();
    let broken = false;
    const store = new Proxy(inner, {
      get(target, name) {
        const value = Reflect.get(target, name) as unknown;
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (broken) throw new StoreError('store.failed', 'cannot read: it is broken');
          return (value as (...a: unknown[]) => unknown).apply(target, args);
        };
      },
    });
    const one = await open(store, NOW_NS);
    broken = true;
    const at = async (hours: bigint) => {
      await one.server.ready(NOW_NS + hours * HOUR_NS);
      const sealing = one.server.sealing('osd', NOW_NS + hours * HOUR_NS);
      return sealing && [sealing.secretId, sealing.lifeNs];
    };
    expect(await at(1n)).toEqual([2n, HOUR_NS]);
    expect(one.failures.length).toBe(0);
    expect(await at(2n)).toEqual([3n, HOUR_NS]);
    expect(one.failures.length).toBe(1);
    await one.server.ready(NOW_NS + 2n * HOUR_NS + SECOND);
    expect(one.failures.length).toBe(1);
    expect(await at(3n)).toBe(undefined);
    broken = false;
    await one.server.ready(NOW_NS + 3n * HOUR_NS + 6n * SECOND);
    expect((await at(3n))?.[0]).toBe(4n);
  });

  test('an instance follows what another one wipes', async () => {
    const store = new MemoryStore();
    const one = await open(store, NOW_NS);
    const two = await open(store, NOW_NS);
    const stop = new AbortController();
    const followed = [{ prefix: ROTATING.prefix, load: () => two.server.reload(NOW_NS) }];
    const view = new StoreView({ store, followed, staleAfterMs: undefined, onStale: 'serve' });
    const following = view.follow(stop.signal);
    await one.server.wipe(NOW_NS);
    while (two.server.held('osd')[0]!.secretId !== 4n) await new Promise((r) => setTimeout(r, 1));
    expect(two.table.secrets).toEqual(one.table.secrets);
    stop.abort();
    await following;
  });

  test('as the ring of the sidecar', async () => {
    const one = await open(new MemoryStore(), NOW_NS);
    const ring = new KeyServerRing(one.server);
    expect([ring.size, ring.snapshot]).toEqual([15, one.server.snapshot]);
    expect(ring.facts.filter(({ serviceId }) => serviceId === 4)[1]).toEqual({
      service: 'osd',
      serviceId: 4,
      secretId: 2n,
      keyType: 'aes256k',
      createdNs: NOW_NS,
      expiresNs: NOW_NS + 2n * HOUR_NS,
    });
    ring.advance(NOW_NS + HOUR_NS);
    ring.advance(NOW_NS + 2n * HOUR_NS);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(one.table.ids('osd')).toEqual([2n, 3n, 4n]);
    expect(ring.snapshot).toBe(one.server.snapshot);
  });

  test('what is stored is what is held, and nothing else knows the keys', async () => {
    const store = new MemoryStore();
    const one = await open(store, NOW_NS);
    const { entry } = await store.get(ROTATING.key('mgr'), { timeoutMs: 100 });
    const record = ROTATING.decode(entry!.value);
    expect(record.secretIdMax).toBe(3n);
    const stored = record.secrets.map(({ key }) => btoa(String.fromCharCode(...key)));
    expect(stored).toEqual(one.server.held('mgr').map(({ key }) => key.toBase64()));
  });
});

describe('no verifier ever meets an unknown secret id', () => {
  const TTLS: TicketTtls = {
    authMonTicketTtlNs: 72n * HOUR_NS,
    authServiceTicketTtlNs: HOUR_NS,
  };

  test.each([0n, 30n, -30n])('instances with clocks up to %s s apart, 60 hours', async (skew) => {
    const store = new MemoryStore();
    const clocks = [0n, skew * SECOND, -skew * SECOND];
    const instances: Instance[] = [];
    for (const clock of clocks) {
      instances.push(await open(store, NOW_NS + clock, { ttls: TTLS }));
    }
    /** Tickets that are out: which secret opens them, and until when they are good. */
    let out: { service: string; secretId: bigint; expiresNs: bigint }[] = [];
    let checked = 0;
    let now = NOW_NS;
    const end = NOW_NS + 60n * HOUR_NS;
    while (now < end) {
      now += BigInt(1 + rng.int(600)) * SECOND;
      const busy = rng.int(instances.length);
      await instances[busy]!.server.ready(now + clocks[busy]!);
      for (const [i, { server, table }] of instances.entries()) {
        const local = now + clocks[i]!;
        // Each asks its key server before it answers, as the routes do.
        await server.ready(local);
        for (const service of ROTATING_SERVICES) {
          const sealing = server.sealing(service, local)!;
          expect(table.ids(service)).toContain(sealing.secretId);
          out.push({ service, secretId: sealing.secretId, expiresNs: local + sealing.lifeNs });
        }
        out = out.filter(({ expiresNs }) => expiresNs > now - 60n * SECOND);
        for (const ticket of out) {
          // Good by the verifier's own clock.
          if (ticket.expiresNs <= local) continue;
          const known = table.secrets.has(`${ENTITY_TYPES[ticket.service]}/${ticket.secretId}`);
          if (!known) throw new Error(`${ticket.service} ${ticket.secretId} at ${local - NOW_NS}`);
          checked += 1;
        }
      }
    }
    expect(checked).toBeGreaterThan(10_000);
  });

  test('daemons that fetch as section 14 says', async () => {
    const store = new MemoryStore();
    const { server } = await open(store, NOW_NS, { ttls: TTLS });
    /** The three ids that a daemon holds and when its current one ends. */
    const fetch = () => {
      const held = server.held('osd');
      return { ids: held.map(({ secretId }) => secretId), currentNs: held[1]!.expiresNs };
    };
    const daemons = Array.from({ length: 20 }, fetch);
    const slackNs = 30n * SECOND;
    /** Secret ids of tickets that are out, and when the last of each ends. */
    const out = new Map<bigint, bigint>();
    let checked = 0;
    for (let now = NOW_NS; now < NOW_NS + 40n * HOUR_NS; now += BigInt(1 + rng.int(60)) * SECOND) {
      await server.ready(now);
      for (const [i, daemon] of daemons.entries()) {
        if (daemon.currentNs < now - slackNs) daemons[i] = fetch();
      }
      const { secretId, lifeNs } = server.sealing('osd', now)!;
      out.set(secretId, now + lifeNs);
      for (const [id, expiresNs] of out) {
        if (expiresNs <= now) out.delete(id);
        else if (daemons.some(({ ids }) => !ids.includes(id))) throw new Error(`${id} at ${now}`);
        else checked += daemons.length;
      }
    }
    expect(checked).toBeGreaterThan(100_000);
  });
});
