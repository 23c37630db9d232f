/**
 * Constant time, measured: ciphers, hashes, and the whole verify over the places where it fails.
 */

import { describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { encode } from '../src/cephx/denc.ts';
import { Engine, RecordWriter, type Verdict } from '../src/engine/index.ts';
import { NOW_NS } from './authorizers.ts';
import {
  FAILURES,
  type Failure,
  failing,
  PART_FAILURES,
  type PartFailure,
  shown,
} from './dudect/authorizers.ts';
import { type Classes, welch } from './dudect/welch.ts';
import { Rng, seedOf } from './rng.ts';
import { type TwinSecret, verify } from './twin/verify.ts';

const seed = seedOf(20181);
const rng = new Rng(seed);
/** All of them together. The long form takes 1200. */
const SECONDS = Number(globalThis.process?.env?.DUDECT_SECONDS ?? 60);
const T_MAX = SECONDS >= 600 ? 4.5 : 10;
const OSD = abi.ENTITY_TYPE_OSD;
const INPUTS = 64;
const HOST = { nowNs: NOW_NS, policy: { plausibility: 'strict' } } as const;
const OFF = [{ mode: 'off' }] as const;

// With the ticket cache: a ticket that fails is never in it, one that was taken is.
const engine = await Engine.create({ preset: 'small', ticketCache: true });
const secret = new CryptoKey(
  abi.KEY_TYPE_AES,
  { seconds: Number(NOW_NS / 1_000_000_000n) - 60, nanoseconds: 0 },
  rng.bytes(16),
);
engine.putSecret({ service: OSD, secretId: 2n, key: encode(CryptoKey.encode, secret) });

const LENGTH = failing(rng, secret.secret, 'magic').length;

/** The engine on an authorizer, the record written before the clock runs. */
function engineVerify(): Pick<Classes, 'place' | 'run'> {
  const bytes = new Uint8Array(1024);
  const writer = new RecordWriter(bytes);
  const authorizer = new Uint8Array(LENGTH);
  writer.verify({ service: OSD, authorizer, challenge: OFF[0], tail: false });
  const record = bytes.subarray(0, writer.at);
  return {
    place: record.subarray(abi.VERIFY_LEN, abi.VERIFY_LEN + LENGTH),
    run: () => void engine.run(record, HOST, OFF, 0),
  };
}

/** The twin, which leaves at the first failure: a leak that must be found. */
function twinVerify(): Pick<Classes, 'place' | 'run'> {
  const bytes = new Uint8Array(LENGTH);
  const secrets: TwinSecret[] = [{ service: OSD, secretId: 2n, key: secret }];
  const policy = {
    ...({ plausibility: 'strict', expiry: 'enforce', skewNs: 0n } as const),
    ...({ allowedTypes: 'ring', generalSecret: false } as const),
  };
  const challenge = { mode: 'off' } as const;
  const input = { bytes, service: OSD, secrets, challenge, nowNs: NOW_NS, policy };
  return { place: bytes, run: () => void verify(input) };
}

function verifyPair(failure: Failure, on: Pick<Classes, 'place' | 'run'>): Classes {
  const of = (which: Failure): Uint8Array[] =>
    Array.from({ length: INPUTS }, () => failing(rng, secret.secret, which));
  return { name: failure, inputs: [of('part b'), of(failure)], ...on };
}

const known = shown(rng, secret.secret);

/** Part b alone, with the ticket in the cache: what fails there must not show either. */
function warmPair(failure: PartFailure): Classes {
  const of = (which: PartFailure): Uint8Array[] =>
    Array.from({ length: INPUTS }, () => known.failing(which));
  return { name: `${failure}, warm`, inputs: [of('part b'), of(failure)], ...engineVerify() };
}

/** One fixed input against random ones. */
function primitivePair(name: string, op: number, keyLen: number, dataLen: number): Classes {
  const place = new Uint8Array(keyLen + dataLen);
  const key = place.subarray(0, keyLen);
  const data = place.subarray(keyLen);
  const iv = rng.bytes(16);
  const random = Array.from({ length: INPUTS }, () => rng.bytes(place.length));
  return {
    name,
    inputs: [[new Uint8Array(place.length)], random],
    place,
    run: () => void engine.primitive(op, key, data, iv),
  };
}

const PAIRS: readonly Classes[] = [
  ...FAILURES.filter((each) => each !== 'part b').map((each) => verifyPair(each, engineVerify())),
  ...PART_FAILURES.filter((each) => each !== 'part b').map(warmPair),
  primitivePair('AES-128-CBC decrypt', abi.PRIMITIVE_AES128_CBC_DECRYPT, 16, 208),
  primitivePair('AES-256-CBC decrypt', abi.PRIMITIVE_AES256_CBC_DECRYPT, 32, 208),
  primitivePair('AES-128 encrypt', abi.PRIMITIVE_AES128_ENCRYPT, 16, 16),
  primitivePair('HMAC-SHA384', abi.PRIMITIVE_HMAC_SHA384, 32, 208),
  primitivePair('HMAC-SHA256', abi.PRIMITIVE_HMAC_SHA256, 32, 208),
];
/** Two tries for each, a third where they disagree. */
const SLICE = SECONDS / (PAIRS.length * 2.5);

// Elsewhere the clock is too coarse.
const here = typeof globalThis.process?.versions?.v8 === 'string' && !('Deno' in globalThis);

describe.runIf(here)(`constant time, ${SECONDS} s, |t| < ${T_MAX} (seed ${seed})`, () => {
  it('the classes fail where they say, and look alike', () => {
    const lengths = new Set<number>();
    for (const failure of FAILURES) {
      const authorizer = failing(rng, secret.secret, failure);
      lengths.add(authorizer.length);
      const asked = { service: OSD, authorizer, challenge: OFF[0] };
      const verdict = engine.verify(asked, HOST);
      expect(verdict.reason, failure).toBe('authorizer.invalid');
      expect(verdict.check, failure).toMatch(CHECKS[failure]);
    }
    expect(lengths.size).toBe(1);
  });

  it('the ticket in the cache is found, and its failures are of part b', () => {
    const ask = (authorizer: Uint8Array): Verdict =>
      engine.verify({ service: OSD, authorizer, challenge: OFF[0] }, HOST);
    expect(known.good.length).toBe(LENGTH);
    const challenge = { mode: 'issued', value: known.challenge } as const;
    const good = engine.verify({ service: OSD, authorizer: known.good, challenge }, HOST);
    expect(good.decision).toBe(true);
    for (const failure of PART_FAILURES) {
      const { hits } = engine.ticketCache;
      const verdict = ask(known.failing(failure));
      expect(engine.ticketCache.hits).toBe(hits + 1);
      expect(verdict.reason, failure).toBe('authorizer.invalid');
    }
  });

  it.each(PAIRS.map((pair) => [pair.name, pair] as const))(
    '%s',
    {
      timeout: SECONDS * 1000 + 60_000,
    },
    (_, pair) => {
      const found = [welch(pair, SLICE, rng), welch(pair, SLICE, rng)];
      if (found.filter((t) => t > T_MAX).length === 1) found.push(welch(pair, SLICE, rng));
      console.log(`${pair.name}: |t| ${found.map((t) => t.toFixed(2)).join(', ')}`);
      expect(found.filter((t) => t > T_MAX).length).toBeLessThan(2);
    },
  );

  it('finds the leak of a verify that leaves early', () => {
    const found = [1, 2].map(() => welch(verifyPair('magic', twinVerify()), 1, rng));
    console.log(`twin: |t| ${found.map((t) => t.toFixed(2)).join(', ')}`);
    expect(Math.min(...found)).toBeGreaterThan(T_MAX);
  });
});

const CHECKS: Readonly<Record<Failure, RegExp>> = {
  padding: /^ciphertext\.padding|^padding|padding/,
  magic: /magic/,
  truncated: /^decode\.|^key\.|^harden\./,
  implausible: /^harden\./,
  'part b': /authorize|ciphertext|envelope|decode/,
};
