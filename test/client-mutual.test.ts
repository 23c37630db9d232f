/**
 * Mutual proof in both directions: who is not the monitor, not the service or not the client,
 * fails. The other side is our own issuing side and our own core, with somebody in between.
 */

import { describe, expect, it } from 'vitest';
import { sealAuthorizeChallenge, sealAuthorizeReply } from '../src/cephx/authorizer.ts';
import type { CephxClientHandler, ClientResult } from '../src/cephx/client.ts';
import { type CryptoKey, ENVELOPE_MAGIC, encodeBase64 } from '../src/cephx/cryptokey.ts';
import { decode, encode, equalBytes, plusOne, Writer } from '../src/cephx/denc.ts';
import {
  decodeAuthorizer,
  encodeAuthorizer,
  NO_TICKET_BLOB,
  parseEntityName,
} from '../src/cephx/protocol.ts';
import { ServiceAuthorizer } from '../src/cephx/ticketmanager.ts';
import { freshKey } from './auth-issue-kit.ts';
import { AUTH, MON, makeHandler, OSD, rng, Sidecar } from './client-kit.ts';
import { bytesOf, newConnection } from './http-kit.ts';
import { aesSeal, twinSealer } from './twin/sealer.ts';

const CONTEXT = { connection: 'crc', source: 'test' } as const;
const REFUSED = { ok: false, reason: 'request.refused', status: -13 };

/** What went over the wire in one login with our own monitor. */
interface Login {
  readonly authenticate: Uint8Array;
  readonly reply: Uint8Array;
  readonly globalId: bigint;
  readonly serverChallenge: bigint;
}

async function login(sidecar: Sidecar, handler: CephxClientHandler, want: number): Promise<Login> {
  const monitor = sidecar.rig.handler;
  const hello = monitor.hello(handler.hello(want))!;
  const step = handler.receive(hello.payload);
  if (!step.ok || step.value.kind !== 'send') throw new Error('no authenticate');
  const authenticate = step.value.payload;
  const answer = await monitor.request(authenticate, hello.exchange, CONTEXT);
  const { serverChallenge } = hello.exchange;
  const globalId = answer.globalId ?? 0n;
  return { authenticate, reply: answer.payload, globalId, serverChallenge };
}

/** A client that waits for the reply to its login. */
function waiting(key: CryptoKey, sidecar: Sidecar, want = MON | OSD): CephxClientHandler {
  const handler = makeHandler('client.john', key, () => sidecar.rig.nowNs);
  handler.hello(want);
  handler.receive(Uint8Array.of(1, 7, 0, 0, 0, 0, 0, 0, 0));
  expect(handler.state).toBe('WAIT_TICKET');
  return handler;
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at]! ^= 1 << rng.int(8);
  return copy;
}

function sameKeys(a: CephxClientHandler, b: CephxClientHandler): boolean {
  return [AUTH, MON, OSD].every((id) => {
    const [left, right] = [a.tickets.held(id), b.tickets.held(id)];
    return left === undefined || equalBytes(left.sessionKey.secret, right!.sessionKey.secret);
  });
}

function reasonOf(result: ClientResult<unknown>): string {
  return result.ok ? 'ok' : result.reason;
}

/** Shows an authorizer to the node without a challenge: how far it gets. */
async function shown(sidecar: Sidecar, authorizer: Uint8Array): Promise<string> {
  const request = { service: 'osd', peer: '192.0.2.7', connection: newConnection() };
  const node = sidecar.node();
  const verdict = await node.verify({ ...request, authorizer: encodeBase64(authorizer) });
  expect(verdict.decision).toBe(false);
  return verdict.reason.code;
}

