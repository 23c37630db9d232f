/**
 * The core at its bounds: what lies behind an input is not read, times compare at the ends of 64
 * bits, each limit is a verdict, and compiled caps take no more than their region.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { buildAuthorizer } from '../src/cephx/authorizer.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { encode, type Utime } from '../src/cephx/denc.ts';
import { capsBuffer } from '../src/cephx/protocol.ts';
import { sealServiceTicket } from '../src/cephx/ticket.ts';
import { Engine, type HostContext, type MdsOp, type OsdOp } from '../src/engine/index.ts';
import { embedded } from '../src/engine/wasm.ts';
import { makeSecret } from './authorizers.ts';
import { bytesOf, mdsText, osdText } from './caps-texts.ts';
import { makeInput, makePolicy, makeSecrets } from './fuzz/corpus.ts';
import { Rng, seedOf } from './rng.ts';
import { twinSealer } from './twin/sealer.ts';
import { type TwinPolicy, verify } from './twin/verify.ts';

const seed = seedOf(91);
const { ENTITY_TYPE_OSD: OSD, ENTITY_TYPE_MDS: MDS } = abi;
const HOST: HostContext = { nowNs: 1n };
const relaxed = WebAssembly.validate(await embedded('relaxed'));
const builds = ['simd', 'plain', ...(relaxed ? (['relaxed'] as const) : [])] as const;

describe.each(builds)('the %s build', (build) => {
  it(`answers the same whatever lies behind the input (seed ${seed})`, async () => {
    const rng = new Rng(seed);
    const engine = await Engine.create({ build, preset: 'small', random: (into) => into.fill(9) });
    const secrets = makeSecrets(rng);
    for (const { service, secretId, key, expiresNs } of secrets) {
      engine.putSecret({ service, secretId, key: encode(CryptoKey.encode, key), expiresNs });
    }
    const policies = Array.from({ length: 20 }, () => makePolicy(rng));
    const behind = (fill: number): void => {
      const { layout, memory } = engine;
      const at = layout.getUint32(abi.LAYOUT_REQUEST, true);
      new Uint8Array(memory, at, layout.getUint32(abi.LAYOUT_REQUEST_LEN, true)).fill(fill);
    };
    // What was left by the other inputs is another one each time: it is part of what lies around.
    const ask = (once: () => Uint8Array): void => {
      const answers = [0x00, 0xff, 0x41].map((fill) => {
        behind(fill);
        return once().slice();
      });
      expect(answers[1]).toEqual(answers[0]);
      expect(answers[2]).toEqual(answers[0]);
    };
    for (let i = 0; i < 1_000; i++) {
      const { service, bytes, challenge, nowNs, policy } = makeInput(rng, secrets, policies);
      const given = challenge.mode === 'required' ? { ...challenge, value: 99n } : challenge;
      const { allowedTypes: _, ...rest } = policy;
      const request = { service, authorizer: bytes, challenge: given, secrets: true } as const;
      ask(() => engine.verify(request, { nowNs, policy: rest }).bytes);
      const text = bytesOf(i % 2 === 0 ? osdText(rng) : mdsText(rng));
      const cut = text.subarray(0, rng.chance(0.5) ? text.length : rng.int(text.length + 1));
      ask(() => engine.capsParse(i % 2 === 0 ? OSD : MDS, cut, HOST).bytes);
    }
  });
});

describe('times', () => {
  const ENDS = [0, 1, 299, 300, 301, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
  const U64_MAX = 0xffffffffffffffffn;

  it(`compare as 64 bits that do not wrap (seed ${seed})`, async () => {
    const rng = new Rng(seed + 1);
    const engine = await Engine.create({ preset: 'small' });
    const { key, encoded } = makeSecret('aes256k', rng.random);
    const secrets = [{ service: OSD, secretId: 2n, key }];
    engine.putSecret({ service: OSD, secretId: 2n, key: encoded });
    const ends = (): Utime => ({
      seconds: rng.pick(ENDS),
      nanoseconds: rng.pick([0, 1, 999_999_999, 1_000_000_000, 0xffffffff]),
    });
    const reasons = new Set<string>();
    for (let i = 0; i < 4_000; i++) {
      const [created, expires] = [ends(), ends()];
      const authorizer = authorizerOf(key, created, expires, rng);
      const edge = rng.pick([created, expires]);
      const at = BigInt(edge.seconds) * 1_000_000_000n + BigInt(edge.nanoseconds);
      const skewNs = rng.pick([0n, 1n, 300_000_000_000n, U64_MAX - 1n, U64_MAX]);
      const moved = at + rng.pick([-1n, 0n, 1n]) + rng.pick([0n, skewNs, -skewNs]);
      const nowNs = rng.pick([0n, 1n, U64_MAX, BigInt.asUintN(64, moved), clamp(moved)]);
      const expiry = rng.pick(['enforce', 'report', 'ring'] as const);
      const policy: TwinPolicy = {
        ...{ plausibility: 'released', expiry, skewNs },
        ...{ allowedTypes: 'ring', generalSecret: false },
      };
      const challenge = { mode: 'off' } as const;
      const twin = verify({ service: OSD, bytes: authorizer, challenge, policy, nowNs, secrets });
      const request = { service: OSD, authorizer, challenge };
      const rules = { plausibility: 'released', expiry, skewNs } as const;
      const verdict = engine.verify(request, { nowNs, policy: rules });
      const what = { created, expires, skewNs, nowNs, expiry };
      const { decision, expired } = verdict;
      // Of a refused ticket the twin does not say it.
      const ours = {
        ...what,
        reason: verdict.reasonNumber,
        decision,
        expired: decision && expired,
      };
      const { reason, decision: yes } = twin;
      expect(ours).toEqual({ ...what, reason, decision: yes, expired: yes && twin.expired });
      reasons.add(verdict.reason);
    }
    expect([...reasons].sort()).toEqual(['ok', 'ticket.expired', 'ticket.not_yet_valid']);
  });

  function clamp(ns: bigint): bigint {
    return ns < 0n ? 0n : ns > U64_MAX ? U64_MAX : ns;
  }
});

function authorizerOf(secret: CryptoKey, created: Utime, expires: Utime, rng: Rng): Uint8Array {
  const sessionKey = CryptoKey.create('aes', created, rng.random);
  const ticket = {
    ...{ name: { type: 8, id: 'x' }, globalId: 7n, auid: 0n, created, expires, flags: 0 },
    caps: { allowAll: false, caps: capsBuffer('allow r') },
  };
  const blob = sealServiceTicket(twinSealer, secret, 2n, { ticket, sessionKey }, rng.random);
  const owner = { globalId: 7n, serviceId: OSD, sessionKey, blob };
  return buildAuthorizer(twinSealer, owner, 1n, rng.random, undefined);
}

describe('limits', () => {
  let engine: Engine;
  let osd: bigint;
  let mds: bigint;
  beforeAll(async () => {
    engine = await Engine.create({ preset: 'server' });
    const all = new TextEncoder().encode('allow *');
    osd = engine.capsParse(OSD, all, HOST, { keep: true }).handle;
    mds = engine.capsParse(MDS, all, HOST, { keep: true }).handle;
  });

  const call = { name: 'rbd', method: 'x', read: true, write: false, allowListed: true };
  const pairs = (n: number): Record<string, Record<string, string>> => ({
    rbd: Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, 'v'])),
  });
  it.each<[string, number, (n: number) => Partial<OsdOp>]>([
    ['pool', abi.NAME_LEN_MAX, (n) => ({ pool: 'p'.repeat(n) })],
    ['namespace', abi.NAME_LEN_MAX, (n) => ({ namespace: 'n'.repeat(n) })],
    ['object', abi.OBJECT_LEN_MAX, (n) => ({ object: 'o'.repeat(n) })],
    ['class calls', abi.CLASSES_MAX, (n) => ({ classes: new Array(n).fill(call) })],
    ['application metadata', abi.APP_METADATA_MAX, (n) => ({ appMetadata: pairs(n) })],
  ])('%s of an osd operation: %i and not one more', (_, max, part) => {
    const ask = (n: number) => {
      const op = { pool: 'p', namespace: '', object: 'o', read: true, ...part(n) };
      return engine.check({ service: OSD, handle: osd, op }, HOST);
    };
    expect(ask(max).reason).toBe('ok');
    expect([ask(max + 1).decision, ask(max + 1).reason]).toEqual([false, 'limit.exceeded']);
  });

  it.each<[string, number, (n: number) => Partial<MdsOp>]>([
    ['path', abi.OBJECT_LEN_MAX, (n) => ({ path: 'a'.repeat(n) })],
    ['gids', abi.GIDS_MAX, (n) => ({ callerGidList: new Array(n).fill(3) })],
  ])('%s of an mds operation: %i and not one more', (_, max, part) => {
    const inode = { inodeUid: 0, inodeGid: 0, inodeMode: 0o755, callerUid: 1, callerGid: 1 };
    const ask = (n: number) => {
      const op = { path: 'a', ...inode, mask: abi.MAY_READ, ...part(n) };
      return engine.check({ service: MDS, handle: mds, op }, HOST);
    };
    expect(ask(max).reason).toBe('ok');
    expect([ask(max + 1).decision, ask(max + 1).reason]).toEqual([false, 'limit.exceeded']);
  });
});

describe('compiled caps', () => {
  it('take no more than their region; those not used of late give way', async () => {
    const engine = await Engine.create({ preset: 'small' });
    const bytes = engine.memory.byteLength;
    const op = (pool: string) => ({ pool, object: 'o', read: true });
    const keep = (i: number): bigint => {
      const text = `allow r pool=p${i}, ${'allow r pool=other, '.repeat(40)}allow w pool=p${i}`;
      const verdict = engine.capsParse(OSD, new TextEncoder().encode(text), HOST, { keep: true });
      expect(verdict.reason).toBe('ok');
      return verdict.handle;
    };
    const used = keep(0);
    const handles = [used];
    for (let i = 1; i <= 3_000; i++) {
      const handle = keep(i);
      handles.push(handle);
      const fresh = engine.check({ service: OSD, handle, op: op(`p${i}`) }, HOST);
      expect([fresh.decision, fresh.reason]).toEqual([true, 'ok']);
      const again = engine.check({ service: OSD, handle: used, op: op('p0') }, HOST);
      expect([i, again.reason]).toEqual([i, 'ok']);
    }
    // A handle answers for its own caps or for none.
    const seen = handles.map((handle, i) => {
      const { reason } = engine.check({ service: OSD, handle, op: op(`p${i}`) }, HOST);
      const other = engine.check({ service: OSD, handle, op: op(`p${i + 1}`) }, HOST);
      expect(other.decision).toBe(false);
      return reason;
    });
    expect(new Set(seen)).toEqual(new Set(['ok', 'session.unknown']));
    expect(seen.filter((reason) => reason === 'ok').length).toBeLessThan(2_900);
    expect(engine.memory.byteLength).toBe(bytes);
  });
});
