/** The checker of histories, beside one that tries every order, and with violations planted. */

import { describe, expect, it } from 'vitest';
import {
  ABSENT,
  isLinearizable,
  type Operation,
  type RegisterInput,
  register,
  withoutUnseen,
} from './linearizable.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(20261129);
type History = Operation<RegisterInput>[];

const op = (input: RegisterInput, callMs: number, returnMs: number): History[number] => ({
  ...{ input, callMs, returnMs },
});
const write = (value: string, answer: 'ok' | 'none' = 'ok') =>
  ({ kind: 'write', value, answer }) as const;
const read = (saw: string) => ({ kind: 'read', saw }) as const;
const judged = (history: History): boolean | undefined => isLinearizable(history, 'a', register);

describe('histories of one entity', () => {
  it.each<[string, boolean, History]>([
    ['one after the other', true, [op(write('b'), 0, 1), op(read('b'), 2, 3)]],
    ['a read of what was overwritten', false, [op(write('b'), 0, 1), op(read('a'), 2, 3)]],
    ['a read while it is written', true, [op(write('b'), 0, 5), op(read('a'), 1, 2)]],
    [
      'back to the old value after the new one was seen',
      false,
      [op(write('b'), 0, 9), op(read('b'), 1, 2), op(read('a'), 3, 4)],
    ],
    [
      'without an answer, seen later',
      true,
      [op(write('b', 'none'), 0, Infinity), op(read('a'), 1, 2), op(read('b'), 9, 10)],
    ],
    [
      'without an answer, never seen',
      true,
      [op(write('b', 'none'), 0, Infinity), op(read('a'), 9, 10)],
    ],
    [
      'without an answer, seen and undone by itself',
      false,
      [op(write('b', 'none'), 0, Infinity), op(read('b'), 1, 2), op(read('a'), 3, 4)],
    ],
    [
      'an acknowledged change that is lost',
      false,
      [op(write('b'), 0, 1), op(write('c'), 2, 3), op(read('b'), 4, 5)],
    ],
    [
      'two that both made it',
      false,
      [
        op({ kind: 'remove', answer: 'ok' }, 0, 1),
        op({ kind: 'create', value: 'x', answer: 'ok' }, 2, 5),
        op({ kind: 'create', value: 'y', answer: 'ok' }, 3, 6),
      ],
    ],
    [
      'two of which one made it',
      true,
      [
        op({ kind: 'remove', answer: 'ok' }, 0, 1),
        op({ kind: 'create', value: 'x', answer: 'ok' }, 2, 5),
        op({ kind: 'create', value: 'y', answer: 'present' }, 3, 6),
        op(read('x'), 7, 8),
      ],
    ],
  ])('%s: %s', (_name, holds, history) => {
    expect(judged(history)).toBe(holds);
  });

  it(`as one that tries every order, 2,000 small histories, seed ${seed}`, () => {
    const rng = new Rng(seed);
    const seen = { yes: 0, no: 0 };
    for (let run = 0; run < 2_000; run++) {
      const history = Array.from({ length: 1 + rng.int(6) }, () => anyOperation(rng));
      const expected = byEveryOrder(history, 'a');
      expect([run, judged(history)]).toEqual([run, expected]);
      seen[expected ? 'yes' : 'no'] += 1;
    }
    expect(seen.yes).toBeGreaterThan(200);
    expect(seen.no).toBeGreaterThan(200);
  });

  it(`finds what is planted in long ones, seed ${seed}`, () => {
    const rng = new Rng(seed);
    for (let run = 0; run < 20; run++) {
      const history = simulated(rng, 150);
      expect(judged(withoutUnseen(history))).toBe(true);
      const { spoilt, at } = planted(rng, history);
      expect([run, at, judged(withoutUnseen(spoilt))]).toEqual([run, at, false]);
    }
  });
});

function anyOperation(rng: Rng): History[number] {
  const callMs = rng.int(8);
  const returnMs = callMs + rng.int(6);
  const value = rng.pick(['a', 'b', 'c']);
  const kind = rng.int(5);
  const late = rng.chance(0.2) ? Infinity : returnMs;
  const answer = late === Infinity ? 'none' : 'ok';
  if (kind < 2) return op(read(rng.pick(['a', 'b', 'c', ABSENT])), callMs, returnMs);
  if (kind === 2) return op({ kind: 'write', value, answer }, callMs, late);
  if (kind === 3) return op({ kind: 'remove', answer }, callMs, late);
  const made = answer === 'none' ? 'none' : rng.pick(['ok', 'present'] as const);
  return op({ kind: 'create', value, answer: made }, callMs, late);
}

/** The slow twin. */
function byEveryOrder(left: History, state: string): boolean {
  if (left.length === 0) return true;
  const firstReturn = Math.min(...left.map(({ returnMs }) => returnMs));
  return left.some((each, i) => {
    if (each.callMs > firstReturn) return false;
    const after = register(state, each.input);
    return after !== undefined && byEveryOrder(left.toSpliced(i, 1), after);
  });
}

/** What ten clients of a real register saw; a few got no answer. */
function simulated(rng: Rng, count: number): History {
  const free = new Array<number>(10).fill(0);
  const planned = Array.from({ length: count }, (_, i) => {
    const client = rng.int(10);
    const callMs = free[client]! + rng.int(10);
    const atMs = callMs + rng.int(20) + rng.int(1000) / 1000;
    const returnMs = atMs + rng.int(20);
    free[client] = returnMs + 1;
    return { i, callMs, atMs, returnMs };
  }).sort((a, b) => a.atMs - b.atMs);
  let state = 'a';
  return planned.map(({ i, callMs, returnMs }) => {
    const isLost = rng.chance(0.01);
    const end = isLost ? Infinity : returnMs;
    const kind = rng.int(10);
    let input: RegisterInput = read(state);
    if (kind < 3) input = { kind: 'write', value: `v${i}`, answer: state ? 'ok' : 'absent' };
    else if (kind === 3) input = { kind: 'remove', answer: 'ok' };
    else if (kind < 6) input = { kind: 'create', value: `v${i}`, answer: state ? 'present' : 'ok' };
    else return op(input, callMs, returnMs);
    state = register(state, input)!;
    return op(isLost ? ({ ...input, answer: 'none' } as RegisterInput) : input, callMs, end);
  });
}

/** One read sees what nobody has written before it returned. */
function planted(rng: Rng, history: History): { spoilt: History; at: number } {
  const reads = history.flatMap(({ input }, i) => (input.kind === 'read' ? [i] : []));
  const at = rng.pick(reads);
  const later = history.filter(({ callMs }) => callMs > history[at]!.returnMs);
  const values = later.flatMap(({ input }) => ('value' in input ? [input.value] : []));
  const spoilt = history.with(at, { ...history[at]!, input: read(values[0] ?? 'never') });
  return { spoilt, at };
}
