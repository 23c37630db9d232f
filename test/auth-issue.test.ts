/**
 * The whole circle: login, service ticket, authorizer, and the core accepts it; and the rules on
 * the
 * way (global_id, pending keys, ciphers, statuses, what may not be told apart).
 */

import { describe, expect, test } from 'vitest';
import { commitPending } from '../src/auth/login.ts';
import { Reader, utimeNs } from '../src/cephx/denc.ts';
import {
  decodeResponseHeader,
  GET_PRINCIPAL_SESSION_KEY,
  GET_ROTATING_KEY,
} from '../src/cephx/protocol.ts';
import { openRotatingSecrets } from '../src/cephx/ticket.ts';
import { ENTITIES, MemoryStore } from '../src/store/index.ts';
import {
  AUTH,
  authenticateBytes,
  authorizerOf,
  CONTEXT,
  fetchTickets,
  helloBytes,
  logIn,
  requestBytes,
} from './auth-issue-client.ts';
import { BOTH_CIPHERS, entity, freshKey, Rig } from './auth-issue-kit.ts';
import { NOW_NS } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';
import { toHex } from './twin/load.ts';
import { twinSealer } from './twin/sealer.ts';
import { type TwinPolicy, verify as twinVerify } from './twin/verify.ts';

const rng = new Rng(seedOf(41));
const TYPES = ['aes', 'aes256k'] as const;
const CAPS = { mon: 'allow r', osd: 'allow rw pool=liverpool', mds: 'allow r' };
const EACCES = -13;
const STRICT: TwinPolicy = {
  plausibility: 'strict',
  expiry: 'enforce',
  skewNs: 0n,
  allowedTypes: 'ring',
  generalSecret: false,
};

describe('circle', () => {
  for (const keyType of TYPES) {
    for (const serviceType of TYPES) {
      test(`${keyType} client, ${serviceType} services`, async () => {
        const key = freshKey(keyType, rng);
        const ciphers = { ...BOTH_CIPHERS, service: serviceType };
        const rig = await Rig.create({ ciphers, entities: { 'client.john': entity(key, CAPS) } });
        const login = await logIn(rig.handler, rng, 'client.john', key);
        expect(login.status).toBe(0);
        expect(login.globalId).toBe(4097n);
        expect(login.auth.sessionKey.typeName).toBe(keyType);
        const fetched = await fetchTickets(rig.handler, rng, login);
        for (const services of [login.services, fetched.services]) {
          expect(services.map(({ serviceId }) => serviceId)).toEqual([1, 2, 4, 16]);
          for (const grant of services) {
            const weaker = keyType === 'aes' || serviceType === 'aes' ? 'aes' : 'aes256k';
            expect(grant.sessionKey.typeName).toBe(weaker);
            accepted(rig, grant, login.globalId);
          }
        }
      });
    }
  }

  /** Core and twin accept an authorizer with challenge, and say the same of it. */
  function accepted(rig: Rig, grant: Parameters<typeof authorizerOf>[0], globalId: bigint): void {
    const value = rng.u64();
    const authorizer = authorizerOf(grant, globalId, rng, value);
    const service = grant.serviceId;
    const challenge = { mode: 'issued', value } as const;
    const verdict = rig.engine.verify({ service, authorizer, challenge }, { nowNs: rig.nowNs });
    expect([verdict.decision, verdict.reason]).toEqual([true, 'ok']);
    expect([verdict.entityType, verdict.entityId]).toEqual([8, 'john']);
    const name = { 1: 'mon', 2: 'mds', 4: 'osd', 16: 'mgr' }[service] as 'mon';
    expect(verdict.caps).toBe((CAPS as Record<string, string>)[name] ?? '');
    expect(utimeNs(verdict.expires) - utimeNs(verdict.created)).toBe(3_600_000_000_000n);
    const secrets = rig.keyServer
      .held(name)
      .map(({ secretId, key }) => ({ service, secretId, key }));
    const input = { service, secrets, nowNs: rig.nowNs, policy: STRICT, bytes: authorizer };
    expect(twinVerify({ ...input, challenge }).decision).toBe(true);
  }
});

