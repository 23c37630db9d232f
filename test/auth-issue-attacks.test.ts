/** Attacks on the issuing side and on what it issues, one test each. */

import { describe, expect, test } from 'vitest';
import { buildAuthorizer, randomU64 } from '../src/cephx/authorizer.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { DecodeError, decode, Reader } from '../src/cephx/denc.ts';
import {
  decodeResponseHeader,
  decodeServerChallenge,
  GET_PRINCIPAL_SESSION_KEY,
  GET_ROTATING_KEY,
} from '../src/cephx/protocol.ts';
import {
  openRotatingSecrets,
  openServiceTicket,
  openTicketReply,
  type ServiceTicketGrant,
} from '../src/cephx/ticket.ts';
import type { Plausibility } from '../src/engine/index.ts';
import {
  AUTH,
  authenticateBytes,
  authorizerOf,
  CONTEXT,
  helloBytes,
  logIn,
  readLogin,
  requestBytes,
} from './auth-issue-client.ts';
import { BOTH_CIPHERS, entity, freshKey, Rig } from './auth-issue-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { toHex } from './twin/load.ts';
import { twinSealer } from './twin/sealer.ts';

const rng = new Rng(seedOf(61));
const EACCES = -13;
const caps = { mon: 'allow r', osd: 'allow r', mds: 'allow r' };
const TYPES = ['aes', 'aes256k'] as const;

async function rigOf(type: 'aes' | 'aes256k') {
  const john = freshKey(type, rng);
  const eve = freshKey(type, rng);
  const entities = {
    'client.john': entity(john, caps),
    'client.eve': entity(eve, caps),
    'osd.0': entity(john, { mon: 'allow profile osd' }),
    'osd.1': entity(eve, { mon: 'allow profile osd' }),
  };
  const rig = await Rig.create({ entities, ciphers: { ...BOTH_CIPHERS, service: type } });
  return { rig, john, eve };
}

const osdOf = (services: readonly ServiceTicketGrant[]): ServiceTicketGrant =>
  services.find(({ serviceId }) => serviceId === 4)!;

function reasonOf(rig: Rig, service: number, authorizer: Uint8Array, plausibility?: Plausibility) {
  const request = { service, authorizer, challenge: { mode: 'off' } } as const;
  const policy = plausibility === undefined ? {} : { plausibility };
  return rig.engine.verify(request, { nowNs: rig.nowNs, policy }).reason;
}

async function ask(rig: Rig, type: 0x0200 | 0x0400, authorizer: Uint8Array) {
  const bytes = requestBytes(type, authorizer);
  const { payload } = await rig.handler.request(bytes, undefined, CONTEXT);
  return { status: decodeResponseHeader(new Reader(payload)).status, payload };
}

