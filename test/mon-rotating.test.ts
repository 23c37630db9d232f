/** The rotating secrets of a cluster: the rules of the ring, and its upkeep. */

import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import type { RotatingSecrets } from '../src/cephx/protocol.ts';
import { Engine } from '../src/engine/engine.ts';
import { ClusterRing } from '../src/http/clusterring.ts';
import type { MonClient } from '../src/mon/monclient.ts';
import { RotatingSource } from '../src/mon/rotating.ts';
import { makeTicket } from './authorizers.ts';
import { encodeMonMap, type FakeMonitor, randomBytes } from './mon-fake.ts';
import { MonKit, threeSecrets, until } from './mon-kit.ts';

const SECOND = 1_000_000_000n;
const NOW = 2_000_000_000;
const GRACE = 86_400n * SECOND;
const NOW_NS = BigInt(NOW) * SECOND;

let kit: MonKit;
beforeAll(async () => {
  kit = new MonKit(await Engine.create());
});
afterEach(() => kit.end());

describe('the ring', () => {
  it('holds all three, and keeps them past their expirations', () => {
    const { ring, verdict } = rig();
    const fetched = copyOf(threeSecrets(1n, NOW, 3600));
    expect(ring.take('osd', copyOf(fetched), 0, NOW_NS)).toBe('changed');
    for (const id of [1n, 2n, 3n]) expect(verdict(fetched, id, NOW_NS)).toBe('ok');
    const late = NOW_NS + 10_800n * SECOND;
    ring.advance(late);
    for (const id of [1n, 2n, 3n]) expect(verdict(fetched, id, late)).toBe('ok');
  });

  it('ends a secret when it has been expired for the grace', () => {
    const { ring, verdict } = rig();
    const fetched = copyOf(threeSecrets(1n, NOW, 3600));
    ring.take('osd', copyOf(fetched), 0, NOW_NS);
    const first = NOW_NS + 3600n * SECOND + GRACE;
    ring.advance(first - 1n);
    expect(ring.size).toBe(3);
    ring.advance(first);
    expect(ring.facts.map(({ secretId }) => secretId)).toEqual([2n, 3n]);
    expect(verdict(fetched, 1n, first)).toBe('authorizer.secret_unknown');
    expect(verdict(fetched, 2n, first)).toBe('ok');
    ring.advance(first + 7200n * SECOND);
    expect(ring.size).toBe(0);
  });

  it('follows the cluster, and says whether that changed anything', () => {
    const { ring, verdict } = rig();
    const former = copyOf(threeSecrets(1n, NOW, 3600));
    expect(ring.take('osd', copyOf(former), 0, NOW_NS)).toBe('changed');
    const { snapshot } = ring;
    expect(ring.take('osd', copyOf(former), 0, NOW_NS)).toBe('same');
    expect(ring.snapshot).toBe(snapshot);
    const next = copyOf(threeSecrets(2n, NOW, 3600));
    expect(ring.take('osd', copyOf(next), 0, NOW_NS)).toBe('changed');
    expect(verdict(former, 1n, NOW_NS)).toBe('authorizer.secret_unknown');
    expect(verdict(next, 4n, NOW_NS)).toBe('ok');
  });

  it('fetches at once where an authorizer has a newer secret, and only then', async () => {
    const { ring } = rig();
    const fetched = copyOf(threeSecrets(1n, NOW, 3600));
    ring.take('osd', copyOf(fetched), 0, NOW_NS);
    let fetches = 0;
    ring.fetchWith('osd', async () => void fetches++);
    const authorizerOf = (secretId: bigint, service = 4): Uint8Array => {
      const { key } = fetched.secrets.get(1n)!;
      return makeTicket(key, randomBytes, { secretId, service }).authorizer();
    };
    const [newer, mds] = [authorizerOf(4n), authorizerOf(4n, 2)];
    for (const authorizer of [
      authorizerOf(3n),
      authorizerOf(1n << 60n),
      mds,
      newer.subarray(0, 9),
    ]) {
      expect(await ring.catchUp(authorizer)).toBe(false);
    }
    expect(fetches).toBe(0);
    // All who ask together wait for one.
    expect(await Promise.all([ring.catchUp(newer), ring.catchUp(newer)])).toEqual([true, true]);
    expect(fetches).toBe(1);
  });

  it('takes a lower max_ver only with a higher auth_epoch', () => {
    const { ring, verdict } = rig();
    const held = copyOf(threeSecrets(7n, NOW, 3600));
    const wiped = copyOf(threeSecrets(1n, NOW, 3600));
    ring.take('osd', copyOf(held), 4, NOW_NS);
    for (const epoch of [0, 3, 4]) {
      expect(ring.take('osd', copyOf(wiped), epoch, NOW_NS)).toBe('older');
      expect(verdict(held, 8n, NOW_NS)).toBe('ok');
      expect(verdict(wiped, 2n, NOW_NS)).toBe('authorizer.secret_unknown');
    }
    expect(ring.take('osd', copyOf(wiped), 5, NOW_NS)).toBe('changed');
    expect(verdict(wiped, 2n, NOW_NS)).toBe('ok');
    expect(verdict(held, 8n, NOW_NS)).toBe('authorizer.secret_unknown');
    // And not back again, even where nothing is held any more.
    ring.drop('osd');
    expect(ring.take('osd', copyOf(wiped), 5, NOW_NS)).toBe('changed');
  });

  it('keeps services apart', () => {
    const { ring } = rig();
    ring.take('osd', threeSecrets(1n, NOW, 3600), 0, NOW_NS);
    ring.take('mds', threeSecrets(5n, NOW, 3600), 0, NOW_NS);
    ring.drop('osd');
    expect(ring.facts.map(({ service, secretId }) => `${service} ${secretId}`)).toEqual([
      'mds 5',
      'mds 6',
      'mds 7',
    ]);
  });

  it.each([
    [6, 1_500],
    [60, 15_000],
    [3600, 30_000],
  ])('is due, with a ttl of %i s, %i ms after the current one expired', (ttl, slackMs) => {
    const { ring } = rig();
    expect(ring.dueNs('osd')).toBeUndefined();
    ring.take('osd', threeSecrets(1n, NOW, ttl), 0, NOW_NS);
    const due = NOW_NS + BigInt(2 * ttl) * SECOND + BigInt(slackMs) * 1_000_000n;
    expect(ring.dueNs('osd')).toBe(due);
    expect(ring.stale(due - 1n)).toEqual([]);
    expect(ring.stale(due)).toEqual(['osd']);
    // Just fetched: it is the clock that is early, or the monitor that is late.
    ring.take('osd', threeSecrets(1n, NOW, ttl), 0, due);
    expect(ring.stale(due)).toEqual([]);
  });

  it('refuses sets that no monitor makes', () => {
    const { ring } = rig();
    const { secrets } = threeSecrets(1n, NOW, 3600);
    const none = { key: CryptoKey.none(), expiration: { seconds: NOW, nanoseconds: 0 } };
    for (const rotating of [
      { secrets: new Map(), maxVersion: 3n },
      { secrets, maxVersion: 2n },
      { secrets: new Map([[1n, none]]), maxVersion: 1n },
    ]) {
      expect(() => ring.take('osd', rotating, 0, NOW_NS)).toThrow(
        expect.objectContaining({ code: 'mon.protocol' }),
      );
      expect(ring.size).toBe(0);
    }
  });
});