describe('global_id (CVE-2021-20288)', () => {
  const key = freshKey('aes256k', rng);
  const entities = { 'client.john': entity(key, CAPS), 'client.eve': entity(key, CAPS) };

  test('a new one for each login, in blocks, across instances', async () => {
    const one = await Rig.create({ entities, globalIdBlock: 3n });
    const two = await Rig.create({ store: one.store, globalIdBlock: 3n });
    const ids: bigint[] = [];
    for (let i = 0; i < 8; i++) {
      const { handler } = i % 2 === 0 ? one : two;
      ids.push((await logIn(handler, rng, 'client.john', key)).globalId);
    }
    expect(ids).toEqual([4097n, 4100n, 4098n, 4101n, 4099n, 4102n, 4103n, 4106n]);
    const many = await Promise.all(Array.from({ length: 20 }, () => one.issuer.globalIds.next()));
    expect(new Set(many).size).toBe(20);
  });

  test('is reclaimed with its ticket, and the new ticket is hidden under the old key', async () => {
    const rig = await Rig.create({ entities });
    const first = await logIn(rig.handler, rng, 'client.john', key);
    const options = { globalId: first.globalId, oldTicket: first.auth.blob };
    const { sessionKey } = first.auth;
    const again = await logIn(rig.handler, rng, 'client.john', key, options, sessionKey);
    expect([again.status, again.globalId]).toEqual([0, first.globalId]);
    expect((await fetchTickets(rig.handler, rng, again)).status).toBe(0);
    // Without the old session key the reply is of no use: the blob does not open.
    await expect(logIn(rig.handler, rng, 'client.john', key, options)).rejects.toThrow('key.empty');
  });

  test('every other claim is refused', async () => {
    const rig = await Rig.create({ entities });
    const first = await logIn(rig.handler, rng, 'client.john', key);
    const other = await logIn(rig.handler, rng, 'client.john', key);
    const { blob } = first.auth;
    const torn = { ...blob, blob: blob.blob.slice(0, -1) };
    const unknown = { ...blob, secretId: 99n };
    const claim = (globalId: bigint, oldTicket = blob, version = 3) =>
      logIn(rig.handler, rng, 'client.john', key, { globalId, oldTicket, version });
    const none = { secretId: 0n, blob: new Uint8Array(0) };
    for (const version of [1, 2, 3]) {
      expect((await claim(first.globalId, none, version)).status).toBe(EACCES);
      expect((await claim(other.globalId, blob, version)).status).toBe(EACCES);
      expect((await claim(first.globalId, torn, version)).status).toBe(EACCES);
      expect((await claim(first.globalId, unknown, version)).status).toBe(EACCES);
      expect((await claim(0n, blob, version)).status).toBe(-22);
      expect((await claim(0n, none, version)).status).toBe(0);
    }
  });

  test('the insecure option lets old clients, and only those, claim without a ticket', async () => {
    const rig = await Rig.create({ entities, issuer: { allowInsecureGlobalIdReclaim: true } });
    const claim = (version: number) =>
      logIn(rig.handler, rng, 'client.john', key, { globalId: 7777n, version });
    expect(await claim(2)).toMatchObject({ status: 0, globalId: 7777n });
    expect((await claim(3)).status).toBe(EACCES);
  });
});

