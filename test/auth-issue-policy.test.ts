/** Cipher policy with its health codes, and revocations as the issuing side meets them. */

import { describe, expect, test } from 'vitest';
import {
  DEFAULT_CIPHERS,
  type HealthInput,
  health,
  mayCreate,
  mayLogIn,
  readCiphers,
  setCipher,
  withCipher,
} from '../src/auth/cipherpolicy.ts';
import { Revocations } from '../src/auth/revocations.ts';
import { StoreView } from '../src/auth/storeview.ts';
import { GET_ROTATING_KEY } from '../src/cephx/protocol.ts';
import { MemoryStore, REVOCATIONS, type RevocationId } from '../src/store/index.ts';
import { authorizerOf, CONTEXT, fetchTickets, logIn, requestBytes } from './auth-issue-client.ts';
import { BOTH_CIPHERS, entity, freshKey, Rig } from './auth-issue-kit.ts';
import { NOW_NS } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';

const rng = new Rng(seedOf(47));
const SECOND = 1_000_000_000n;

describe('cipher settings', () => {
  test('lists by comma or space, single values, what is no key type', () => {
    const base = DEFAULT_CIPHERS;
    expect(withCipher(base, 'auth_allowed_ciphers', 'aes256k,aes').allowed).toEqual([
      'aes',
      'aes256k',
    ]);
    expect(withCipher(base, 'auth_allowed_ciphers', ' aes  aes ').allowed).toEqual(['aes']);
    expect(withCipher(base, 'auth_allowed_ciphers', 'aes256k')).toBe(base);
    expect(withCipher(base, 'auth_preferred_cipher', 'aes').preferred).toBe('aes');
    expect(withCipher(base, 'auth_service_cipher', 'aes').service).toBe('aes');
    for (const text of ['', 'none', 'aes,des']) {
      expect(() => withCipher(base, 'auth_allowed_ciphers', text)).toThrow(RangeError);
    }
    expect(() => withCipher(base, 'auth_service_cipher', 'aes,aes256k')).toThrow(RangeError);
  });

  test('in the store: what changes, what is already set', async () => {
    const store = new MemoryStore();
    expect(await readCiphers(store)).toEqual(DEFAULT_CIPHERS);
    expect(await setCipher(store, 'auth_service_cipher', 'aes256k')).toBe(false);
    expect(await setCipher(store, 'auth_service_cipher', 'aes')).toBe(true);
    expect(await setCipher(store, 'auth_service_cipher', 'aes')).toBe(false);
    expect(await readCiphers(store)).toEqual({ ...DEFAULT_CIPHERS, service: 'aes' });
  });

  test('who may log in, what may be created', () => {
    expect(mayLogIn(DEFAULT_CIPHERS, {}, 'aes')).toBe(false);
    expect(mayLogIn(DEFAULT_CIPHERS, { emergencyAllowed: ['aes'] }, 'aes')).toBe(true);
    expect(mayLogIn(BOTH_CIPHERS, {}, 'none')).toBe(false);
    expect(mayLogIn(BOTH_CIPHERS, {}, undefined)).toBe(false);
    expect(mayCreate(BOTH_CIPHERS, {}, 'aes')).toBe(true);
    expect(mayCreate(BOTH_CIPHERS, { allowInsecureKey: false }, 'aes')).toBe(false);
    expect(mayCreate(DEFAULT_CIPHERS, { allowInsecureKey: true }, 'aes')).toBe(true);
  });
});

