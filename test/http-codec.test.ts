/** Bytes, numbers, times and addresses in text. */

import { describe, expect, it } from 'vitest';
import {
  decodeBase64,
  decodeHex,
  encodeBase64,
  formatTime,
  isWellFormed,
  parseAddress,
  parseTime,
  parseU64,
} from '../src/http/codec.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(31);

it(`base64 goes both ways, and has one spelling (seed ${seed})`, () => {
  const rng = new Rng(seed);
  for (let i = 0; i < 500; i++) {
    const bytes = rng.bytes(rng.int(70));
    const text = encodeBase64(bytes);
    expect(decodeBase64(text)).toEqual(bytes);
    if (text === '') continue;
    const at = rng.int(text.length);
    const other = rng.pick(['-', '_', ' ', '\n', 'é', '']);
    const altered = text.slice(0, at) + other + text.slice(at + 1);
    if (altered !== text) expect(decodeBase64(altered)).toBeUndefined();
  }
  expect(decodeBase64('AR==')).toBeUndefined();
  expect(decodeBase64('AA=')).toBeUndefined();
});

it('hex', () => {
  expect(decodeHex('00fF')).toEqual(Uint8Array.of(0, 255));
  expect([decodeHex('0'), decodeHex('0g'), decodeHex(' 00')]).toEqual([
    ...[undefined, undefined, undefined],
  ]);
});

it('u64', () => {
  expect(parseU64('0')).toBe(0n);
  expect(parseU64('18446744073709551615')).toBe(2n ** 64n - 1n);
  for (const text of ['18446744073709551616', '-1', '+1', '01', '1.0', '1e3', '', ' 1', '0x1']) {
    expect(parseU64(text)).toBeUndefined();
  }
});

describe('times', () => {
  it.each([
    ['1970-01-01T00:00:00.000000000Z', 0n],
    ['2026-11-21T16:00:00.000000001Z', 1_795_276_800_000_000_001n],
    ['2106-02-07T06:28:15.999999999Z', 4_294_967_295_999_999_999n],
  ])('%s is %i ns', (text, ns) => {
    expect(parseTime(text)).toBe(ns);
    expect(formatTime(ns)).toBe(text);
  });

  it('have some other spellings', () => {
    expect(parseTime('2026-11-21T16:00:00Z')).toBe(1_795_276_800_000_000_000n);
    expect(parseTime('2026-11-21T16:00:00.5Z')).toBe(1_795_276_800_500_000_000n);
    expect(parseTime('1795276800.25')).toBe(1_795_276_800_250_000_000n);
    for (const text of ['', 'now', '2026-02-30T00:00:00Z', '2026-11-21', '2026-11-21T16:00:00']) {
      expect(parseTime(text)).toBeUndefined();
    }
    for (const text of ['-1', '1969-12-31T23:59:59Z', '2026-11-21T16:00:00+01:00', '1e9']) {
      expect(parseTime(text)).toBeUndefined();
    }
  });
});

describe('addresses', () => {
  it.each([
    ['192.0.2.7', 4, 'c0000207'],
    ['0.0.0.0', 4, '00000000'],
    ['::', 6, '00000000000000000000000000000000'],
    ['::1', 6, '00000000000000000000000000000001'],
    ['2001:db8::7', 6, '20010db8000000000000000000000007'],
    ['1:2:3:4:5:6:7:8', 6, '00010002000300040005000600070008'],
    ['1:2:3:4:5:6:7::', 6, '00010002000300040005000600070000'],
    ['::ffff:192.0.2.7', 6, '00000000000000000000ffffc0000207'],
    ['1:2:3:4:5:6:1.2.3.4', 6, '00010002000300040005000601020304'],
  ])('%s', (text, family, hex) => {
    const address = parseAddress(text);
    expect(address?.family).toBe(family);
    expect(Buffer.from(address!.bytes).toString('hex')).toBe(hex);
  });

  it.each([
    ...['', '1.2.3', '1.2.3.4.5', '01.2.3.4', '256.1.1.1', '1.2.3.4 ', '1.2.3.4/24', 'a.b.c.d'],
    ...[':', ':::', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8', '12345::'],
    ...['::1%lo', '[::1]', '1.2.3.4::', '::1.2.3.4:5', ':1:2:3:4:5:6:7', '::g', '0x7f.1'],
  ])('"%s" is none', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });
});

it('text is well formed unless a surrogate stands alone', () => {
  for (const text of ['', 'é', '\u{1f600}', 'a\u{10ffff}b']) expect(isWellFormed(text)).toBe(true);
  for (const text of ['\ud800', '\udc00', 'a\udbff\udbff\udfff', '\udfff\ud800']) {
    expect(isWellFormed(text)).toBe(false);
  }
});