for (const type of ['aes', 'aes256k'] as const) {
  describe(`a forged monitor, ${type}`, () => {
    it('does not know the key of the client', async () => {
      const sidecar = await Sidecar.create(type);
      const other = freshKey(type, rng);
      const { reply, globalId } = await login(sidecar, sidecar.client().handler, OSD);
      const victim = waiting(other, sidecar);
      const step = victim.receive(reply, { globalId });
      expect(reasonOf(step)).toBe(type === 'aes' ? 'envelope.magic' : 'ciphertext.mac');
      expect([victim.state, victim.tickets.list()]).toEqual(['INIT', []]);
    });

    it('cannot alter a byte: refused, without effect, or the service refuses', async () => {
      const sidecar = await Sidecar.create(type);
      const key = sidecar.keys.john!;
      const genuine = waiting(key, sidecar);
      const { reply, globalId } = await login(sidecar, sidecar.client().handler, MON | OSD);
      expect(genuine.receive(reply, { globalId }).ok).toBe(true);
      const seen = { refused: 0, same: 0, useless: 0 };
      for (let at = 0; at < reply.length; at++) {
        const victim = waiting(key, sidecar);
        const step = victim.receive(flipped(reply, at), { globalId });
        if (!step.ok) {
          expect([at, victim.state]).toEqual([at, 'INIT']);
          seen.refused += 1;
          continue;
        }
        expect([at, sameKeys(victim, genuine)]).toEqual([at, true]);
        const [altered, held] = [victim, genuine].map((each) => each.tickets.held(OSD));
        const isSame =
          altered?.blob.secretId === held!.blob.secretId &&
          equalBytes(altered.blob.blob, held!.blob.blob);
        if (isSame || altered === undefined) seen.same += 1;
        else {
          const authorizer = victim.authorizer(OSD);
          const code = authorizer.ok ? await shown(sidecar, authorizer.value.first()) : '';
          expect(code).toMatch(/^authorizer\.(invalid|secret_unknown)$|^ticket\./);
          seen.useless += 1;
        }
      }
      expect(seen.refused).toBeGreaterThan(reply.length / 4);
      expect(seen.refused + seen.same + seen.useless).toBe(reply.length);
    });

    it('cannot use a recorded conversation again', async () => {
      const sidecar = await Sidecar.create(type);
      const key = sidecar.keys.john!;
      const first = makeHandler('client.john', key, () => sidecar.rig.nowNs);
      const recorded = await login(sidecar, first, OSD);
      first.receive(recorded.reply, recorded);
      const { value: connection } = first.authorizer(OSD) as { value: ServiceAuthorizer };
      const { nonce } = nonceOf(connection.first(), first);
      const reply = sealAuthorizeReply(
        twinSealer,
        connection.sessionKey,
        nonce,
        new Uint8Array(0),
        rng.random,
      );
      expect(connection.verifyReply(reply, { secure: false }).ok).toBe(true);

      // The same client again: it knows the key of the recording.
      first.hello(OSD);
      first.receive(Uint8Array.of(1, 7, 0, 0, 0, 0, 0, 0, 0));
      expect(reasonOf(first.receive(recorded.reply, recorded))).toBe('reply.replayed');
      // Another one does not: it takes the tickets, but nobody can prove anything with them.
      const victim = waiting(key, sidecar);
      expect(victim.receive(recorded.reply, recorded).ok).toBe(true);
      const { value: attacked } = victim.authorizer(OSD) as { value: ServiceAuthorizer };
      attacked.first();
      expect(reasonOf(attacked.verifyReply(reply, { secure: false }))).toBe('reply.nonce');
      expect(attacked.isProved).toBe(false);
    });

    it('cannot answer with a challenge of zero, another type, or out of turn', async () => {
      const sidecar = await Sidecar.create(type);
      const { handler } = sidecar.client();
      handler.hello();
      expect(reasonOf(handler.receive(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0)))).toBe(
        'challenge.zero',
      );
      const { reply, globalId } = await login(sidecar, handler, OSD);
      expect(handler.receive(reply, { globalId }).ok).toBe(true);
      expect(reasonOf(handler.receive(reply, { globalId }))).toBe('state.unexpected');
      expect(handler.requestTickets(OSD).ok).toBe(true);
      expect(reasonOf(handler.receive(reply, { globalId }))).toBe('reply.type');
      expect(handler.state).toBe('READY');
    });

    it('cannot leave the connection secret out, nor put one in', async () => {
      const sidecar = await Sidecar.create(type);
      const { reply, globalId } = await login(sidecar, sidecar.client().handler, OSD);
      const victim = waiting(sidecar.keys.john!, sidecar);
      const step = victim.receive(reply, { globalId, connection: 'secure' });
      expect(reasonOf(step)).toBe('reply.connection_secret');
      expect(victim.tickets.list()).toEqual([]);
    });
  });

  describe(`a forged service, ${type}`, () => {
    const sessionKey = freshKey(type, rng);
    const blob = { secretId: 2n, blob: rng.bytes(80) };
    const ticket = { globalId: 4153n, serviceId: OSD, sessionKey, blob };
    const secret = rng.bytes(64);
    const crc = { secure: false };
    const sealed = (
      nonce: bigint,
      by = sessionKey,
      held: Uint8Array = new Uint8Array(0),
    ): Uint8Array => sealAuthorizeReply(twinSealer, by, nonce, held, rng.random);
    const open = (): { connection: ServiceAuthorizer; nonce: bigint; bytes: Uint8Array } => {
      const connection = new ServiceAuthorizer(twinSealer, ticket, rng.random);
      const bytes = connection.first();
      return { connection, bytes, ...nonceIn(bytes, sessionKey) };
    };

    it('proves itself with the nonce plus one, once', () => {
      const { connection, nonce } = open();
      expect(connection.verifyReply(sealed(nonce), crc).ok).toBe(true);
      expect(connection.isProved).toBe(true);
      expect(reasonOf(connection.verifyReply(sealed(nonce), crc))).toBe('state.unexpected');
    });

    it.each([
      ['another nonce', (nonce: bigint) => sealed(nonce ^ 1n), 'reply.nonce'],
      ['the nonce itself', (nonce: bigint) => sealed(nonce - 1n), 'reply.nonce'],
      ['the nonce plus two', (nonce: bigint) => sealed(nonce + 1n), 'reply.nonce'],
      ['the key of another session', (nonce: bigint) => sealed(nonce, freshKey(type, rng)), ''],
      ['our own authorizer', (_: bigint, sent: Uint8Array) => partB(sent), ''],
      ['a secret where none belongs', (nonce: bigint) => sealed(nonce, sessionKey, secret), ''],
      ['nothing', () => new Uint8Array(0), 'decode.truncated'],
    ])('fails with %s', (_, forge, reason) => {
      const { connection, nonce, bytes } = open();
      const result = connection.verifyReply(forge(BigInt.asUintN(64, nonce), bytes), crc);
      expect([result.ok, connection.isProved]).toEqual([false, false]);
      if (reason !== '') expect(reasonOf(result)).toBe(reason);
    });

    it('fails with any bit flipped', () => {
      const { nonce } = open();
      const genuine = sealed(nonce);
      for (let bit = 0; bit < genuine.length * 8; bit++) {
        const { connection, nonce: mine } = open();
        const altered = sealed(mine);
        altered[bit >> 3]! ^= 1 << (bit & 7);
        expect([bit, connection.verifyReply(altered, crc).ok]).toEqual([bit, false]);
        expect(connection.isProved).toBe(false);
      }
    });

    it('cannot have another secret than the service, with any byte flipped', () => {
      const lengths = sealed(0n, sessionKey, secret).length;
      let accepted = 0;
      for (let at = 0; at < lengths; at++) {
        const { connection, nonce } = open();
        const altered = flipped(sealed(nonce, sessionKey, secret), at);
        const result = connection.verifyReply(altered, { secure: true });
        if (!result.ok) continue;
        accepted += 1;
        // Under `aes` it can be spoiled: then the two sides have nothing in common.
        expect([type, equalBytes(result.value, secret)]).toEqual(['aes', false]);
      }
      expect(accepted > 0).toBe(type === 'aes');
    });

    it('gives one challenge, and the answer has a new nonce', () => {
      const { connection, nonce } = open();
      const challenge = sealAuthorizeChallenge(twinSealer, sessionKey, 2n ** 64n - 1n, rng.random);
      const answer = connection.answer(challenge);
      if (!answer.ok) throw new Error(answer.reason);
      const second = nonceIn(answer.value, sessionKey);
      expect([second.plusOne, second.nonce === nonce]).toEqual([0n, false]);
      expect(reasonOf(connection.answer(challenge))).toBe('challenge.repeated');
      const stale = open();
      stale.connection.answer(challenge);
      expect(reasonOf(stale.connection.verifyReply(sealed(stale.nonce), crc))).toBe('reply.nonce');
      expect(connection.verifyReply(sealed(second.nonce), crc).ok).toBe(true);
    });

    it('cannot make a challenge without the session key', () => {
      const { connection } = open();
      for (const forged of [
        sealAuthorizeChallenge(twinSealer, freshKey(type, rng), 5n, rng.random),
        Uint8Array.of(1, 5, 0, 0, 0, 0, 0, 0, 0),
        new Uint8Array(70_000),
      ]) {
        expect(connection.answer(forged).ok).toBe(false);
      }
    });
  });

  describe(`a forged client, ${type}`, () => {
    it('without the key, or with a proof seen elsewhere, gets no ticket', async () => {
      const sidecar = await Sidecar.create(type);
      const forged = makeHandler('client.john', freshKey(type, rng), () => sidecar.rig.nowNs);
      const { reply } = await login(sidecar, forged, OSD);
      expect(forged.receive(reply, { globalId: 4097n })).toEqual(REFUSED);
      const { authenticate } = await login(sidecar, sidecar.client().handler, OSD);
      const monitor = sidecar.rig.handler;
      const hello = monitor.hello(sidecar.client().handler.hello())!;
      const answer = await monitor.request(authenticate, hello.exchange, CONTEXT);
      expect([answer.status, answer.payload.length]).toEqual([-13, 6]);
    });

    it('with any bit of the proof flipped gets no ticket', async () => {
      const sidecar = await Sidecar.create(type);
      const { handler } = sidecar.client();
      const { authenticate, serverChallenge } = await login(sidecar, handler, OSD);
      const name = parseEntityName('client.john')!;
      const exchange = { name, globalId: 0n, serverChallenge };
      const ask = (bytes: Uint8Array) => sidecar.rig.handler.request(bytes, exchange, CONTEXT);
      expect((await ask(authenticate)).status).toBe(0);
      // The challenge of the client and its proof stand behind header and version.
      for (let bit = 24; bit < 24 + 128; bit++) {
        const altered = authenticate.slice();
        altered[bit >> 3]! ^= 1 << (bit & 7);
        expect([bit, (await ask(altered)).status]).toEqual([bit, -13]);
      }
    });

    it('with a stolen ticket, another ticket, or a recorded answer is no client', async () => {
      const sidecar = await Sidecar.create(type);
      const [john, jane] = [sidecar.client(), sidecar.client()];
      for (const client of [john, jane]) expect((await client.login(OSD)).ok).toBe(true);
      const [own, other] = [john, jane].map(({ handler }) => handler.tickets.held(OSD)!);
      const { globalId } = john.handler.tickets;
      const made = (part: object): Uint8Array => {
        const whole = { ...own!, globalId, ...part };
        return new ServiceAuthorizer(twinSealer, whole, rng.random).first();
      };
      expect(await shown(sidecar, made({}))).toBe('authorizer.challenge_required');
      expect(await shown(sidecar, made({ sessionKey: freshKey(type, rng) }))).toBe(
        'authorizer.invalid',
      );
      expect(await shown(sidecar, made({ blob: other!.blob }))).toBe('authorizer.invalid');
      expect(await shown(sidecar, made({ globalId: globalId + 1n }))).toBe('authorizer.invalid');
      const theirs = decode(decodeAuthorizer, made({}), 'reject');
      const spliced = { ...theirs, sealed: partBOf(made({ sessionKey: other!.sessionKey })) };
      expect(await shown(sidecar, encode(encodeAuthorizer, spliced))).toBe('authorizer.invalid');
    });

    it('that answers the challenge of another connection is refused', async () => {
      const sidecar = await Sidecar.create(type);
      const client = sidecar.client();
      await client.login(OSD);
      const node = sidecar.node();
      const connect = async () => {
        const { value } = (await client.authorizer(OSD)) as { value: ServiceAuthorizer };
        const base = { service: 'osd', peer: '192.0.2.7', connection: newConnection() };
        const asked = await node.verify({ ...base, authorizer: encodeBase64(value.first()) });
        const answer = value.answer(bytesOf(asked.challenge as string));
        if (!answer.ok) throw new Error(answer.reason);
        const { challenge_state } = asked;
        return { base, challenge_state, authorizer: encodeBase64(answer.value) };
      };
      const [recorded, live] = [await connect(), await connect()];
      const { base, challenge_state } = live;
      const { authorizer } = recorded;
      const replayed = await node.verify({ ...base, challenge_state, authorizer });
      expect([replayed.decision, replayed.reply]).toEqual([false, undefined]);
    });
  });
}