describe('health', () => {
  const well: HealthInput = {
    ciphers: DEFAULT_CIPHERS,
    options: {},
    entities: [
      { entity: 'osd.0', keyType: 'aes256k' },
      { entity: 'client.admin', keyType: 'aes256k' },
    ],
    rotating: [{ service: 'osd', secretId: 3n, keyType: 'aes256k' }],
  };
  const codes = (input: Partial<HealthInput>) =>
    health({ ...well, ...input }).map(({ code, level }) => `${level} ${code}`);

  test('each code is raised by its own cause, and by no other', () => {
    expect(codes({})).toEqual([]);
    expect(codes({ ciphers: { ...DEFAULT_CIPHERS, service: 'aes' } })).toEqual([
      'error AUTH_INSECURE_SERVICE_TICKETS',
    ]);
    expect(codes({ entities: [{ entity: 'osd.7', keyType: 'aes' }] })).toEqual([
      'error AUTH_INSECURE_SERVICE_KEY_TYPE',
    ]);
    expect(codes({ rotating: [{ service: 'auth', secretId: 9n, keyType: 'aes' }] })).toEqual([
      'warning AUTH_INSECURE_ROTATING_SERVICE_KEY_TYPE',
    ]);
    expect(codes({ entities: [{ entity: 'client.john', keyType: 'aes' }] })).toEqual([
      'warning AUTH_INSECURE_CLIENT_KEY_TYPE',
    ]);
    const lenient = { ...DEFAULT_CIPHERS, allowed: ['aes', 'aes256k'] };
    expect(codes({ ciphers: lenient, options: { allowInsecureKey: false } })).toEqual([
      'warning AUTH_INSECURE_KEYS_ALLOWED',
    ]);
    expect(codes({ options: { allowInsecureKey: true } })).toEqual([
      'warning AUTH_INSECURE_KEYS_CREATABLE',
    ]);
    expect(codes({ options: { emergencyAllowed: ['aes'] } })).toEqual([
      'warning AUTH_EMERGENCY_CIPHERS_SET',
    ]);
  });

  test('says which entities and secrets, daemons apart from clients', () => {
    const entities = ['mds.a', 'osd.1', 'client.x'].map((each) => ({
      entity: each,
      keyType: 'aes',
    }));
    const [daemons, clients] = health({ ...well, entities });
    expect(daemons).toMatchObject({ summary: '2 daemons have an insecure key type' });
    expect(daemons!.detail).toEqual(['mds.a has an aes key', 'osd.1 has an aes key']);
    expect(clients!.detail).toEqual(['client.x has an aes key']);
  });
});