describe.each(TYPES)('%s', (type) => {
  test('a stolen ticket is of no use without its session key', async () => {
    const { rig, john } = await rigOf(type);
    const login = await logIn(rig.handler, rng, 'client.john', john);
    for (const grant of [login.auth, osdOf(login.services)]) {
      const stolen = { ...grant, sessionKey: freshKey(type, rng) };
      const authorizer = authorizerOf(stolen, login.globalId, rng);
      expect(reasonOf(rig, grant.serviceId, authorizer)).toBe('authorizer.invalid');
      expect((await ask(rig, GET_PRINCIPAL_SESSION_KEY, authorizer)).status).toBe(EACCES);
      expect((await ask(rig, GET_ROTATING_KEY, authorizer)).status).toBe(EACCES);
    }
  });

  test('a ticket of one and an authorizer of another do not go together', async () => {
    const { rig, john, eve } = await rigOf(type);
    const [a, b] = [
      await logIn(rig.handler, rng, 'client.john', john),
      await logIn(rig.handler, rng, 'client.eve', eve),
    ];
    const spliced = { ...osdOf(a.services), sessionKey: osdOf(b.services).sessionKey };
    for (const id of [a.globalId, b.globalId]) {
      expect(reasonOf(rig, 4, authorizerOf(spliced, id, rng))).toBe('authorizer.invalid');
    }
    const foreignId = authorizerOf(osdOf(a.services), b.globalId, rng);
    expect(reasonOf(rig, 4, foreignId)).toBe('authorizer.invalid');
    const auth = { ...a.auth, sessionKey: b.auth.sessionKey };
    const authorizer = authorizerOf(auth, a.globalId, rng);
    expect((await ask(rig, GET_PRINCIPAL_SESSION_KEY, authorizer)).status).toBe(EACCES);
  });

  test('a ticket for one service is none for another', async () => {
    const { rig, john } = await rigOf(type);
    const login = await logIn(rig.handler, rng, 'client.john', john);
    for (const from of [login.auth, ...login.services]) {
      for (const to of [1, 2, 4, 16, AUTH]) {
        if (to === from.serviceId) continue;
        const relabelled = authorizerOf({ ...from, serviceId: to }, login.globalId, rng);
        expect(reasonOf(rig, to, relabelled)).toBe('authorizer.invalid');
        const as = authorizerOf(from, login.globalId, rng);
        expect(reasonOf(rig, to, as)).toBe('authorizer.service');
      }
    }
  });

  test('what the server sealed does not come back as what a client seals', async () => {
    const { rig, john } = await rigOf(type);
    const login = await logIn(rig.handler, rng, 'client.john', john);
    const authorizer = authorizerOf(login.auth, login.globalId, rng);
    const { payload } = await ask(rig, GET_PRINCIPAL_SESSION_KEY, authorizer);
    // Every sealed part of the reply, put where the authorizer has its own.
    const partA = authorizer.subarray(0, 30 + login.auth.blob.blob.length - 4);
    let reflections = 0;
    for (let at = 6; at + 60 < payload.length; at += 1) {
      const length = new Reader(payload.subarray(at)).u32();
      if (length < 16 || length > payload.length - at - 4) continue;
      reflections += 1;
      const reflected = Uint8Array.from([...partA, ...payload.subarray(at, at + 4 + length)]);
      expect((await ask(rig, GET_PRINCIPAL_SESSION_KEY, reflected)).status).toBe(EACCES);
    }
    // At least the sealed session key of each of four tickets.
    expect(reflections).toBeGreaterThanOrEqual(4);
  });

  test("0x0400 with another daemon's ticket does not open under one's own key", async () => {
    const { rig, john, eve } = await rigOf(type);
    const login = await logIn(rig.handler, rng, 'osd.1', eve);
    const authorizer = authorizerOf(login.auth, login.globalId, rng);
    const { status, payload } = await ask(rig, GET_ROTATING_KEY, authorizer);
    expect(status).toBe(0);
    const opens = (key: CryptoKey) =>
      twinSealer.open(key, 0x20, payload.subarray(10))?.subarray(1, 9).join();
    expect(opens(eve)).toBe('85,170,38,136,173,156,0,255');
    expect(opens(john)).not.toBe('85,170,38,136,173,156,0,255');
  });

  test('0x0400 with a hello token, fresh or sniffed, is no sealed byte to a client', async () => {
    const { rig, john, eve } = await rigOf(type);
    const { handler } = rig;
    const sniffed = handler.helloWithToken(helloBytes('osd.0'))!;
    const server = decode(decodeServerChallenge, sniffed.payload, 'reject');
    const bytes = authenticateBytes(john, server, rng);
    const daemon = readLogin(await handler.request(bytes, sniffed.token, CONTEXT), john);
    expect(daemon.status).toBe(0);
    const client = await logIn(handler, rng, 'client.john', john);
    const fresh = () => handler.helloWithToken(helloBytes('osd.0'))!.token;
    for (const token of [fresh(), sniffed.token, undefined]) {
      for (const authorizer of [
        new Uint8Array(0),
        authorizerOf(client.auth, client.globalId, rng),
        authorizerOf(osdOf(client.services), client.globalId, rng),
        authorizerOf(osdOf(daemon.services), daemon.globalId, rng),
      ]) {
        const asked = requestBytes(GET_ROTATING_KEY, authorizer);
        const { payload } = await handler.request(asked, token, CONTEXT);
        expect(toHex(payload)).toBe('0004f3ffffff');
      }
    }
    // Another daemon is answered as itself, whatever name the token bears.
    const other = await logIn(handler, rng, 'osd.1', eve);
    const own = requestBytes(GET_ROTATING_KEY, authorizerOf(other.auth, other.globalId, rng));
    const { payload } = await handler.request(own, fresh(), CONTEXT);
    const sealed = payload.subarray(6);
    expect(openRotatingSecrets(twinSealer, eve, sealed).secrets.size).toBe(3);
    expect(() => openRotatingSecrets(twinSealer, john, sealed)).toThrow(DecodeError);
  });

  test('the proof of one challenge is none for another, nor for another name', async () => {
    const { rig, john } = await rigOf(type);
    const first = rig.handler.hello(helloBytes('client.john'))!.exchange;
    const second = rig.handler.hello(helloBytes('client.john'))!.exchange;
    const eve = { ...first, name: { type: 8, id: 'eve' } };
    const bytes = authenticateBytes(john, first.serverChallenge, rng);
    expect((await rig.handler.request(bytes, second, CONTEXT)).status).toBe(EACCES);
    expect((await rig.handler.request(bytes, eve, CONTEXT)).status).toBe(EACCES);
    expect((await rig.handler.request(bytes, first, CONTEXT)).status).toBe(0);
  });
});

