/** The issuing side as a process opens it: two of them on one store, health, revoked sessions. */

import { expect, test } from 'vitest';
import { setCipher } from '../src/auth/cipherpolicy.ts';
import { type OpenIssuer, openIssuer } from '../src/auth/openissuer.ts';
import { Engine } from '../src/engine/index.ts';
import { engineSealer } from '../src/sealer.ts';
import { ENTITIES, MemoryStore, type Store } from '../src/store/index.ts';
import {
  authenticateBytes,
  authorizerOf,
  CONTEXT,
  helloBytes,
  logIn,
} from './auth-issue-client.ts';
import { BOTH_CIPHERS, entity, freshKey, put, Rig } from './auth-issue-kit.ts';
import { NOW_NS } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';

const rng = new Rng(seedOf(67));
const key = freshKey('aes256k', rng);
const caps = { mon: 'allow r', osd: 'allow rw' };
const KEYS = { current: rng.bytes(32), previous: undefined };

async function open(store: Store, logs: object[] = []): Promise<[OpenIssuer, Engine]> {
  const engine = await Engine.create({ preset: 'small' });
  const issuer = await openIssuer({
    store,
    engine,
    sealer: engineSealer(engine),
    random: rng.random,
    clock: () => NOW_NS,
    exchangeKeys: KEYS,
    log: (record) => void logs.push(record),
  });
  return [issuer, engine];
}

test('a login begun at one instance ends at another; wipe and deny reach both', async () => {
  const store = new MemoryStore();
  await put(store, ENTITIES.key('client.john'), ENTITIES.encode(entity(key, caps)));
  const [one] = await open(store);
  const [two, engine] = await open(store);
  const { exchange } = one.handler.hello(helloBytes('client.john'))!;
  const token = one.handler.exchanges.make(exchange, NOW_NS);
  const bytes = authenticateBytes(key, exchange.serverChallenge, rng);
  expect((await two.handler.request(bytes, token, CONTEXT)).status).toBe(0);
  expect((await two.handler.request(bytes, token, CONTEXT)).status).toBe(-13);
  await one.handler.issuer.keyServer.wipe(NOW_NS);
  const login = await logIn(one.handler, rng, 'client.john', key);
  const osd = login.services.find(({ serviceId }) => serviceId === 4)!;
  expect(osd.blob.secretId).toBe(5n);
  const verify = () => {
    const authorizer = authorizerOf(osd, login.globalId, rng);
    const request = { service: 4, authorizer, challenge: { mode: 'off' } } as const;
    return engine.verify(request, { nowNs: NOW_NS }).reason;
  };
  await until(() => verify() === 'ok');
  const target = { kind: 'entity', entity: 'client.john' } as const;
  const record = { timeNs: 0n, createdNs: NOW_NS, comment: '' };
  await one.handler.issuer.revocations.add({ kind: 'deny', target }, record);
  await until(() => verify() === 'ticket.revoked');
  await one.close();
  await two.close();
  expect(engine.secretCount(4)).toBe(0);
});

test('a store that fails under it is told to the log, and does not hang the close', async () => {
  const logs: object[] = [];
  const broken = new Proxy(new MemoryStore(), { get: brokenWatch(new Error('broken')) });
  const [one] = await open(broken, logs);
  await until(() => logs.length >= 2);
  await one.close();
  const told = { level: 'error', event: 'issuer', message: 'broken' };
  expect(logs).toEqual([told, told]);
  // Closed at once, before it could begin to follow.
  const [two] = await open(new MemoryStore());
  await two.close();
});

function brokenWatch(error: Error) {
  return (target: MemoryStore, name: string | symbol): unknown => {
    if (name === 'watch') {
      return () => {
        throw error;
      };
    }
    const value = Reflect.get(target, name) as unknown;
    return typeof value === 'function' ? value.bind(target) : value;
  };
}

test('health looks at entities, rotating secrets and settings', async () => {
  const store = new MemoryStore();
  const [one] = await open(store);
  expect(await one.health()).toEqual([]);
  const weak = freshKey('aes', rng);
  for (const name of ['client.john', 'osd.3', 'mon.']) {
    await put(store, ENTITIES.key(name), ENTITIES.encode(entity(weak, caps)));
  }
  await setCipher(store, 'auth_allowed_ciphers', 'aes,aes256k');
  await setCipher(store, 'auth_service_cipher', 'aes');
  await one.handler.issuer.keyServer.rotate(['mds'], NOW_NS);
  const raised = await one.health();
  expect(raised.map(({ code }) => code)).toEqual([
    'AUTH_INSECURE_SERVICE_TICKETS',
    'AUTH_INSECURE_SERVICE_KEY_TYPE',
    'AUTH_INSECURE_ROTATING_SERVICE_KEY_TYPE',
    'AUTH_INSECURE_CLIENT_KEY_TYPE',
    'AUTH_INSECURE_KEYS_ALLOWED',
    'AUTH_INSECURE_KEYS_CREATABLE',
  ]);
  expect(raised[1]!.detail).toEqual(['mon. has an aes key', 'osd.3 has an aes key']);
  expect(raised[2]!.detail).toEqual(['mds secret 4 is aes']);
  await one.close();
});

test('revocation ends sessions that are open and tickets that are cached', async () => {
  const entities = { 'client.john': entity(key, caps) };
  const rig = await Rig.create({ entities, ciphers: BOTH_CIPHERS });
  const login = await logIn(rig.handler, rng, 'client.john', key);
  const osd = login.services.find(({ serviceId }) => serviceId === 4)!;
  const host = { nowNs: rig.nowNs };
  const verify = () => {
    const value = rng.u64();
    const authorizer = authorizerOf(osd, login.globalId, rng, value);
    const challenge = { mode: 'issued', value } as const;
    return rig.engine.verify({ service: 4, authorizer, challenge, session: true }, host);
  };
  const op = { pool: 'p', object: 'o', read: true };
  verify();
  const { handle } = verify();
  const check = () => rig.engine.check({ service: 4, handle, op }, host).reason;
  expect(check()).toBe('ok');
  const target = { kind: 'entity', entity: 'client.john' } as const;
  const record = { timeNs: 0n, createdNs: NOW_NS, comment: '' };
  await rig.issuer.revocations.add({ kind: 'deny', target }, record);
  expect(check()).toBe('ticket.revoked');
  expect(verify().reason).toBe('ticket.revoked');
});

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 2000 && !holds(); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect(holds()).toBe(true);
}
