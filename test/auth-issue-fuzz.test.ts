/** Any bytes to the issuing side give an answer with a status of cephx; none throws. */

import { expect, test } from 'vitest';
import { Reader } from '../src/cephx/denc.ts';
import {
  decodeResponseHeader,
  GET_PRINCIPAL_SESSION_KEY,
  GET_ROTATING_KEY,
} from '../src/cephx/protocol.ts';
import {
  authenticateBytes,
  authorizerOf,
  CONTEXT,
  helloBytes,
  logIn,
  requestBytes,
} from './auth-issue-client.ts';
import { BOTH_CIPHERS, entity, freshKey, Rig } from './auth-issue-kit.ts';
import { Rng, seedOf } from './rng.ts';

const SEED = seedOf(71);
const STATUSES = [0, -1, -5, -13, -22];

test.each(['aes', 'aes256k'] as const)('altered requests of an %s daemon', async (type) => {
  const rng = new Rng(SEED);
  const key = freshKey(type, rng);
  const caps = { mon: 'allow profile osd', osd: 'allow *' };
  const ciphers = { ...BOTH_CIPHERS, service: type };
  const rig = await Rig.create({ ciphers, entities: { 'osd.0': entity(key, caps) } });
  const seen = new Map<number, number>();
  const login = await logIn(rig.handler, rng, 'osd.0', key);
  const claim = { globalId: login.globalId, oldTicket: login.auth.blob };
  for (let i = 0; i < 3000; i++) {
    const hello = rig.handler.hello(helloBytes('osd.0', rng.chance(0.5) ? login.globalId : 0n))!;
    const { exchange } = hello;
    const authorizer = authorizerOf(login.auth, login.globalId, rng);
    const whole = rng.pick([
      () => authenticateBytes(key, exchange.serverChallenge, rng, rng.chance(0.5) ? claim : {}),
      () => requestBytes(GET_PRINCIPAL_SESSION_KEY, authorizer, rng.u32()),
      () => requestBytes(GET_ROTATING_KEY, authorizer),
      () => rng.bytes(rng.int(200)),
    ])();
    const bytes = rng.chance(0.2) ? whole : altered(whole, rng);
    const { payload, status } = await rig.handler.request(bytes, exchange, CONTEXT);
    const header = decodeResponseHeader(new Reader(payload));
    expect(header.status).toBe(status);
    expect(STATUSES).toContain(status);
    if (status !== 0) expect(payload.length).toBe(6);
    seen.set(status, (seen.get(status) ?? 0) + 1);
  }
  expect([...seen.keys()].sort((a, b) => a - b)).toEqual([-22, -13, -1, 0]);
});

test('altered hellos and exchange tokens', async () => {
  const rng = new Rng(SEED);
  const rig = await Rig.create();
  const challenges = new Set<bigint>();
  let hellos = 0;
  for (let i = 0; i < 5000; i++) {
    const whole = helloBytes(`client.${'x'.repeat(rng.int(20))}`, rng.u64());
    const answer = rig.handler.helloWithToken(rng.chance(0.5) ? whole : altered(whole, rng));
    if (answer === undefined) continue;
    hellos += 1;
    challenges.add(new Reader(answer.payload.subarray(1)).u64());
    const at = rng.int(answer.token.length);
    const char = rng.pick([...'AZaz09+/= \n']);
    const token = answer.token.slice(0, at) + char + answer.token.slice(at + 1);
    const exchange = rig.handler.exchanges.take(token, rig.nowNs);
    if (token !== answer.token && !sameBits(token, answer.token)) expect(exchange).toBe(undefined);
  }
  expect(hellos).toBeGreaterThan(2500);
  expect(challenges.size).toBe(hellos);
  expect(challenges.has(0n)).toBe(false);
});

/** Base64 that differs only in the bits that padding leaves over. */
function sameBits(a: string, b: string): boolean {
  const bits = (text: string): string | undefined => {
    try {
      return atob(text);
    } catch {
      return undefined;
    }
  };
  return bits(a) === bits(b);
}

/** Bits flipped, cut, grown, or a length field replaced. */
function altered(bytes: Uint8Array, rng: Rng): Uint8Array {
  const out = Uint8Array.from([...bytes, ...rng.bytes(rng.chance(0.1) ? rng.int(20) : 0)]);
  for (let n = rng.int(4); n >= 0; n--) {
    if (out.length > 0) out[rng.int(out.length)]! ^= 1 << rng.int(8);
  }
  return rng.chance(0.3) ? out.subarray(0, rng.int(out.length + 1)) : out;
}