it('an aes reply whose last block only has the right nonce is no proof', () => {
  const sessionKey = freshKey('aes', rng);
  const ticket = { globalId: 1n, serviceId: OSD, sessionKey, blob: NO_TICKET_BLOB };
  const connection = new ServiceAuthorizer(twinSealer, ticket, rng.random);
  const { nonce } = nonceIn(connection.first(), sessionKey);
  const object = new Writer().u8(1).u64(plusOne(nonce)).finish();
  const plaintext = new Writer().u8(1).u64(ENVELOPE_MAGIC).bytes(object);
  // What altering the last block comes to, once in 65,536 times: padding that is none.
  plaintext.bytes(rng.bytes(13)).u8(14);
  const ciphertext = aesSeal(sessionKey.secret, plaintext.finish()).subarray(0, 32);
  const reply = new Writer().bl(ciphertext).finish();
  const result = connection.verifyReply(reply, { secure: false });
  expect([result, connection.isProved]).toEqual([{ ok: false, reason: 'reply.form' }, false]);
});

/** What a service finds in an authorizer. */
function nonceIn(bytes: Uint8Array, key: CryptoKey): { nonce: bigint; plusOne: bigint } {
  const plaintext = twinSealer.open(key, 0x10, partBOf(bytes))!;
  const view = new DataView(plaintext.buffer, plaintext.byteOffset);
  return { nonce: view.getBigUint64(10, true), plusOne: view.getBigUint64(19, true) };
}

function nonceOf(bytes: Uint8Array, handler: CephxClientHandler): { nonce: bigint } {
  return nonceIn(bytes, handler.tickets.held(OSD)!.sessionKey);
}

/** The sealed CephXAuthorize, without its length. */
function partBOf(bytes: Uint8Array): Uint8Array {
  return decode(decodeAuthorizer, bytes, 'reject').sealed;
}

/** The sealed CephXAuthorize with its length: the form that a reply has. */
function partB(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(bytes.length - partBOf(bytes).length - 4);
}