test('global_id reclaim without the old ticket (CVE-2021-20288)', async () => {
  const { rig, john, eve } = await rigOf('aes256k');
  const login = await logIn(rig.handler, rng, 'client.john', john);
  const claim = await logIn(rig.handler, rng, 'client.eve', eve, { globalId: login.globalId });
  expect(claim.status).toBe(EACCES);
  // Nor with the ticket of the one whose id it is.
  const options = { globalId: login.globalId, oldTicket: login.auth.blob };
  expect((await logIn(rig.handler, rng, 'client.eve', eve, options)).status).toBe(EACCES);
});

test('downgrade: an aes key does not log in where aes is not allowed', async () => {
  const { rig, john } = await rigOf('aes');
  expect((await logIn(rig.handler, rng, 'client.john', john)).status).toBe(0);
  const strict = await Rig.create({ entities: { 'client.john': entity(john, caps) } });
  expect((await logIn(strict.handler, rng, 'client.john', john)).status).toBe(EACCES);
  // The proof is of the stored key's type: an aes proof of an aes256k secret is no proof.
  const strong = freshKey('aes256k', rng);
  const other = await Rig.create({
    ciphers: BOTH_CIPHERS,
    entities: { 'client.john': entity(strong, caps) },
  });
  const asAes = new CryptoKey(1, strong.created, strong.secret.subarray(0, 16));
  expect((await logIn(other.handler, rng, 'client.john', asAes)).status).toBe(EACCES);
});

describe('altered aes tickets (CVE-2025-30156)', () => {
  test.each(['pr71231-order', 'strict'] as const)(
    'no flipped bit turns allow_all on (%s)',
    async (plausibility) => {
      const { rig, john } = await rigOf('aes');
      const login = await logIn(rig.handler, rng, 'client.john', john);
      const osd = osdOf(login.services);
      let accepted = 0;
      for (let bit = 0; bit < osd.blob.blob.length * 8; bit++) {
        const blob = osd.blob.blob.slice();
        blob[bit >> 3]! ^= 1 << (bit & 7);
        const altered = { ...osd, blob: { ...osd.blob, blob } };
        const authorizer = authorizerOf(altered, login.globalId, rng);
        const request = { service: 4, authorizer, challenge: { mode: 'off' } } as const;
        const host = { nowNs: rig.nowNs, policy: { plausibility } };
        const verdict = rig.engine.verify(request, host);
        if (!verdict.decision) continue;
        accepted += 1;
        expect([verdict.allowAll, verdict.entityId, verdict.caps]).toEqual([
          ...[false, 'john', 'allow r'],
        ]);
      }
      // What is left: bits of the padding, where the policy does not look at it.
      expect(accepted).toBeLessThan(plausibility === 'strict' ? 1 : 129);
    },
  );

  test('no flipped bit of an AUTH ticket makes somebody else of its owner', async () => {
    const { rig, john } = await rigOf('aes');
    const login = await logIn(rig.handler, rng, 'client.john', john);
    const { auth, globalId } = login;
    for (let bit = 0; bit < auth.blob.blob.length * 8; bit++) {
      const blob = auth.blob.blob.slice();
      blob[bit >> 3]! ^= 1 << (bit & 7);
      for (const id of [globalId, globalId ^ (1n << BigInt(bit & 63))]) {
        const owner = { globalId: id, serviceId: AUTH, sessionKey: auth.sessionKey };
        const altered = { ...owner, blob: { ...auth.blob, blob } };
        const nonce = randomU64(rng.random);
        const authorizer = buildAuthorizer(twinSealer, altered, nonce, rng.random);
        const { status, payload } = await ask(rig, GET_PRINCIPAL_SESSION_KEY, authorizer);
        if (status !== 0) continue;
        const reader = new Reader(payload.subarray(6));
        const osd = osdOf(openTicketReply(twinSealer, auth.sessionKey, reader));
        const secret = rig.keyServer
          .held('osd')
          .find((each) => each.secretId === osd.blob.secretId)!;
        const { ticket } = openServiceTicket(twinSealer, secret.key, osd.blob.blob);
        expect([ticket.name.id, ticket.globalId]).toEqual(['john', globalId]);
      }
    }
  });

  test('no flipped bit of an AUTH ticket claims the global_id of somebody else', async () => {
    const key = freshKey('aes', rng);
    // With 13 characters the global_id begins a cipher block, the one before holds the name.
    const name = 'client.thirteen-char';
    const ciphers = { ...BOTH_CIPHERS, service: 'aes' };
    const rig = await Rig.create({ ciphers, entities: { [name]: entity(key, caps) } });
    const { auth, globalId } = await logIn(rig.handler, rng, name, key);
    for (let bit = 0; bit < 64; bit++) {
      const blob = auth.blob.blob.slice();
      blob[16 + (bit >> 3)]! ^= 1 << (bit & 7);
      const options = {
        globalId: globalId ^ (1n << BigInt(bit)),
        oldTicket: { ...auth.blob, blob },
      };
      const { status } = await logIn(rig.handler, rng, name, key, options);
      expect([bit, status]).toEqual([bit, EACCES]);
    }
  });
});