describe('revocations', () => {
  const key = freshKey('aes256k', rng);
  const caps = { mon: 'allow r', osd: 'allow *' };
  const entities = {
    'client.john': entity(key, caps),
    'client.mary': entity(key, caps),
    'osd.0': entity(key, caps),
  };
  const deny = (name: string): RevocationId => ({
    kind: 'deny',
    target: { kind: 'entity', entity: name },
  });
  const record = (timeNs = 0n) => ({ timeNs, createdNs: NOW_NS, comment: 'test' });

  /** What each thing an AUTH ticket is good for gives, and what its service ticket gives. */
  async function standing(rig: Rig, login: Awaited<ReturnType<typeof logIn>>, name: string) {
    const { handler } = rig;
    const options = { globalId: login.globalId, oldTicket: login.auth.blob };
    const authorizer = authorizerOf(login.auth, login.globalId, rng);
    const rotating = requestBytes(GET_ROTATING_KEY, authorizer);
    const osd = login.services.find(({ serviceId }) => serviceId === 4)!;
    const request = {
      service: 4,
      authorizer: authorizerOf(osd, login.globalId, rng),
      challenge: { mode: 'off' },
    } as const;
    return {
      login: (await logIn(handler, rng, name, key)).status,
      reclaim: (await logIn(handler, rng, name, key, options, login.auth.sessionKey)).status,
      tickets: (await fetchTickets(handler, rng, login)).status,
      rotating: (await handler.request(rotating, undefined, CONTEXT)).status,
      osd: rig.engine.verify(request, { nowNs: rig.nowNs }).reason,
    };
  }

  const WELL = { login: 0, reclaim: 0, tickets: 0, rotating: 0, osd: 'ok' };

  test('deny: nothing is given and nothing is good, until it is lifted', async () => {
    const rig = await Rig.create({ entities });
    const login = await logIn(rig.handler, rng, 'osd.0', key);
    const mary = await logIn(rig.handler, rng, 'client.mary', key);
    expect(await standing(rig, login, 'osd.0')).toEqual(WELL);
    await rig.issuer.revocations.add(deny('osd.0'), record());
    const nothing = {
      login: -13,
      reclaim: -13,
      tickets: -13,
      rotating: -13,
      osd: 'ticket.revoked',
    };
    expect(await standing(rig, login, 'osd.0')).toEqual(nothing);
    expect(await standing(rig, mary, 'client.mary')).toEqual({ ...WELL, rotating: -13 });
    expect(await rig.issuer.revocations.remove(deny('osd.0'))).toBe(true);
    expect(await rig.issuer.revocations.remove(deny('osd.0'))).toBe(false);
    expect(await standing(rig, login, 'osd.0')).toEqual(WELL);
  });

  test('deny of a global_id leaves the entity its other instances', async () => {
    const rig = await Rig.create({ entities });
    const login = await logIn(rig.handler, rng, 'osd.0', key);
    const other = await logIn(rig.handler, rng, 'osd.0', key);
    const target = { kind: 'global_id', globalId: login.globalId } as const;
    await rig.issuer.revocations.add({ kind: 'deny', target }, record());
    expect(await standing(rig, login, 'osd.0')).toEqual({
      ...{ login: 0, reclaim: -13, tickets: -13, rotating: -13, osd: 'ticket.revoked' },
    });
    expect(await standing(rig, other, 'osd.0')).toEqual(WELL);
  });

  test('not_before: tickets from before it are refused, AUTH tickets too', async () => {
    for (const target of [{ kind: 'all' }, { kind: 'entity', entity: 'osd.0' }] as const) {
      const rig = await Rig.create({ entities });
      const login = await logIn(rig.handler, rng, 'osd.0', key);
      await rig.issuer.revocations.add({ kind: 'not_before', target }, record(NOW_NS + SECOND));
      rig.nowNs = NOW_NS + 302n * SECOND;
      expect(await standing(rig, login, 'osd.0')).toEqual({
        ...{ login: 0, reclaim: -13, tickets: -13, rotating: -13, osd: 'ticket.revoked' },
      });
      const later = await logIn(rig.handler, rng, 'osd.0', key);
      expect(await standing(rig, later, 'osd.0')).toEqual(WELL);
    }
  });

  test('not_before of a service is about its tickets only', async () => {
    const rig = await Rig.create({ entities });
    const login = await logIn(rig.handler, rng, 'osd.0', key);
    const target = { kind: 'service', service: 'osd' } as const;
    await rig.issuer.revocations.add({ kind: 'not_before', target }, record(NOW_NS + SECOND));
    expect(await standing(rig, login, 'osd.0')).toEqual({ ...WELL, osd: 'ticket.revoked' });
  });

  test('a restart and another instance know them', async () => {
    const rig = await Rig.create({ entities });
    const login = await logIn(rig.handler, rng, 'osd.0', key);
    const two = await Rig.create({ store: rig.store });
    const stop = new AbortController();
    const followed = [{ prefix: REVOCATIONS.prefix, load: () => two.issuer.revocations.reload() }];
    const age = { staleAfterMs: undefined, onStale: 'serve' } as const;
    const following = new StoreView({ store: rig.store, followed, ...age }).follow(stop.signal);
    await rig.issuer.revocations.add(deny('osd.0'), record());
    while (!two.issuer.revocations.isDenied('osd.0')) await new Promise((r) => setTimeout(r, 1));
    expect((await standing(two, login, 'osd.0')).tickets).toBe(-13);
    stop.abort();
    await following;
    const three = await Rig.create({ store: rig.store });
    expect(three.issuer.revocations.list()).toEqual([{ id: deny('osd.0'), record: record() }]);
    expect((await standing(three, login, 'osd.0')).osd).toBe('ticket.revoked');
  });

  test('one that the core cannot hold is not stored', async () => {
    const rig = await Rig.create({ entities });
    const long = deny(`client.${'x'.repeat(129)}`);
    await expect(rig.issuer.revocations.add(long, record())).rejects.toThrow(RangeError);
    const all = { kind: 'deny', target: { kind: 'all' } } as const;
    await expect(rig.issuer.revocations.add(all, record())).rejects.toThrow(RangeError);
    expect((await Revocations.open(rig.store, rig.engine)).list()).toEqual([]);
  });
});
