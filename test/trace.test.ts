/**
 * What a ticket holds leaves no trace: whatever is wrong with it, and whatever a bit that was
 * turned in it has made of it, the core takes the same way through the same memory until it is
 * proved who speaks. Tickets of type `aes` above all, which anybody can alter.
 */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cbc } from '@noble/ciphers/aes.js';
import { describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { encode } from '../src/cephx/denc.ts';
import { type Build, type Challenge, RecordWriter, type Verdict } from '../src/engine/index.ts';
import { makeSecret, makeTicket, NOW_NS } from './authorizers.ts';
import { parting, type Trace, TracedCore } from './ct/trace.ts';
import { FAILURES, failing, PART_FAILURES, shown } from './dudect/authorizers.ts';
import { Rng, seedOf } from './rng.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const seed = seedOf(2026);
const OSD = abi.ENTITY_TYPE_OSD;
const OFF = { mode: 'off' } as const;
const STARTED = { seconds: Number(NOW_NS / 1_000_000_000n) - 60, nanoseconds: 0 };
const EACH = 20;
/** Offset of the ticket in an authorizer: part a and the length before it. */
const BLOB = 26;
/** A length of part b that both ciphers can have. */
const BOTH_LEN = 48;
/** Those that run here. */
const BUILDS = (['simd', 'plain', 'relaxed'] as const).filter((build) =>
  WebAssembly.validate(bytesOf(build)),
);

describe.each(BUILDS)(`the %s build, seed ${seed}`, (build) => {
  const rng = new Rng(seed);
  const core = new TracedCore(bytesOf(build));
  const key = new CryptoKey(abi.KEY_TYPE_AES, STARTED, rng.bytes(16));
  core.putSecret({ service: OSD, secretId: 2n, key: encode(CryptoKey.encode, key) });

  function ask(authorizer: Uint8Array, challenge: Challenge): [Verdict, Trace] {
    const bytes = new Uint8Array(4096);
    const writer = new RecordWriter(bytes);
    writer.verify({ service: OSD, authorizer, challenge, tail: false });
    const host = { nowNs: NOW_NS, policy: { plausibility: 'strict' } } as const;
    return core.run(bytes.subarray(0, writer.at), host, challenge);
  }

  function trace(authorizer: Uint8Array): [Verdict, Trace] {
    return ask(authorizer, OFF);
  }

  /** All are refused, at so many checks or more, and leave one trace. */
  function alike(authorizers: readonly Uint8Array[], checksMin: number): void {
    const checks = new Set<string>();
    let first: Trace | undefined;
    for (const authorizer of authorizers) {
      const [verdict, found] = trace(authorizer);
      expect(verdict.reason).toBe('authorizer.invalid');
      checks.add(verdict.check);
      first ??= found;
      expect(parting(first, found), verdict.check).toBeUndefined();
    }
    expect(first!.length).toBeGreaterThan(700);
    expect(checks.size).toBeGreaterThanOrEqual(checksMin);
  }

  it('is one for every way to fail', () => {
    const each = FAILURES.flatMap((failure) =>
      Array.from({ length: EACH }, () => failing(rng, key.secret, failure)),
    );
    alike(each, 4);
  });

  it('is one for every bit that is turned in a ticket', () => {
    const authorizer = failing(rng, key.secret, 'part b');
    const blobLen = new DataView(authorizer.buffer).getUint32(BLOB - 4, true);
    alike(turned(authorizer, BLOB, BLOB + blobLen), 7);
  });

  it('is one for every plaintext, also where two ciphers can have sealed part b', () => {
    const made = failing(rng, key.secret, 'part b');
    const blobLen = new DataView(made.buffer).getUint32(BLOB - 4, true);
    const blob = made.subarray(BLOB, BLOB + blobLen);
    const iv = new TextEncoder().encode('cephsageyudagreg');
    const aes = (): ReturnType<typeof cbc> => cbc(key.secret, iv, { disablePadding: true });
    const plain = aes().decrypt(blob);
    const many = Array.from({ length: 50 * EACH }, () => {
      const other = plain.slice();
      // Lengths, versions and the key's type most of all: they are small where they are right.
      for (let n = 1 + rng.int(3); n > 0; n--) {
        other[rng.int(other.length)] = rng.chance(0.5) ? rng.int(48) : rng.int(256);
      }
      const out = new Uint8Array(BLOB + blobLen + 4 + BOTH_LEN);
      out.set(made.subarray(0, BLOB));
      out.set(aes().encrypt(other), BLOB);
      new DataView(out.buffer).setUint32(BLOB + blobLen, BOTH_LEN, true);
      out.set(rng.bytes(BOTH_LEN), BLOB + blobLen + 4);
      return out;
    });
    alike(many, 8);
  });

  it('is one for every way to fail behind a ticket that is in the cache', () => {
    core.setTicketCache(true);
    const known = shown(rng, key.secret);
    const [good] = ask(known.good, { mode: 'issued', value: known.challenge });
    expect(good.decision).toBe(true);
    const each = PART_FAILURES.flatMap((failure) =>
      Array.from({ length: EACH }, () => known.failing(failure)),
    );
    alike(each, 2);
    core.setTicketCache(false);
  });

  // With a MAC there is less to hide; that the MAC is compared in one way is what this sees.
  it('is one for every bit that is turned in what aes256k has sealed', () => {
    const random = (n: number): Uint8Array => rng.bytes(n);
    const secret = makeSecret('aes256k', random);
    core.putSecret({ service: OSD, secretId: 3n, key: secret.encoded });
    const authorizer = makeTicket(secret.key, random, { secretId: 3n }).authorizer();
    expect(trace(authorizer)[0].check).toBe('ok');
    const blobLen = new DataView(authorizer.buffer).getUint32(BLOB - 4, true);
    const part = BLOB + blobLen + 4;
    alike(turned(authorizer, BLOB, BLOB + blobLen), 1);
    alike(turned(authorizer, part, authorizer.length), 1);
  });

  it('is another one where everything is proved', () => {
    const known = shown(rng, key.secret);
    const [refused, first] = trace(known.failing('part b'));
    const [good, second] = trace(known.good);
    expect([refused.decision, good.decision]).toEqual([false, true]);
    expect(parting(first, second)).toBeDefined();
  });
});

/** A build as it is shipped. */
function bytesOf(build: Build): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(readFileSync(join(root, 'wasm', `core.${build}.wasm`)));
}

/** An authorizer for each bit from `begin` to `end`, with that bit turned. */
function turned(authorizer: Uint8Array, begin: number, end: number): Uint8Array[] {
  return Array.from({ length: 8 * (end - begin) }, (_, bit) => {
    const copy = authorizer.slice();
    copy[begin + (bit >> 3)]! ^= 1 << (bit & 7);
    return copy;
  });
}
