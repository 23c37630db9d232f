/** A sidecar that does not see its store: what it goes on with, and what it refuses. */

import { afterAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { type OnStale, StoreView } from '../src/auth/storeview.ts';
import { REASON_CODES } from '../src/engine/index.ts';
import { createApp } from '../src/http/app.ts';
import { SidecarObserver } from '../src/observe/index.ts';
import { ENTITIES, REVOCATIONS, ROTATING, transaction } from '../src/store/index.ts';
import { NotedStore } from '../src/store/noted.ts';
import { AdminKit } from './admin-kit.ts';
import { until } from './etcd.ts';
import { frames, verdicts } from './frames-kit.ts';
import { HOST, UNIX } from './http-kit.ts';
import { spoiled } from './spoiled-store.ts';

const STALE_AFTER_MS = 3_000;
const CAPS = { 'client.john': { mon: 'allow r', osd: 'allow r pool=liverpool' } };
const OP = { pool: 'liverpool', object: 'o1', read: true };
const TEXT_CHECK = { service: 'osd', caps: 'allow r', op: OP };
const stop = new AbortController();
afterAll(() => stop.abort());

async function kitOf(onStale: OnStale) {
  const { store, spoil } = spoiled();
  const noted = new NotedStore(store);
  const kit = await AdminKit.create(CAPS, {
    store: noted,
    viewOf: ({ keyServer, issuer, nowNs }) => {
      const followed = [
        { prefix: ROTATING.prefix, load: () => keyServer.reload(nowNs) },
        { prefix: REVOCATIONS.prefix, load: () => issuer.revocations.reload() },
      ];
      return new StoreView({ store: noted, followed, staleAfterMs: STALE_AFTER_MS, onStale });
    },
  });
  const view = kit.deps.view as StoreView;
  const following = view.follow(stop.signal);
  following.catch(() => undefined);
  await until(async () => view.snapshot > 0n);
  /** Out of sight for longer than is allowed, and no other way to read. */
  const loseSight = async (): Promise<void> => {
    spoil.away = true;
    spoil.ageMs = 3_600_000;
    await until(async () => view.isStale());
  };
  const seeAgain = async (): Promise<void> => {
    spoil.away = false;
    spoil.ageMs = 0;
    await until(async () => !view.isStale());
  };
  return { kit, view, store: noted, loseSight, seeAgain };
}

async function ask(kit: AdminKit) {
  const records = frames((writer) => {
    writer.check({ service: abi.ENTITY_TYPE_OSD, session: 1n, op: OP }, 7);
  });
  const headers = { 'content-type': 'application/octet-stream', host: HOST };
  const init = { method: 'POST', headers, body: records.slice() };
  const answer = await kit.app.request('/v1/frames', init, { listener: UNIX });
  return verdicts(records, new Uint8Array(await answer.arrayBuffer()))[0]!;
}

async function metric(kit: AdminKit, name: string): Promise<string | undefined> {
  const { text } = await new SidecarObserver(kit.appDeps).metrics();
  return new RegExp(`^cephgate_${name} (.*)$`, 'm').exec(text)?.[1];
}

// All of them mostly wait, each for a store of its own.
describe.concurrent.each(['serve', 'deny'] as const)('a store out of sight, %s', (onStale) => {
  it('stops issuing and administering at once, and what else was asked for', async () => {
    const { kit, loseSight, seeAgain } = await kitOf(onStale);
    const client = kit.client('client.john');
    const node = await kit.accept(client);
    expect((await node.check()).body).toMatchObject({ decision: true });
    expect((await node.check()).body.stale).toBeUndefined();
    expect((await ask(kit)).stale).toBe(false);
    expect(await metric(kit, 'store_stale')).toBe('0');

    await loseSight();
    const login = kit.client('client.john').ensure(abi.ENTITY_TYPE_OSD);
    await expect(login).rejects.toThrow('503: store.stale');
    const request = { method: 'POST', headers: { 'content-type': 'application/octet-stream' } };
    const hello = { ...request, headers: { ...request.headers, host: HOST }, body: 'x' };
    const refused = await kit.app.request('/v1/cephx/hello', hello, { listener: UNIX });
    expect([refused.status, (await refused.json()).code]).toEqual([503, 'store.stale']);
    for (const [method, path, body] of [
      ['GET', '/users/client.john', undefined],
      ['GET', '/revocations', undefined],
      ['POST', '/command', { prefix: 'auth ls' }],
      ['POST', '/revocations', { deny: { entity: 'client.john' } }],
    ] as const) {
      const { status, body: problem } = await kit.call(method, path, body);
      expect([path, status, problem.code]).toEqual([path, 503, 'store.stale']);
    }
    expect(await metric(kit, 'store_stale')).toBe('1');

    const answers = [
      await node.verify(),
      await node.check(),
      await kit.post('/v1/check', TEXT_CHECK),
    ];
    const many = await kit.post('/v1/checks', {
      service: 'osd',
      items: [{ caps: 'allow r', op: OP }],
    });
    const block = { bytes: 'AAAA' };
    const sign = { session: node.session, scheme: 'msgr2-auth', block };
    const signed = await kit.post('/v1/sign', sign);
    const ready = await kit.get('/readyz?verbose');
    const frame = await ask(kit);
    expect(frame.stale).toBe(true);
    if (onStale === 'serve') {
      for (const { body } of answers) expect(body).toMatchObject({ decision: true, stale: true });
      expect(many.body).toMatchObject({ answers: [{ decision: true }], stale: true });
      expect(signed.body).toMatchObject({ decision: true });
      expect([ready.status, ready.body.store.stale]).toEqual([200, true]);
      expect(frame.reason).toBe('session.unknown');
    } else {
      const denied = { decision: false, authenticated: false, stale: true };
      const why = { reason: { code: 'store.stale' } };
      for (const { body } of [...answers, signed]) {
        expect(body).toMatchObject({ ...denied, ...why });
        expect(body.client_errno).toBeLessThan(0);
      }
      expect(many.body).toMatchObject({ answers: [{ decision: false, ...why }], stale: true });
      expect([ready.status, ready.body.conditions.store_fresh]).toEqual([503, false]);
      expect([frame.reason, frame.decision]).toEqual(['store.stale', false]);
    }

    await seeAgain();
    expect((await node.verify()).body).toMatchObject({ decision: true });
    expect((await node.check()).body.stale).toBeUndefined();
    expect((await kit.call('GET', '/users/client.john')).status).toBe(200);
    expect((await kit.client('client.john').ensure(abi.ENTITY_TYPE_OSD)).ok).toBe(true);
  }, 60_000);
});

it.concurrent('a store that is not sealed is told to whoever asks', async () => {
  const { kit } = await kitOf('serve');
  const app = createApp({ ...kit.appDeps, storePlaintext: true });
  for (const path of ['/readyz', '/readyz?verbose']) {
    const answer = await app.request(path, { headers: { host: HOST } }, { listener: UNIX });
    expect(await answer.json()).toMatchObject({ status: 'ready', store_plaintext: true });
    expect((await kit.get(path)).body.store_plaintext).toBeUndefined();
  }
});

describe.concurrent('a snapshot that has to count', () => {
  const john = { service: 'osd', caps: 'allow r', op: OP };

  it('is told with a change, is waited for, and refused when it does not come', async () => {
    const { kit, store } = await kitOf('serve');
    const made = await kit.call('POST', '/revocations', { deny: { entity: 'client.x' } });
    const snapshot = BigInt(made.headers.get('cephgate-snapshot')!);
    expect(snapshot).toBe(store.committed);
    // Another instance changes the store: this one hears of it later.
    const key = ENTITIES.key('client.later');
    const later = transaction({ puts: [{ key, value: new Uint8Array(1) }] });
    const done = await store.commit(later, { timeoutMs: 1_000 });
    if (done.status !== 'committed') throw new Error(done.status);
    for (const least of [snapshot, done.snapshot]) {
      const { body } = await kit.post('/v1/check', { ...john, min_snapshot: `${least}` });
      expect(body.decision).toBe(true);
      expect(BigInt(body.snapshot)).toBeGreaterThanOrEqual(least);
    }
    const future = `${done.snapshot + 1_000n}`;
    const [check, checks, admin] = await Promise.all([
      kit.post('/v1/check', { ...john, min_snapshot: future }),
      kit.post('/v1/checks', { service: 'osd', items: [john], min_snapshot: future }),
      kit.call('GET', `/users/client.john?min_snapshot=${future}`),
    ]);
    expect(check.body).toMatchObject({ decision: false, reason: { code: 'store.stale' } });
    expect(checks.body.answers).toHaveLength(1);
    expect(checks.body.answers[0].decision).toBe(false);
    expect([admin.status, admin.body.code]).toEqual([503, 'store.stale']);
    const wrong = await kit.call('GET', '/users/client.john?min_snapshot=x');
    expect([wrong.status, wrong.body.code]).toEqual([400, 'field.value']);
    const now = await kit.call('GET', `/users/client.john?min_snapshot=${done.snapshot}`);
    expect(now.status).toBe(200);
  }, 60_000);

  it('has a reason of its own in the closed list', () => {
    expect(REASON_CODES[abi.REASON_STORE_STALE]).toBe('store.stale');
  });
});
