/** `regex` constraints: POSIX extended, the whole value, in time linear in the value. */

import { describe, expect, it } from 'vitest';
import { compilePosix, translatePosix } from '../src/caps/posixregex.ts';
import { cpuMs } from './cputime.ts';
import { Rng, seedOf } from './rng.ts';

const matches = (expression: string, value: string): boolean =>
  compilePosix(expression)?.(value) ?? false;

describe('posix expressions', () => {
  it.each([
    ['a', 'a', true],
    ['a', 'xa', false],
    ['a', 'ax', false],
    ['a|ab', 'ab', true],
    ['a|', '', true],
    ['^a$', 'a', true],
    ['^a|b$', 'b', true],
    ['a^b', 'a^b', false],
    ['a\\^b', 'a^b', true],
    ['a.b', 'a\nb', true],
    ['[^x]+', 'a\nb', true],
    ['[^x]', '\xff', true],
    ['.', '\xe9', true],
    ['..', '\xc3\xa9', true],
    ['[]a]+', ']a', true],
    ['[^]a]+', 'b', true],
    ['[a-]+', 'a-', true],
    ['[-a]+', 'a-', true],
    ['[\\d]+', '\\d', true],
    ['[[:alpha:]_]+', 'aZ_', true],
    ['[[:digit:]-]+', '1-2', true],
    ['[^[:space:]]+', 'a b', false],
    ['[[.-.]a]+', 'a-', true],
    ['[0-9]{2}', '12', true],
    ['[0-9]{2,}', '1', false],
    ['(ab){1,2}', 'abab', true],
    ['a{2,3}', 'aaaa', false],
    ['a{2}?', '', true],
    ['a**', 'aaa', true],
    ['(a|b)*c', 'abac', true],
    ['()a', 'a', true],
    ['a}', 'a}', true],
    ['a]', 'a]', true],
    ['A', 'a', false],
  ] as const)('%j on %j: %s', (expression, value, expected) => {
    expect(matches(expression, value)).toBe(expected);
  });

  it.each([
    '[*',
    '(a',
    'a)',
    '*a',
    '^*',
    '(*a)',
    'a|*',
    'a{',
    'a{2',
    'a{3,2}',
    'a{,2}',
    'a{1001}',
    '(a{999}){999}',
    '\\d',
    '\\1',
    'a\\',
    '(?:a)',
    '(?i)a',
    'a{1}{2}{900}{900}',
    '[z-a]',
    '[[:nosuch:]]',
    '[[:alpha:]-z]',
    '[[=a=]]',
    '[a-c-e]',
    '[]',
    '[^]',
    'a\0',
  ])('does not understand %j, so it never matches', (expression) => {
    expect(compilePosix(expression)).toBeUndefined();
  });

  it('takes the expressions that Ceph itself uses', () => {
    const rbd =
      `^([ ,]*profile(=|[ ]+)['"]?rbd[^ ,'"]*['"]?` + `([ ]+pool(=|[ ]+)['"]?[^,'"]+['"]?)?)+$`;
    expect(matches(rbd, 'profile rbd pool=a, profile=rbd-read-only')).toBe(true);
    expect(matches(rbd, 'profile rbd, allow *')).toBe(false);
    expect(matches('^[^/]+/[0-9]+$', '192.0.2.9:0/1234')).toBe(true);
    expect(matches('^[^/]+/[0-9]+$', '192.0.2.9:0/12/4')).toBe(false);
  });

  it('needs no exponential time', () => {
    const value = 'a'.repeat(20_000);
    const ms = cpuMs(() => {
      expect(matches('(a*)*(a|aa)+$b', value)).toBe(false);
      expect(matches('(.*)*(.*)*(.*)*x', value)).toBe(false);
    });
    expect(ms).toBeLessThan(3000);
  });

  it('agrees with JavaScript where both mean the same', () => {
    const seed = seedOf(0x72656765);
    const rng = new Rng(seed);
    const piece = (depth: number): string => {
      const atom = rng.pick(['a', 'b', '.', '[ab]', '[^a]', '\\.', '-', '[a-c]']);
      const inner = depth > 0 && rng.chance(0.4) ? `(${list(depth - 1)})` : atom;
      return inner + rng.pick(['', '', '*', '+', '?', '{2}', '{1,2}']);
    };
    const list = (depth: number): string =>
      Array.from({ length: 1 + rng.int(3) }, () => piece(depth)).join(rng.pick(['', '', '|']));
    const wrong: unknown[] = [];
    let yes = 0;
    for (let i = 0; i < 1500; i++) {
      const expression = list(2);
      const expected = new RegExp(`^(?:${expression})$`, 's');
      const match = compilePosix(expression);
      for (let j = 0; j < 6; j++) {
        const value = Array.from({ length: rng.int(6) }, () => rng.pick([...'abc.-\n'])).join('');
        if (match?.(value) !== expected.test(value)) wrong.push([expression, value]);
        if (expected.test(value)) yes++;
      }
    }
    expect(wrong, `seed ${seed}`).toEqual([]);
    expect(yes).toBeGreaterThan(500);
  });

  it('bounds what an expression may cost before it is compiled', () => {
    expect(translatePosix('(a{64}){31}')).toBeDefined();
    expect(translatePosix('(a{64}){32}')).toBeUndefined();
    expect(translatePosix('a'.repeat(4097))).toBeUndefined();
  });
});
