/** The benchmark itself: native C agrees and can be caught, results are told as they are. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { chart } from '../bench/chart.ts';
import { goalTable } from '../bench/goals.ts';
import { compare, makeRequests, openIssuer } from '../bench/issue.ts';
import { type Corpus, makeCorpus } from '../bench/items.ts';
import { awaited, measure, ratio } from '../bench/measure.ts';
import { compile, encodeCorpus } from '../bench/native.ts';
import { Remote } from '../bench/remote.ts';
import { type Machine, type Report, report } from '../bench/report.ts';
import { merge } from '../bench/runtimes.ts';
import { temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('bench');
afterAll(folder.remove);

const required = process.env.REQUIRE_SERVICES === '1';
const program = join(folder.path, 'native');
const why = compile(program);

describe.skipIf(why !== undefined && !required)(
  'bench/native (apt-get install -y gcc libc6-dev libssl-dev)',
  () => {
    it('compiles', () => {
      expect(why).toBeUndefined();
    });

    it.each(['aes', 'aes256k'] as const)('judges as the twin does, %s', async (type) => {
      const corpus = makeCorpus(type, 16, 3);
      expect(await wrongVerdicts(corpus)).toBe(0);
      // The challenge of another connection: each measured item is refused, and seen to be.
      const moved = corpus.items.map((item) => ({ ...item, challenge: { ...item.challenge } }));
      for (const item of moved) item.challenge.value ^= 2n;
      const expected = encodeCorpus(corpus);
      const given = encodeCorpus({ ...corpus, items: moved });
      expect(given.length).toBe(expected.length);
      expect(await wrongVerdicts(corpus, swapExpected(given, expected, corpus))).toBe(32);
    });
  },
);

/** Runs the program over a corpus; how many verdicts of both styles are not as expected. */
async function wrongVerdicts(corpus: Corpus, bytes = encodeCorpus(corpus)): Promise<number> {
  const path = join(folder.path, 'corpus');
  writeFileSync(path, bytes);
  const remote = new Remote(program, [path]);
  try {
    const [compared, wrong] = (await remote.ask('compare')).split(' ').map(Number);
    expect(compared).toBeGreaterThan(2 * corpus.items.length);
    return wrong as number;
  } finally {
    remote.stop();
  }
}

/** The corpus `given`, with the verdicts that `expected` asks for. */
function swapExpected(given: Uint8Array, expected: Uint8Array, { items }: Corpus): Uint8Array {
  const bytes = Uint8Array.from(expected);
  const view = new DataView(bytes.buffer);
  let from = 0;
  for (const { challenge } of items) {
    // Each item begins with its challenge, which is as random as it is long.
    while (view.getBigUint64(from, true) !== challenge.value) from++;
    bytes.set(given.subarray(from, from + 8), from);
  }
  return bytes;
}

describe('issuing by hand', () => {
  it.each(['aes', 'aes256k'] as const)('gives the same bytes, and is caught, %s', async (type) => {
    const [core, node] = [await openIssuer(type, 'core'), await openIssuer(type, 'node:crypto')];
    const requests = await makeRequests(core, type, 4);
    await makeRequests(node, type, 0);
    expect(await compare(core, node, requests)).toEqual({
      answers: 16,
      refused: 8,
      differences: 0,
    });
    // One of them has used some more randomness: no session key is the same any more.
    await makeRequests(node, type, 0);
    expect(await compare(core, node, requests)).toMatchObject({ refused: 8, differences: 8 });
  });
});

describe('results', () => {
  const machine: Machine = {
    ...{ runtime: 'node 20', engine: 'simd', cpu: 'some <cpu>', cores: 2, load: 1 },
    ...{ clock: 'CPU', mode: 'full' },
  };
  const own: Report = {
    machine,
    rows: [
      { name: 'scale, verify by users: 1,000 users', runtime: 'node 20', ...numbers(1500) },
      { name: 'scale, verify by users: 10,000 users', runtime: 'node 20', ...numbers(1600) },
    ],
    ratios: { 'aes: node:crypto, caps parsed each time': 6.9, 'aes256k: jose': 1 },
  };

  it('says which goals are missed, and what was not measured', () => {
    const lines = goalTable(own.ratios).split('\n');
    expect(lines[2]).toBe(
      '| by hand on node:crypto / single | ≥ 7 | **6.90** | ≥ 4.5 | not measured |',
    );
    expect(goalTable({ 'aes: node:crypto, caps parsed each time': 7 })).toContain('≥ 7 | 7.00 |');
  });

  it('names ratios of other runtimes after them', () => {
    const bun = { ...own, machine: { ...machine, runtime: 'bun 1.4' }, rows: [], ratios: { a: 2 } };
    const whole = merge(own, [bun]);
    expect(whole.ratios).toEqual({ ...own.ratios, 'bun: a': 2 });
    expect(whole.rows).toEqual(own.rows);
  });

  it('draws what was measured', () => {
    const svg = chart(own, '2026-11-29');
    expect(svg).toContain('some &#60;cpu&#62;, 2026-11-29');
    expect(svg).toContain('node:crypto, by hand</text>');
    expect(svg).not.toContain('noble');
    expect(svg.match(/<circle/g)).toHaveLength(2);
    expect(svg).not.toMatch(/NaN|undefined/);
  });

  function numbers(median: number): { median: number; p10: number; spread: number } {
    return { median, p10: median, spread: 0 };
  }
});

describe('measuring', () => {
  it('takes CPU time of what waits, of what runs, and of what is told', async () => {
    const spin = (): number => {
      let sum = 0;
      for (let i = 0; i < 20_000; i++) sum += Math.sqrt(i);
      return sum;
    };
    const cases = [
      { name: 'runs', items: 1, run: spin },
      awaited('waits', async () => spin() + spin() + spin() + spin()),
      { name: 'is told', items: 2, slice: async (_: number, calls: number) => calls * 50 },
    ];
    const rows = await measure(cases, { rounds: 10, sliceMs: 2 });
    const [runs, waits, told] = rows as [(typeof rows)[0], (typeof rows)[0], (typeof rows)[0]];
    expect(ratio(waits, runs)).toBeGreaterThan(1.5);
    expect(told.median).toBe(25_000);
    expect(report({} as Machine, [{ title: 't', rows, ratios: [] }]).rows[2]).toMatchObject({
      ...{ name: 't: is told', median: 25_000, p10: 25_000, spread: 0 },
    });
  });

  it('ends when the process that it asks has ended', async () => {
    const remote = new Remote('true', []);
    try {
      await expect(remote.ask('compare')).rejects.toThrow(/does not answer/);
    } finally {
      remote.stop();
    }
  });

  it('ends when the process cannot be started', async () => {
    const remote = new Remote(join(folder.path, 'no-such-program'), []);
    try {
      await expect(remote.ask('compare')).rejects.toThrow(/does not answer/);
    } finally {
      remote.stop();
    }
  });
});