describe('the upkeep', () => {
  it('fetches what the cluster rotates, with a clock that is right, late or early', {
    retry: 2,
  }, async () => {
    const start = Date.now();
    const ttl = 4;
    const rotations = (): RotatingSecrets => {
      const age = Math.floor((Date.now() - start) / 1000 / ttl);
      sets[age] ??= threeSecrets(BigInt(age + 1), Math.floor(start / 1000) + age * ttl - ttl, ttl);
      return copyOf(sets[age]!);
    };
    const sets: RotatingSecrets[] = [];
    const monitor = await kit.monitor({ rotating: rotations });
    const skews = [0, -3_600_000, 3_600_000];
    const upkeeps = skews.map((skewMs) => upkeep([monitor], skewMs));
    await Promise.all(upkeeps.map(({ source }) => source.start()));
    const newest = ({ ring }: { ring: ClusterRing }) => ring.facts.at(-1)?.secretId;
    await until(() => upkeeps.every((each) => newest(each) === 4n), 30_000);
    expect(Date.now() - start).toBeLessThan(ttl * 1000 + 3_000);
    // At most one fetch a second each.
    expect(monitor.fetched).toBeLessThanOrEqual(3 * (Math.ceil((Date.now() - start) / 1000) + 1));
    for (const { stop } of upkeeps) await stop();
  });

  it('verifies on while the monitors are away, and goes on where it was', async () => {
    const monitors = await kit.cluster(2);
    const { ring, source, client, stop } = upkeep(monitors, 0);
    await source.start();
    for (const monitor of monitors) await monitor.kill();
    await until(() => client.lastError !== undefined);
    expect(ring.size).toBe(3);
    ring.advance(NOW_NS);
    expect(ring.size).toBe(3);
    await stop();
    expect(ring.size).toBe(3);
  });

  it('drops wiped secrets at once and fetches the new ones', async () => {
    let authEpoch = 3;
    let rotating = threeSecrets(40n);
    const monitor: FakeMonitor = await kit.monitor({
      rotating: () => copyOf(rotating),
      monmap: (self) => encodeMonMap({ epoch: authEpoch, monitors: [self], authEpoch }),
    });
    const { ring, source, stop } = upkeep([monitor], 0);
    await source.start();
    expect(ring.facts.map(({ secretId }) => secretId)).toEqual([40n, 41n, 42n]);
    rotating = threeSecrets(1n);
    authEpoch = 4;
    monitor.pushMonMap();
    await until(() => ring.facts.at(-1)?.secretId === 3n);
    expect(ring.size).toBe(3);
    await stop();
  });

  it('says at the start why there are no secrets', async () => {
    const monitor = await kit.monitor({ rotating: undefined });
    const { source, stop } = upkeep([monitor], 0);
    await expect(source.start()).rejects.toMatchObject({ code: 'mon.refused', errno: -13 });
    await stop();
  });
});

