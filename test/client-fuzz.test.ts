/**
 * Bytes from a hostile server, seeded: whatever comes in whatever state, the client does not throw
 * or hang, and nobody without the keys is authenticated. SEED gives another run.
 */

import { expect, it } from 'vitest';
import { sealAuthorizeChallenge, sealAuthorizeReply } from '../src/cephx/authorizer.ts';
import type { CephxClientHandler, ClientResult } from '../src/cephx/client.ts';
import type { CryptoKey, Sealer } from '../src/cephx/cryptokey.ts';
import { decode } from '../src/cephx/denc.ts';
import { decodeAuthorizer } from '../src/cephx/protocol.ts';
import type { ServiceAuthorizer } from '../src/cephx/ticketmanager.ts';
import { Engine } from '../src/engine/index.ts';
import { engineSealer } from '../src/sealer.ts';
import { freshKey } from './auth-issue-kit.ts';
import { AUTH, MGR, MON, makeHandler, OSD, Sidecar } from './client-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { toHex } from './twin/load.ts';

const CASES = 20_000;
const WANT = MON | OSD | MGR;
const CHALLENGE = Uint8Array.of(1, 7, 0, 0, 0, 0, 0, 0, 0);

/** One client key, what a genuine monitor once said to it, and the session keys in that. */
interface Genuine {
  readonly key: CryptoKey;
  readonly globalId: bigint;
  readonly sealer: Sealer;
  readonly login: Uint8Array;
  readonly tickets: Uint8Array;
  readonly rotating: Uint8Array;
  readonly sessionKeys: ReadonlySet<string>;
  readonly nowNs: bigint;
}

for (const type of ['aes', 'aes256k'] as const) {
  it(`${CASES / 2} cases with an ${type} key`, async () => {
    const rng = new Rng(seedOf(67));
    const genuine = await record(type);
    const tried: Record<string, number> = {};
    for (let i = 0; i < CASES / 2; i++) {
      const state = rng.pick(['challenge', 'login', 'tickets', 'rotating', 'service'] as const);
      const result = CASES_OF[state](genuine, rng);
      const outcome = `${state} ${result.ok ? 'ok' : 'refused'}`;
      tried[outcome] = (tried[outcome] ?? 0) + 1;
    }
    // Each state was met often, and refuses.
    for (const state of ['login', 'tickets', 'rotating', 'service']) {
      expect([state, tried[`${state} refused`]! > CASES / 20]).toEqual([state, true]);
    }
  }, 120_000);
}

type State = 'challenge' | 'login' | 'tickets' | 'rotating' | 'service';
type Case = (genuine: Genuine, rng: Rng) => ClientResult<unknown>;

const CASES_OF: Readonly<Record<State, Case>> = {
  /** A challenge is no proof: the most it gives is our answer. */
  challenge(genuine, rng) {
    const handler = client(genuine);
    handler.hello(WANT);
    const step = handler.receive(hostile(genuine, CHALLENGE, rng), { globalId: genuine.globalId });
    if (step.ok) expect(step.value.kind).toBe('send');
    expect(handler.tickets.list()).toEqual([]);
    return step;
  },
  login(genuine, rng) {
    const handler = client(genuine);
    handler.hello(WANT);
    handler.receive(CHALLENGE);
    const connection = rng.pick(['crc', 'secure'] as const);
    const payload = hostile(genuine, genuine.login, rng);
    const step = handler.receive(payload, { globalId: genuine.globalId, connection });
    holdsOnlyGenuine(handler, genuine, step);
    expect(handler.state).toBe(step.ok ? 'READY' : 'INIT');
    return step;
  },
  tickets(genuine, rng) {
    const handler = loggedIn(genuine);
    expect(handler.requestTickets(WANT).ok).toBe(true);
    const payload = hostile(genuine, genuine.tickets, rng);
    const before = handler.tickets.held(OSD);
    const step = handler.receive(payload);
    if (!step.ok) expect(handler.tickets.held(OSD)).toBe(before);
    holdsOnlyGenuine(handler, genuine, step);
    return step;
  },
  rotating(genuine, rng) {
    const handler = client(genuine);
    handler.requestRotating(false);
    const step = handler.receive(hostile(genuine, genuine.rotating, rng));
    if (step.ok) expect(step.value.kind).toBe('rotating');
    expect(handler.tickets.list()).toEqual([]);
    return step;
  },
  service(genuine, rng) {
    const { value: connection } = loggedIn(genuine).authorizer(OSD) as { value: ServiceAuthorizer };
    const { sealer } = genuine;
    const { sessionKey } = connection;
    connection.first();
    const challenge = sealAuthorizeChallenge(sealer, sessionKey, rng.u64(), rng.random);
    const sent = connection.answer(hostile(genuine, challenge, rng));
    const bytes = sent.ok ? sent.value : connection.first();
    const nonce = nonceIn(bytes, sessionKey, sealer);
    const made = sealAuthorizeReply(sealer, sessionKey, nonce, new Uint8Array(0), rng.random);
    const stale = sealAuthorizeReply(sealer, sessionKey, nonce + 2n, new Uint8Array(0), rng.random);
    const payload = hostile(genuine, rng.chance(0.3) ? stale : made, rng);
    const result = connection.verifyReply(payload, { secure: false });
    // Only the genuine bytes, with something behind them at most, prove anything.
    const isGenuine = toHex(payload).startsWith(toHex(made));
    expect([result.ok && !isGenuine, connection.isProved]).toEqual([false, result.ok]);
    return result;
  },
};