describe('what cannot be told apart', () => {
  test('unknown, wrong key, refused cipher, denied, no mon caps: bytes and work', async () => {
    const strong = freshKey('aes256k', rng);
    const weak = freshKey('aes', rng);
    const entities = {
      'client.strong': entity(strong, CAPS),
      'client.pending': entity(strong, CAPS, freshKey('aes256k', rng)),
      'client.weak': entity(weak, CAPS),
      'client.nocaps': entity(strong, {}),
      'client.empty': entity(strong, { mon: '', osd: 'allow *' }),
      'client.denied': entity(strong, CAPS),
    };
    const ciphers = { ...BOTH_CIPHERS, allowed: ['aes256k'] };
    const inner = new MemoryStore();
    let reads = 0;
    const store = new Proxy(inner, {
      get(target, name) {
        if (name === 'get') reads += 1;
        const value = Reflect.get(target, name) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const rig = await Rig.create({ store, entities, ciphers });
    const target = { kind: 'entity', entity: 'client.denied' } as const;
    const record = { timeNs: 0n, createdNs: 0n, comment: '' };
    await rig.issuer.revocations.add({ kind: 'deny', target }, record);
    const names = Object.keys(entities);
    const seen = new Set<string>();
    let denials = 0;
    for (let i = 0; i < 400; i++) {
      const name = rng.chance(0.3) ? `client.${'x'.repeat(rng.int(2000))}` : rng.pick(names);
      const isRight = rng.chance(0.5) && name !== 'client.strong' && name !== 'client.pending';
      const key = isRight
        ? name === 'client.weak'
          ? weak
          : strong
        : freshKey(rng.pick(TYPES), rng);
      const globalId = rng.chance(0.3) ? rng.u64() : 0n;
      const blob = rng.chance(0.3) ? rng.bytes(rng.int(300)) : new Uint8Array(0);
      const oldTicket = { secretId: BigInt(rng.int(4)), blob };
      const options = { globalId, oldTicket, version: rng.pick([2, 3]) };
      const { exchange } = rig.handler.hello(helloBytes(name, globalId))!;
      const bytes = authenticateBytes(key, exchange.serverChallenge, rng, options);
      rig.operations = 0;
      reads = 0;
      const answer = await rig.handler.request(bytes, exchange, CONTEXT);
      const work = `${rig.operations} operations, ${reads} reads`;
      seen.add(`${toHex(answer.payload)} ${answer.globalId} after ${work}`);
      denials += 1;
    }
    expect([...seen]).toEqual(['0001f3ffffff undefined after 4 operations, 2 reads']);
    expect(denials).toBe(400);
    expect((await logIn(rig.handler, rng, 'client.strong', strong)).status).toBe(0);
  });

  test('an exchange is good once, for 30 s, for its own login', async () => {
    const key = freshKey('aes256k', rng);
    const entities = { 'client.john': entity(key, CAPS), 'client.eve': entity(key, CAPS) };
    const rig = await Rig.create({ entities });
    const hello = () => {
      const { payload, token } = rig.handler.helloWithToken(helloBytes('client.john'))!;
      return { token, server: new DataView(payload.slice().buffer).getBigUint64(1, true) };
    };
    const send = async (server: bigint, token: string | undefined) =>
      (await rig.handler.request(authenticateBytes(key, server, rng), token, CONTEXT)).status;
    const first = hello();
    expect(await send(first.server, first.token)).toBe(0);
    expect(await send(first.server, first.token)).toBe(EACCES);
    const spentByFailure = hello();
    expect(await send(1n, spentByFailure.token)).toBe(EACCES);
    expect(await send(spentByFailure.server, spentByFailure.token)).toBe(EACCES);
    const late = hello();
    rig.nowNs += 30_000_000_000n;
    expect(await send(late.server, late.token)).toBe(0);
    const tooLate = hello();
    rig.nowNs += 30_000_000_001n;
    expect(await send(tooLate.server, tooLate.token)).toBe(EACCES);
    rig.nowNs -= 25_000_000_000n;
    expect(await send(late.server, late.token)).toBe(EACCES);
    const altered = hello();
    const at = rng.int(altered.token.length - 4);
    const letter = altered.token[at] === 'A' ? 'B' : 'A';
    const bad = altered.token.slice(0, at) + letter + altered.token.slice(at + 1);
    expect(await send(altered.server, bad)).toBe(EACCES);
    expect(await send(altered.server, undefined)).toBe(EACCES);
    expect(await send(altered.server, 'no base64')).toBe(EACCES);
  });
});

describe('statuses', () => {
  const key = freshKey('aes256k', rng);
  const entities = { 'client.john': entity(key, CAPS) };

  test('what does not decode, and types that are none', async () => {
    const rig = await Rig.create({ entities });
    const status = async (hex: number[]) =>
      toHex((await rig.handler.request(Uint8Array.from(hex), undefined, CONTEXT)).payload);
    expect(await status([])).toBe('0000ffffffff');
    expect(await status([1])).toBe('0000ffffffff');
    expect(await status([0, 1])).toBe('0001ffffffff');
    expect(await status([0, 1, 3, 1])).toBe('0001ffffffff');
    expect(await status([0, 2])).toBe('0002f3ffffff');
    expect(await status([0, 4])).toBe('0004f3ffffff');
    expect(await status([0, 3])).toBe('0003eaffffff');
    expect(rig.handler.hello(new Uint8Array(0))).toBe(undefined);
    expect(rig.handler.hello(helloBytes('client.john').map((b, i) => (i === 0 ? 9 : b)))).toBe(
      undefined,
    );
    const login = await logIn(rig.handler, rng, 'client.john', key);
    const authorizer = authorizerOf(login.auth, login.globalId, rng);
    const cut = requestBytes(GET_PRINCIPAL_SESSION_KEY, authorizer).slice(0, -1);
    expect((await rig.handler.request(cut, undefined, CONTEXT)).status).toBe(-1);
  });

  test('a server challenge is never zero', async () => {
    const rig = await Rig.create({ entities });
    rig.randoms = [new Uint8Array(8), new Uint8Array(8), Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)];
    expect(rig.handler.hello(helloBytes('client.john'))!.exchange.serverChallenge).toBe(1n);
  });

  test('without a good AUTH secret there is no ticket', async () => {
    const rig = await Rig.create({ entities });
    rig.times = [NOW_NS, NOW_NS, NOW_NS, NOW_NS, NOW_NS + 1000n * 3_600_000_000_000n];
    expect((await logIn(rig.handler, rng, 'client.john', key)).status).toBe(-5);
    expect((await logIn(rig.handler, rng, 'client.john', key)).status).toBe(0);
  });

  test('masks: AUTH, client and unknown bits are skipped', async () => {
    const rig = await Rig.create({ entities });
    const login = await logIn(rig.handler, rng, 'client.john', key, { otherKeys: AUTH });
    expect(login.services).toEqual([]);
    const bare = await logIn(rig.handler, rng, 'client.john', key, { otherKeys: 0 });
    expect(bare.services).toEqual([]);
    const all = await fetchTickets(rig.handler, rng, login, 0xffff_ffff);
    expect(all.services.map(({ serviceId }) => serviceId)).toEqual([1, 2, 4, 16]);
    const none = await fetchTickets(rig.handler, rng, login, AUTH | 8 | 64);
    expect(none).toEqual({ status: 0, services: [] });
    const old = await logIn(rig.handler, rng, 'client.john', key, { version: 1 });
    expect([old.status, old.services.length]).toEqual([0, 0]);
  });

  test('caps and existence are as they are now, not as at login', async () => {
    const rig = await Rig.create({ entities });
    const login = await logIn(rig.handler, rng, 'client.john', key);
    await rig.putEntity('client.john', entity(key, { mon: 'allow r', osd: 'allow r' }));
    const { services } = await fetchTickets(rig.handler, rng, login, 4);
    const authorizer = authorizerOf(services[0]!, login.globalId, rng);
    const request = { service: 4, authorizer, challenge: { mode: 'off' } } as const;
    expect(rig.engine.verify(request, { nowNs: NOW_NS }).caps).toBe('allow r');
    const requestId = rng.bytes(16);
    const deletes = [ENTITIES.key('client.john')];
    await rig.store.commit({ requestId, compares: [], puts: [], deletes }, { timeoutMs: 1000 });
    expect((await fetchTickets(rig.handler, rng, login)).status).toBe(EACCES);
  });
});

describe('pending keys', () => {
  const key = freshKey('aes', rng);
  const pending = freshKey('aes256k', rng);
  const options = {
    ciphers: BOTH_CIPHERS,
    entities: { 'client.john': entity(key, CAPS, pending) },
  };

  test('old and new work until the commit, and each use is noted', async () => {
    const rig = await Rig.create(options);
    for (const each of [key, pending, key]) {
      rig.nowNs += 1n;
      const login = await logIn(rig.handler, rng, 'client.john', each);
      expect([login.status, login.auth.sessionKey.type]).toEqual([0, each.type]);
    }
    expect(rig.issuer.uses.of('client.john')).toEqual({
      key: { timeNs: NOW_NS + 3n, source: 'test' },
      pending: { timeNs: NOW_NS + 2n, source: 'test' },
    });
    expect(await commitPending(rig.issuer, 'client.john', freshKey('aes256k', rng))).toBe(false);
    expect(await commitPending(rig.issuer, 'client.john', pending)).toBe(true);
    const used = { key: { timeNs: NOW_NS + 2n, source: 'test' } };
    expect(rig.issuer.uses.of('client.john')).toEqual(used);
    expect((await logIn(rig.handler, rng, 'client.john', key)).status).toBe(EACCES);
    expect((await logIn(rig.handler, rng, 'client.john', pending)).status).toBe(0);
    expect(await commitPending(rig.issuer, 'client.john')).toBe(false);
    expect((await logIn(rig.handler, rng, 'client.john', pending)).status).toBe(0);
  });

  test("with autoCommit the first use of the new key ends the old one, Ceph's way", async () => {
    const rig = await Rig.create({ ...options, issuer: { autoCommit: true } });
    expect((await logIn(rig.handler, rng, 'client.john', key)).status).toBe(0);
    expect((await logIn(rig.handler, rng, 'client.john', pending)).status).toBe(0);
    expect((await logIn(rig.handler, rng, 'client.john', key)).status).toBe(EACCES);
  });

  test('the type of the key that is proved decides whether it may log in', async () => {
    const rig = await Rig.create({
      ...options,
      ciphers: { ...BOTH_CIPHERS, allowed: ['aes256k'] },
    });
    expect((await logIn(rig.handler, rng, 'client.john', key)).status).toBe(EACCES);
    expect((await logIn(rig.handler, rng, 'client.john', pending)).status).toBe(0);
    const lent = await Rig.create({
      ...options,
      ciphers: { ...BOTH_CIPHERS, allowed: ['aes256k'] },
      issuer: { ciphers: { emergencyAllowed: ['aes'] } },
    });
    expect((await logIn(lent.handler, rng, 'client.john', key)).status).toBe(0);
  });
});

describe('rotating keys (0x0400)', () => {
  const key = freshKey('aes256k', rng);
  const weak = freshKey('aes', rng);
  const caps = { mon: 'allow profile osd' };
  const entities = {
    'osd.0': entity(key, caps),
    'osd.1': entity(weak, caps),
    'mon.': entity(key, { mon: 'allow *' }),
    'client.john': entity(key, CAPS),
  };

  async function ask(rig: Rig, bytes: Uint8Array) {
    const { payload } = await rig.handler.request(bytes, undefined, CONTEXT);
    const reader = new Reader(payload);
    return { status: decodeResponseHeader(reader).status, sealed: reader.rest() };
  }

  test("a daemon gets its service's secrets under its own key, once an authorizer", async () => {
    const rig = await Rig.create({ entities, ciphers: BOTH_CIPHERS });
    for (const [name, own, service] of [
      ['osd.0', key, 'osd'],
      ['osd.1', weak, 'osd'],
      ['mon.', key, 'mon'],
    ] as const) {
      const login = await logIn(rig.handler, rng, name, own);
      const authorizer = authorizerOf(login.auth, login.globalId, rng);
      const bytes = requestBytes(GET_ROTATING_KEY, authorizer);
      const { status, sealed } = await ask(rig, bytes);
      expect(status).toBe(0);
      const rotating = openRotatingSecrets(twinSealer, own, sealed);
      const held = rig.keyServer.held(service);
      expect([...rotating.secrets.keys()]).toEqual([1n, 2n, 3n]);
      expect(rotating.secrets.get(2n)!.key.toBase64()).toBe(held[1]!.key.toBase64());
      expect(await ask(rig, bytes)).toEqual({ status: EACCES, sealed: new Uint8Array(0) });
      const fresh = requestBytes(GET_ROTATING_KEY, authorizerOf(login.auth, login.globalId, rng));
      expect((await ask(rig, fresh)).status).toBe(0);
    }
  });

  test('a client, a hello token, a bare request: no sealed byte', async () => {
    const rig = await Rig.create({ entities });
    const login = await logIn(rig.handler, rng, 'client.john', key);
    const refused = { status: EACCES, sealed: new Uint8Array(0) };
    const client = requestBytes(GET_ROTATING_KEY, authorizerOf(login.auth, login.globalId, rng));
    expect(await ask(rig, client)).toEqual(refused);
    expect(await ask(rig, requestBytes(GET_ROTATING_KEY, new Uint8Array(0)))).toEqual(refused);
    const { token } = rig.handler.helloWithToken(helloBytes('osd.0'))!;
    const bare = requestBytes(GET_ROTATING_KEY, new Uint8Array(0));
    const { payload } = await rig.handler.request(bare, token, CONTEXT);
    expect(toHex(payload)).toBe('0004f3ffffff');
    // A ticket for a service is no AUTH ticket.
    const service = requestBytes(
      GET_ROTATING_KEY,
      authorizerOf(login.services[0]!, login.globalId, rng),
    );
    expect(await ask(rig, service)).toEqual(refused);
  });

  test('an altered copy of a taken authorizer is refused as well', async () => {
    const rig = await Rig.create({ entities, ciphers: BOTH_CIPHERS });
    const login = await logIn(rig.handler, rng, 'osd.1', weak);
    const bytes = requestBytes(GET_ROTATING_KEY, authorizerOf(login.auth, login.globalId, rng));
    expect((await ask(rig, bytes)).status).toBe(0);
    for (let i = 0; i < 300; i++) {
      const copy = bytes.slice();
      // The second block of part b: under aes a change of it may well decode.
      copy[copy.length - 1 - rng.int(16)]! ^= 1 + rng.int(255);
      expect((await ask(rig, copy)).status).toBe(EACCES);
    }
    expect((await ask(rig, Uint8Array.from([...bytes, 0]))).status).toBe(EACCES);
  });
});