function rig() {
  const ring = new ClusterRing(kit.engine, GRACE);
  /** What the engine says of a ticket under a secret of a set. */
  const verdict = ({ secrets }: RotatingSecrets, secretId: bigint, nowNs: bigint): string => {
    const ticket = makeTicket(secrets.get(secretId)!.key, randomBytes, { secretId });
    const authorizer = ticket.authorizer();
    const request = { service: 4, authorizer, challenge: { mode: 'off' } } as const;
    return kit.engine.verify(request, { nowNs, policy: { expiry: 'ring' } }).reason;
  };
  return { ring, verdict };
}

function upkeep(monitors: readonly FakeMonitor[], skewMs: number) {
  const clock = () => BigInt(Date.now() + skewMs) * 1_000_000n;
  const client: MonClient = kit.client(monitors, { clock });
  // An engine holds one ring; these rings are looked at only.
  const ring = new ClusterRing(kit.engine, GRACE);
  const source = new RotatingSource({ client, ring, service: 'osd', clock });
  const stop = async () => {
    await client.stop();
    await source.stop();
  };
  return { client, ring, source, stop };
}

/** The ring wipes the keys it is given in the end. */
function copyOf({ secrets, maxVersion }: RotatingSecrets): RotatingSecrets {
  const copies = [...secrets].map(([id, { key, expiration }]) => {
    const copy = new CryptoKey(key.type, key.created, key.secret);
    return [id, { key: copy, expiration }] as const;
  });
  return { secrets: new Map(copies), maxVersion };
}
