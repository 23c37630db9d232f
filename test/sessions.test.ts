/** Sessions: handles, ages, peers, eviction, revocation, signatures. */

import { beforeEach, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import {
  encodeMessageBlock,
  handshakeSignature,
  messageSignature,
} from '../src/cephx/signature.ts';
import { type Address, Engine, type Policy, type Verdict } from '../src/engine/index.ts';
import { HOUR_NS, makeSecret, makeTicket, NOW_NS, type TicketOptions } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';
import { twinSealer } from './twin/sealer.ts';

const OSD = abi.ENTITY_TYPE_OSD;
const rng = new Rng(seedOf(11));
const { key: secret, encoded } = makeSecret('aes256k', rng.random);
const HOST = { nowNs: NOW_NS };
const OP = { pool: 'liverpool', object: 'o', read: true };
const PEER: Address = { family: 4, bytes: Uint8Array.of(192, 0, 2, 7) };

let engine: Engine;

beforeEach(async () => {
  engine = await Engine.create({ preset: 'small' });
  engine.putSecret({ service: OSD, secretId: 2n, key: encoded });
});

function open(options: TicketOptions = {}, peer?: Address): Verdict {
  const authorizer = makeTicket(secret, rng.random, options).authorizer();
  const challenge = { mode: 'off' } as const;
  const verdict = engine.verify({ service: OSD, authorizer, challenge, session: true, peer }, HOST);
  expect(verdict.reason).toBe('ok');
  return verdict;
}

function check(handle: bigint, at = NOW_NS, policy: Partial<Policy> = {}, peer?: Address): Verdict {
  return engine.check({ service: OSD, handle, op: OP, peer }, { nowNs: at, policy });
}

describe('handles', () => {
  it('answer until released, never after', () => {
    const { handle } = open();
    expect(check(handle).decision).toBe(true);
    expect(engine.sessionRelease(handle)).toBe(true);
    expect(check(handle).reason).toBe('session.unknown');
    expect(engine.sessionRelease(handle)).toBe(false);
    const again = open().handle;
    expect(again & 0xffffffffn).toBe(handle & 0xffffffffn);
    expect(again).not.toBe(handle);
    expect(check(handle).reason).toBe('session.unknown');
  });

  it('that were never given are unknown', () => {
    for (const handle of [0n, 1n, 0xffffffffffffffffn, 0x80000001n, 1n << 32n, 0x1_00000200n]) {
      expect(check(handle).reason).toBe('session.unknown');
    }
  });

  it('belong to their service', () => {
    const { handle } = open();
    const op = {
      ...{ path: '', inodeUid: 0, inodeGid: 0, inodeMode: 0 },
      callerUid: 0,
      callerGid: 0,
    };
    const request = { service: abi.ENTITY_TYPE_MDS, handle, op: { ...op, mask: 1 } };
    expect(engine.check(request, HOST).reason).toBe('session.unknown');
  });

  it('give way when the table is full, those not used of late first', () => {
    const first = open().handle;
    const max = engine.layout.getUint32(abi.LAYOUT_SESSIONS_MAX, true);
    const others = Array.from({ length: max - 1 }, () => open().handle);
    const last = open().handle;
    expect(check(last).decision).toBe(true);
    expect([first, ...others].filter((each) => check(each).decision)).toHaveLength(max - 1);
  });
});

describe('time', () => {
  it('ends a session with its ticket and skew, to the nanosecond', () => {
    const { handle } = open();
    const end = NOW_NS + HOUR_NS + 300_000_000_000n;
    expect(check(handle, end - 1n).decision).toBe(true);
    expect(check(handle, end).reason).toBe('session.expired');
    expect(check(handle, end, { skewNs: 300_000_000_001n }).decision).toBe(true);
    expect(check(handle, end, { sessionLifetime: 'connection' }).decision).toBe(true);
  });

  it('ends a session at its greatest age', () => {
    const { handle } = open();
    const policy = { sessionMaxAgeNs: 60_000_000_000n };
    expect(check(handle, NOW_NS + 59_999_999_999n, policy).decision).toBe(true);
    expect(check(handle, NOW_NS + 60_000_000_000n, policy).reason).toBe('session.expired');
  });
});

describe('peers', () => {
  it('are the session’s own', () => {
    const { handle } = open({}, PEER);
    expect(check(handle).decision).toBe(true);
    expect(check(handle, NOW_NS, {}, PEER).decision).toBe(true);
    const other: Address = { family: 4, bytes: Uint8Array.of(192, 0, 2, 8) };
    expect(check(handle, NOW_NS, {}, other).reason).toBe('session.peer_mismatch');
    const v6: Address = { family: 6, bytes: new Uint8Array(16) };
    expect(check(handle, NOW_NS, {}, v6).reason).toBe('session.peer_mismatch');
  });

  it('decide network-limited grants', () => {
    const caps = 'allow r network 192.0.2.0/24';
    expect(check(open({ caps }, PEER).handle).decision).toBe(true);
    expect(check(open({ caps }).handle).reason).toBe('caps.network_mismatch');
  });
});

describe('caps', () => {
  it('may be missing, unparsable, or overridden by allow_all', () => {
    expect(check(open({ caps: null }).handle).reason).toBe('caps.none');
    expect(check(open({ caps: 'no caps' }).handle).reason).toBe('caps.unparsable');
    expect(check(open({ caps: '' }).handle).reason).toBe('caps.unparsable');
    expect(check(open({ caps: 'no caps', allowAll: true }).handle).decision).toBe(true);
    expect(check(open({ caps: 'allow r pool=other' }).handle).reason).toBe(
      'caps.no_matching_grant',
    );
  });
});

describe('revocation', () => {
  it('denies an entity, a global_id, or what is older than a time, and can be lifted', () => {
    const { handle } = open();
    const subjects = [{ entity: { type: 8, id: 'john' } }, { globalId: 4153n }] as const;
    for (const subject of subjects) {
      engine.revoke('deny', subject);
      expect(check(handle).reason).toBe('ticket.revoked');
      engine.revoke('lift', subject);
      expect(check(handle).decision).toBe(true);
    }
    const others = [subjects[0], { service: OSD }, 'all'] as const;
    for (const subject of others) {
      engine.revoke('not_before', subject, NOW_NS - 300_000_000_000n);
      expect(check(handle).decision).toBe(true);
      engine.revoke('not_before', subject, NOW_NS - 300_000_000_000n + 1n);
      expect(check(handle).reason).toBe('ticket.revoked');
      engine.revoke('clear', 'all');
    }
    expect(check(handle).decision).toBe(true);
  });

  it('does not touch others, and takes only what it can do', () => {
    engine.revoke('deny', { entity: { type: 8, id: 'paul' } });
    expect(check(open().handle).decision).toBe(true);
    expect(() => engine.revoke('deny', 'all')).toThrow(RangeError);
    const id = 'x'.repeat(129);
    expect(() => engine.revoke('deny', { entity: { type: 8, id } })).toThrow(RangeError);
  });

  it('holds many subjects and says when it is full', () => {
    const deny = (i: number): void => engine.revoke('deny', { globalId: BigInt(i) });
    const denied = open({ globalId: 1_000_100n });
    expect(check(denied.handle).reason).toBe('ok');
    for (let i = 0; i < (abi.REVOCATIONS_MAX * 3) / 4; i++) deny(i + 1_000_000);
    expect(() => deny(1)).toThrow(RangeError);
    expect(check(denied.handle).reason).toBe('ticket.revoked');
    expect(check(open({ globalId: 999_999n }).handle).reason).toBe('ok');
  });
});

describe('signatures', () => {
  it.each(['aes', 'aes256k'] as const)('are those of src/cephx, session key %s', (sessionType) => {
    const ticket = makeTicket(secret, rng.random, { sessionType });
    const request = {
      ...{ service: OSD, authorizer: ticket.authorizer(), session: true },
      challenge: { mode: 'off' } as const,
    };
    const { handle } = engine.verify(request, HOST);
    const bytes = rng.bytes(300);
    const signed = engine.sign(OSD, handle, 'msgr2-auth', bytes, HOST);
    expect(signed.reply).toEqual(handshakeSignature(twinSealer, ticket.sessionKey, bytes));
    const verify = (signature: Uint8Array): string =>
      engine.signVerify(OSD, handle, 'msgr2-auth', bytes, signature, HOST).reason;
    expect(verify(signed.reply as Uint8Array)).toBe('ok');
    const flipped = (signed.reply as Uint8Array).slice();
    flipped[31] = (flipped[31] as number) ^ 1;
    expect(verify(flipped)).toBe('signature.mismatch');
    expect(verify(flipped.subarray(0, 31))).toBe('signature.mismatch');
    expect(verify(new Uint8Array(0))).toBe('signature.mismatch');
    const [headerCrc, frontCrc, frontLen, middleCrc, middleLen, dataCrc, dataLen] = Array.from(
      { length: 7 },
      () => rng.u32(),
    ) as [number, number, number, number, number, number, number];
    const numbers = { headerCrc, frontCrc, frontLen, middleCrc, middleLen, dataCrc, dataLen };
    const block = { ...numbers, seq: BigInt(rng.u32()) };
    const msgr1 = engine.sign(OSD, handle, 'msgr1', encodeMessageBlock(block), HOST);
    expect(msgr1.reason).toBe(sessionType === 'aes' ? 'ok' : 'signature.unsupported');
    const given = msgr1.reply && new DataView(msgr1.reply.slice().buffer).getBigUint64(0, true);
    expect(given).toBe(messageSignature(twinSealer, ticket.sessionKey, block));
  });
});
