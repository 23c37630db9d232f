/** The parts in which a page of many keys is looked for: all keys once, and few at a time. */

import { expect, it } from 'vitest';
import { Pager } from '../src/store/etcd/paging.ts';
import { keyText } from '../src/store/text.ts';
import { Rng, seedOf } from './rng.ts';
import { bytes } from './store-contract.ts';

const MANY = 1_000_000;

/** Keys that a store with many would give for a page, and how many keys were gone through. */
function page(sorted: readonly string[], prefix: Uint8Array, after: Uint8Array, limit: number) {
  const pager = new Pager();
  pager.note(prefix, MANY);
  const found: string[] = [];
  let looked = 0;
  let questions = 0;
  for (const { from, end } of pager.parts(prefix, after)) {
    const [first, until] = [keyText(from), end && keyText(end)];
    const inPart = sorted.filter((key) => key >= first && (until === undefined || key < until));
    questions += 1;
    looked += inPart.length;
    found.push(...inPart);
    if (found.length > limit) break;
  }
  return { found: found.slice(0, limit), looked, questions };
}

it('has every key once, in order, whatever bytes they are of', () => {
  const seed = seedOf(20261204);
  const rng = new Rng(seed);
  const byte = (): number => rng.pick([0, 1, 0x61, 0x62, 0xfe, 0xff, 0xff]);
  const word = (most: number): Uint8Array =>
    Uint8Array.from({ length: rng.int(most + 1) }, () => byte());
  for (let i = 0; i < 2_000; i++) {
    const prefix = word(3);
    const keys = Array.from({ length: 40 }, () => Uint8Array.from([...prefix, ...word(5)]));
    const sorted = [...new Set(keys.map(keyText))].sort();
    const after = rng.pick(keys);
    const expected = sorted.filter((key) => key > keyText(after));
    const limit = 1 + rng.int(50);
    const { found } = page(sorted, prefix, after, limit);
    expect([i, found], `seed ${seed}`).toEqual([i, expected.slice(0, limit)]);
  }
});

it('goes through a few thousand of very many, with a handful of questions', () => {
  const N = 50_000;
  const names = Array.from({ length: N }, (_, i) => `client.user${`${i}`.padStart(7, '0')}`);
  const seen = { looked: 0, questions: 0 };
  const pages = N / 1_000;
  for (let at = 999; at < N - 1; at += 1_000) {
    const { found, ...more } = page(names, bytes('client.'), bytes(names[at]!), 1_000);
    expect(found).toEqual(names.slice(at + 1, at + 1_001));
    seen.looked += more.looked;
    seen.questions += more.questions;
  }
  // Without: half of all for each page.
  expect(seen.looked / pages).toBeLessThan(10_000);
  expect(seen.questions / pages).toBeLessThan(6);
});

it('asks once where there are not many, and for a first page', () => {
  const pager = new Pager();
  expect([...pager.parts(bytes('a/'), bytes('a/x'))]).toHaveLength(1);
  pager.note(bytes('a/'), MANY);
  expect([...pager.parts(bytes('a/'), undefined)]).toHaveLength(1);
  expect([...pager.parts(bytes('b/'), bytes('b/xyz'))]).toHaveLength(1);
  expect([...pager.parts(bytes('a/'), bytes('a/xyz'))]).toHaveLength(3);
  pager.note(bytes('a/'), 10);
  expect([...pager.parts(bytes('a/'), bytes('a/xyz'))]).toHaveLength(1);
});
