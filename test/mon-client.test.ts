/** Our client against a monitor in this process that behaves. */

import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { utimeFromNs } from '../src/cephx/denc.ts';
import { Engine } from '../src/engine/engine.ts';
import { encodeMonMap, type FakeMonitor, randomBytes } from './mon-fake.ts';
import { MonKit, QUICK, until } from './mon-kit.ts';

let kit: MonKit;
beforeAll(async () => {
  kit = new MonKit(await Engine.create());
});
afterEach(() => kit.end());

describe('a monitor client', () => {
  it('logs in, learns the map, fetches secrets, runs commands', async () => {
    const monitor = await kit.monitor({ commands: { 'mon stat': 'fine' } });
    const client = kit.client([monitor]);
    const { secrets, maxVersion } = await client.fetchRotating();
    expect([...secrets.keys()]).toEqual([1n, 2n, 3n]);
    expect(maxVersion).toBe(3n);
    expect(client.monmap?.epoch).toBe(1);
    const ack = await client.command({ prefix: 'mon stat' });
    expect([ack.result, new TextDecoder().decode(ack.output)]).toEqual([0, 'fine']);
    expect((await client.command({ prefix: 'nothing' })).result).toBe(-22);
  });

  it('keeps requests apart that are made at once', async () => {
    const monitor = await kit.monitor({ commands: { a: '1', b: '2' } });
    const client = kit.client([monitor]);
    const answers = await Promise.all([
      client.fetchRotating(),
      client.command({ prefix: 'a' }),
      client.fetchRotating(),
      client.command({ prefix: 'b' }),
      client.fetchRotating(),
    ]);
    expect(new TextDecoder().decode(answers[1].output)).toBe('1');
    expect(new TextDecoder().decode(answers[3].output)).toBe('2');
    expect(monitor.fetched).toBe(3);
  });

  it('goes to another monitor when its own is killed', { retry: 2 }, async () => {
    const monitors = await kit.cluster(3);
    const client = kit.client(monitors);
    await client.fetchRotating();
    const former = monitors.find(({ address }) => address.port === client.connectedTo?.port)!;
    const { globalId } = client;
    await former.kill();
    const start = Date.now();
    await client.fetchRotating();
    expect(client.globalId).toBe(globalId);
    expect(client.connectedTo?.port).not.toBe(former.address.port);
    // Not by a request that ran out of its time.
    expect(Date.now() - start).toBeLessThan(QUICK.requestMs);
  });

  it('leaves a monitor that is paused, and comes back when it alone is left', async () => {
    const monitors = await kit.cluster(2);
    const client = kit.client(monitors);
    await client.fetchRotating();
    const at = () => monitors.find(({ address }) => address.port === client.connectedTo?.port);
    const former = at()!;
    const other = monitors.find((each) => each !== former)!;
    former.paused = true;
    await until(() => at() === other);
    former.paused = false;
    await other.kill();
    await until(() => at() === former);
    await client.fetchRotating();
  });

  it('waits for monitors that are away', async () => {
    const monitor = await kit.monitor();
    const { port } = monitor.address;
    const client = kit.client([monitor]);
    await client.fetchRotating();
    await monitor.kill();
    await until(() => client.connectedTo === undefined);
    const answer = client.fetchRotating();
    const again = await kit.monitor({}, port);
    expect((await answer).maxVersion).toBe(3n);
    // That one does not know our old ticket: we began anew.
    expect(again.loggedIn).toBe(1);
    expect(again.fetched).toBe(1);
  });

  it('follows the map', async () => {
    const second = await kit.monitor();
    let epoch = 1;
    const first: FakeMonitor = await kit.monitor({
      monmap: (self) => encodeMonMap({ epoch, monitors: epoch === 1 ? [self] : [second] }),
    });
    const client = kit.client([first]);
    await client.fetchRotating();
    expect(client.connectedTo?.port).toBe(first.address.port);
    epoch = 2;
    first.pushMonMap();
    await until(() => client.connectedTo?.port === second.address.port);
    // The other one has a map of epoch 1, which is older: it does not count.
    expect(client.monmap?.epoch).toBe(2);
  });

  it('prefers monitors of low priority number', async () => {
    const second = await kit.monitor();
    const monmap = (self: FakeMonitor) =>
      encodeMonMap({
        epoch: 2,
        monitors: [
          { address: self.address, priority: 10 },
          { address: second.address, priority: 1 },
        ],
      });
    const first = await kit.monitor({ monmap });
    const client = kit.client([first]);
    await client.fetchRotating();
    await first.kill();
    await until(() => client.connectedTo?.port === second.address.port);
  });

  it('says that the key is wrong once every monitor has said so', async () => {
    const monitors = [await kit.monitor(), await kit.monitor()];
    const wrong = CryptoKey.create('aes256k', utimeFromNs(0n), randomBytes);
    const client = kit.client(monitors, { key: wrong });
    await expect(client.fetchRotating()).rejects.toMatchObject({
      code: 'mon.refused',
      errno: -13,
      message: expect.stringContaining('key or the name is wrong'),
    });
    expect(monitors.map(({ accepted }) => accepted)).toEqual([1, 1]);
  });

  it('says that an entity has no rotating secrets', async () => {
    const client = kit.client([await kit.monitor({ rotating: undefined })]);
    await expect(client.fetchRotating()).rejects.toMatchObject({ code: 'mon.refused', errno: -13 });
  });

  it('says where nobody answers', async () => {
    const monitor = await kit.monitor();
    await monitor.kill();
    const client = kit.client([monitor], { timing: { ...QUICK, requestMs: 200 } });
    await expect(client.fetchRotating()).rejects.toMatchObject({ code: 'mon.unreachable' });
  });

  it('ends at once in the middle of anything', { retry: 2 }, async () => {
    const monitor = await kit.monitor();
    monitor.paused = true;
    const client = kit.client([monitor], { timing: {} });
    await until(() => monitor.accepted === 1);
    const start = Date.now();
    await client.stop();
    // A login that nobody answers would take 5 s.
    expect(Date.now() - start).toBeLessThan(4_000);
  });
});
