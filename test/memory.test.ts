/**
 * No session key and no ticket plaintext outlives a call outside of the regions that are declared
 * as kept: the whole memory of the core is scanned after good and bad verifications.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { encode } from '../src/cephx/denc.ts';
import { type Build, type Challenge, Engine } from '../src/engine/index.ts';
import { makeInput, makePolicy, makeSecrets } from './fuzz/corpus.ts';
import { Rng, seedOf } from './rng.ts';
import { verify } from './twin/verify.ts';

const seed = seedOf(7);

/** A challenge that is to be made needs a number. */
const fresh = (challenge: ReturnType<typeof makeInput>['challenge']): Challenge =>
  challenge.mode === 'required' ? { mode: 'required', value: 7n } : challenge;

const setups: readonly (readonly [Build, string, boolean])[] = [
  ['simd', 'no ticket cache', false],
  ['plain', 'no ticket cache', false],
  ['simd', 'the ticket cache', true],
  ['plain', 'the ticket cache', true],
];

describe.each(setups)('memory of the %s build with %s', (build, _, ticketCache) => {
  let engine: Engine;
  let kept: { from: number; to: number };

  beforeAll(async () => {
    engine = await Engine.create({ build, preset: 'small', ticketCache });
    kept = keptRegion(engine);
  });

  it(`holds no session key and no plaintext after verify (seed ${seed})`, () => {
    const rng = new Rng(seed);
    const secrets = makeSecrets(rng);
    for (const { service, secretId, key } of secrets) {
      engine.putSecret({ service, secretId, key: encode(CryptoKey.encode, key) });
    }
    const policies = Array.from({ length: 10 }, () => makePolicy(rng));
    let scanned = 0;
    let heldMost = 0;
    for (let i = 0; scanned < 150; i++) {
      const input = makeInput(rng, secrets, policies);
      const twin = verify({ ...input, revoked: () => false });
      const secret = twin.ticket?.sessionKey.secret;
      if (secret === undefined || secret.length < 16) continue;
      scanned++;
      const { allowedTypes: _, ...policy } = input.policy;
      engine.verify(
        {
          service: input.service,
          authorizer: input.bytes,
          challenge: fresh(input.challenge),
          session: scanned % 2 === 0,
          reply: scanned % 3 === 0,
          secure: scanned % 3 === 0,
          tail: false,
        },
        { nowNs: input.nowNs, policy },
      );
      const { held } = engine.ticketCache;
      heldMost = Math.max(heldMost, held);
      expect(held).toBeLessThanOrEqual(ticketCache ? engine.ticketCache.max : 0);
      const found = search(engine.memory, secret.subarray(0, 16), kept);
      expect(found, `case ${i} (seed ${seed}): session key found`).toEqual([]);
      const caps = twin.ticket?.capsRaw ?? new Uint8Array(0);
      if (caps.length >= 12) {
        expect(search(engine.memory, caps, kept), `case ${i}: plaintext found`).toEqual([]);
      }
    }
    expect(heldMost > 0).toBe(ticketCache);
  });

  it('finds a session key where it is kept on purpose, so the scan can find one', () => {
    const rng = new Rng(seed + 1);
    const secrets = makeSecrets(rng);
    for (const { service, secretId, key } of secrets) {
      engine.putSecret({ service, secretId, key: encode(CryptoKey.encode, key) });
    }
    const policies = [{ ...makePolicy(rng), plausibility: 'released', expiry: 'ring' } as const];
    for (;;) {
      const input = makeInput(rng, secrets, policies);
      const request = {
        service: input.service,
        authorizer: input.bytes,
        challenge: fresh(input.challenge),
        session: true,
        secrets: true,
      };
      const host = {
        nowNs: input.nowNs,
        policy: { plausibility: 'released', expiry: 'ring' },
      } as const;
      const verdict = engine.verify(request, host);
      // Only what answered a challenge is in the ticket cache too.
      if (!verdict.decision || input.challenge.mode !== 'issued') continue;
      const secret = verdict.secrets?.sessionKey.subarray(12, 28) ?? new Uint8Array(0);
      expect(search(engine.memory, secret, { from: 0, to: 0 }).length).toBeGreaterThan(0);
      // The secret block is wiped by the next call, the session by its release.
      engine.sessionRelease(verdict.handle);
      engine.cacheClear();
      engine.run(new Uint8Array(0), host);
      expect(search(engine.memory, secret, { from: 0, to: 0 })).toEqual([]);
      return;
    }
  });

  it('keeps neither raw service secrets nor any key after wipe', () => {
    const rng = new Rng(seed + 2);
    const key = new CryptoKey(2, { seconds: 1, nanoseconds: 0 }, rng.bytes(32));
    const service = abi.ENTITY_TYPE_OSD;
    engine.putSecret({ service, secretId: 77n, key: encode(CryptoKey.encode, key) });
    expect(search(engine.memory, key.secret.subarray(0, 16), { from: 0, to: 0 })).toEqual([]);
    engine.seal(encode(CryptoKey.encode, key), abi.USAGE_AUTHORIZE, rng.bytes(100));
    expect(search(engine.memory, key.secret.subarray(0, 16), { from: 0, to: 0 })).toEqual([]);
    const op = abi.PRIMITIVE_HMAC_SHA256;
    const data = rng.bytes(100);
    const given = new Uint8Array(40);
    const mac = engine.primitive(op, key.secret, data, undefined, given);
    expect(mac).toEqual(engine.primitive(op, key.secret, data));
    expect(mac.buffer).toBe(given.buffer);
    const short = (): Uint8Array => engine.primitive(op, key.secret, data, undefined, mac.slice(1));
    expect(short).toThrow('Cannot put 32 bytes into 31');
    for (const bytes of [key.secret, data, mac]) {
      expect(search(engine.memory, bytes.subarray(0, 16), { from: 0, to: 0 })).toEqual([]);
    }
    engine.wipe();
    expect(engine.hasSecrets(service)).toBe(false);
    // The slots of secrets and, but in the plain build, the wide schedules of 32.
    const slots = 5 * 64 * 416 + (build === 'plain' ? 0 : 32 * 1808);
    const bytes = new Uint8Array(engine.memory, kept.from, slots);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
  });
});

/** The declared long-lived regions, found as the host does: from the layout table. */
function keptRegion(engine: Engine): { from: number; to: number } {
  const layout = engine.layout;
  const from = layout.getUint32(abi.LAYOUT_KEPT, true);
  return { from, to: from + layout.getUint32(abi.LAYOUT_KEPT_LEN, true) };
}

/** Addresses at which `needle` stands, outside of the region. */
function search(
  memory: ArrayBuffer,
  needle: Uint8Array,
  skip: { from: number; to: number },
): number[] {
  const hay = Buffer.from(memory);
  const found: number[] = [];
  for (let at = hay.indexOf(needle); at >= 0; at = hay.indexOf(needle, at + 1)) {
    if (at < skip.from || at >= skip.to) found.push(at);
  }
  return found;
}