/**
 * Nobody but the monitor chose a session key that we hold. Without a MAC that of a service can be
 * spoiled, which is no gain, as it is nobody's; the AUTH key is confirmed by what is sealed under
 * it.
 */
function holdsOnlyGenuine(
  handler: CephxClientHandler,
  genuine: Genuine,
  step: ClientResult<unknown>,
): void {
  for (const { serviceId, sessionKey } of handler.tickets.list()) {
    if (genuine.key.typeName === 'aes' && serviceId !== AUTH) continue;
    const isKnown = genuine.sessionKeys.has(toHex(sessionKey.secret));
    expect([step, isKnown]).toEqual([step, true]);
  }
}

/** Random bytes, or genuine ones that were altered, cut, stretched, or meant for another moment. */
function hostile(genuine: Genuine, message: Uint8Array, rng: Rng): Uint8Array {
  const kind = rng.int(10);
  if (kind === 0) return rng.bytes(rng.int(400));
  const from = kind === 1 ? rng.pick([genuine.login, genuine.tickets, genuine.rotating]) : message;
  const bytes = from.slice();
  if (kind === 2) return bytes.subarray(0, rng.int(bytes.length));
  if (kind === 3) {
    const at = rng.int(bytes.length + 1);
    return Uint8Array.from([...bytes.subarray(0, at), ...rng.bytes(17), ...bytes.subarray(at)]);
  }
  if (kind === 4) {
    const view = new DataView(bytes.buffer);
    const at = rng.int(Math.max(1, bytes.length - 4));
    if (at + 4 <= bytes.length)
      view.setUint32(at, rng.pick([0, 1, 0xffff, 2 ** 31, 2 ** 32 - 1]), true);
    return bytes;
  }
  if (kind === 5) {
    const other = rng.pick([genuine.login, genuine.tickets, genuine.rotating]);
    const at = rng.int(Math.min(bytes.length, other.length));
    return Uint8Array.from([...bytes.subarray(0, at), ...other.subarray(at)]);
  }
  for (let n = 1 + rng.int(8); n > 0; n--) bytes[rng.int(bytes.length)]! ^= 1 << rng.int(8);
  return bytes;
}

function client({ key, sealer, nowNs }: Genuine): CephxClientHandler {
  return makeHandler('osd.0', key, () => nowNs, sealer);
}

function loggedIn(genuine: Genuine): CephxClientHandler {
  const handler = client(genuine);
  handler.hello(WANT);
  handler.receive(CHALLENGE);
  const step = handler.receive(genuine.login, { globalId: genuine.globalId });
  expect(step.ok).toBe(true);
  return handler;
}

async function record(type: 'aes' | 'aes256k'): Promise<Genuine> {
  const sidecar = await Sidecar.create(type);
  const key = sidecar.keys.osd ?? freshKey(type, sidecar.rig.rng);
  const sealer = engineSealer(await Engine.create({ preset: 'small' }));
  const { nowNs, handler: monitor } = sidecar.rig;
  const handler = makeHandler('osd.0', key, () => nowNs, sealer);
  const context = { connection: 'crc', source: 'test' } as const;
  const sessionKeys = new Set<string>();
  const noteKeys = (): void => {
    for (const each of handler.tickets.list()) sessionKeys.add(toHex(each.sessionKey.secret));
  };
  const hello = monitor.hello(handler.hello(WANT))!;
  const step = handler.receive(hello.payload);
  if (!step.ok || step.value.kind !== 'send') throw new Error('no authenticate');
  const login = await monitor.request(step.value.payload, hello.exchange, context);
  handler.receive(login.payload, { globalId: login.globalId });
  noteKeys();
  const ask = async (request: ClientResult<Uint8Array>): Promise<Uint8Array> => {
    const { payload, status } = await monitor.request(
      (request as { value: Uint8Array }).value,
      undefined,
      context,
    );
    expect([status, handler.receive(payload).ok]).toEqual([0, true]);
    return payload;
  };
  const tickets = await ask(handler.requestTickets(WANT));
  noteKeys();
  expect(handler.tickets.held(AUTH)).toBeDefined();
  const rotating = await ask(handler.requestRotating(true));
  const globalId = login.globalId!;
  return { key, globalId, sealer, login: login.payload, tickets, rotating, sessionKeys, nowNs };
}

function nonceIn(bytes: Uint8Array, key: CryptoKey, sealer: Sealer): bigint {
  const plaintext = sealer.open(key, 0x10, decode(decodeAuthorizer, bytes, 'reject').sealed)!;
  return new DataView(plaintext.buffer, plaintext.byteOffset).getBigUint64(10, true);
}
