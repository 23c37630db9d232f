/** Monitors of this process, clients of them, and their key. Each test file has its own. */

import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { utimeFromNs } from '../src/cephx/denc.ts';
import { parseEntityName, type RotatingSecrets } from '../src/cephx/protocol.ts';
import type { Engine } from '../src/engine/engine.ts';
import { MonClient, type MonClientOptions } from '../src/mon/monclient.ts';
import { engineSealer } from '../src/sealer.ts';
import { encodeMonMap, FakeMonitor, type FakeOptions, randomBytes } from './mon-fake.ts';

/** Deadlines that tests can wait for. */
export const QUICK = {
  connectMs: 300,
  loginMs: 400,
  requestMs: 3_000,
  keepaliveMs: 100,
  keepaliveAckMs: 200,
  backoffMs: 50,
  backoffMaxMs: 400,
};

export class MonKit {
  readonly engine: Engine;
  readonly key: CryptoKey = CryptoKey.create('aes256k', utimeFromNs(0n), randomBytes);
  readonly #cleanups: (() => Promise<void>)[] = [];

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** A monitor that knows osd.0, and has three rotating secrets that stay. */
  async monitor(options: Partial<FakeOptions> = {}, port = 0): Promise<FakeMonitor> {
    const rotating = threeSecrets();
    const sealer = engineSealer(this.engine);
    const entities = new Map([['osd.0', this.key]]);
    const all = { sealer, entities, rotating: () => rotating, ...options };
    const monitor = await new FakeMonitor(all).listen(port);
    this.#cleanups.push(() => monitor.kill());
    return monitor;
  }

  /** Monitors that have one map. */
  async cluster(count: number): Promise<FakeMonitor[]> {
    const monitors: FakeMonitor[] = [];
    const monmap = () => encodeMonMap({ epoch: 1, monitors });
    const authSecret = CryptoKey.create('aes256k', utimeFromNs(0n), randomBytes);
    while (monitors.length < count) monitors.push(await this.monitor({ monmap, authSecret }));
    return monitors;
  }

  client(monitors: readonly FakeMonitor[], options: Partial<MonClientOptions> = {}): MonClient {
    const client = new MonClient({
      sealer: engineSealer(this.engine),
      random: randomBytes,
      clock: () => BigInt(Date.now()) * 1_000_000n,
      name: parseEntityName('osd.0')!,
      key: this.key,
      hosts: monitors.map(({ address }) => ({ addresses: [address] })),
      timing: QUICK,
      ...options,
    });
    client.start();
    // Clients go first: a monitor ends when its connections have.
    this.#cleanups.unshift(() => client.stop());
    return client;
  }

  async end(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0)) await cleanup();
  }
}

/** Three secrets from an id on, the first of which expires in `ttl` seconds from `now`. */
export function threeSecrets(first = 1n, now = 2_000_000_000, ttl = 3600): RotatingSecrets {
  const entries = [0, 1, 2].map((index) => {
    const key = CryptoKey.create('aes256k', utimeFromNs(0n), randomBytes);
    const expiration = { seconds: now + ttl * (index + 1), nanoseconds: 0 };
    return [first + BigInt(index), { key, expiration }] as const;
  });
  return { secrets: new Map(entries), maxVersion: first + 2n };
}

export async function until(holds: () => boolean, withinMs = 8_000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!holds()) {
    if (Date.now() > end) throw new Error('it did not come to that');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
