/** The persistent map against a sorted array, and its sharing. */

import { describe, expect, it } from 'vitest';
import { PMap } from '../src/store/pmap.ts';
import { Rng, seedOf } from './rng.ts';

describe('PMap', () => {
  it('agrees with a Map, and old maps stay as they were', () => {
    const seed = seedOf(3);
    const rng = new Rng(seed);
    let map = PMap.empty<number>();
    const twin = new Map<string, number>();
    const kept: [PMap<number>, string][] = [];
    for (let i = 0; i < 5_000; i++) {
      const key = `k${rng.int(300)}`;
      // Phases of growth and of shrinking.
      if (rng.chance(i % 1000 < 500 ? 0.8 : 0.2)) {
        map = map.set(key, i);
        twin.set(key, i);
      } else {
        map = map.delete(key);
        twin.delete(key);
      }
      expect(map.size, `seed ${seed}`).toBe(twin.size);
      expect(map.get(key)).toBe(twin.get(key));
      if (i % 100 === 0) {
        kept.push([map, sortedText(twin)]);
        const from = `k${rng.int(300)}`;
        const expected = sorted(twin).filter(([each]) => each >= from);
        expect([...map.entriesFrom(from)], `seed ${seed}`).toEqual(expected);
      }
    }
    for (const [old, text] of kept) expect(JSON.stringify([...old.entriesFrom('')])).toBe(text);
  });

  it('is made from sorted pairs, and from nothing else', () => {
    const pairs = Array.from({ length: 1000 }, (_, i) => [String(i).padStart(4, '0'), i] as const);
    const map = PMap.fromSorted(pairs);
    expect([...map.entriesFrom('')]).toEqual(pairs);
    expect(map.set('0500', -1).get('0500')).toBe(-1);
    expect(() => PMap.fromSorted([...pairs].reverse())).toThrow(RangeError);
    expect(() => PMap.fromSorted([pairs[0]!, pairs[0]!])).toThrow(RangeError);
  });

  it('stays shallow, whatever the order of the keys', () => {
    let map = PMap.empty<number>();
    for (let i = 0; i < 4096; i++) map = map.set(String(i).padStart(5, '0'), i);
    for (let i = 0; i < 4000; i++) map = map.delete(String(i).padStart(5, '0'));
    expect(map.size).toBe(96);
    // A path of an unbalanced tree of this many keys would overflow the stack.
    for (let i = 0; i < 20_000; i++) map = map.set(String(i).padStart(5, '0'), i);
    expect(map.size).toBe(20_000);
  });

  it('gives the same map when there is nothing to delete', () => {
    const map = PMap.empty<number>().set('a', 1);
    expect(map.delete('b')).toBe(map);
  });
});

function sorted(twin: Map<string, number>): [string, number][] {
  return [...twin].sort(([a], [b]) => (a < b ? -1 : 1));
}

function sortedText(twin: Map<string, number>): string {
  return JSON.stringify(sorted(twin));
}
