/** The line that says how far something is: for people, after two seconds, gone at the end. */

import { describe, expect, it } from 'vitest';
import { importEntities } from '../src/auth/importing.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { authCommand } from '../src/cli/auth.ts';
import type { Backend } from '../src/cli/authbackend.ts';
import type { Tell } from '../src/cli/progress.ts';
import { MemoryStore } from '../src/store/memory.ts';

const CLEAR = '\r\x1b[K';

/** Runs `cephgate auth ls` with a backend that takes `ms`; what came on standard error. */
async function shown(ms: number, errTerminal: boolean, total?: number): Promise<string> {
  let err = '';
  const io = {
    env: {},
    errTerminal,
    out: () => undefined,
    err: (text: string) => {
      err += text;
    },
    readInput: async () => new Uint8Array(0),
  };
  const backend: Backend = {
    async run(_, tell: Tell = () => undefined) {
      tell(45, total);
      const end = performance.now() + ms;
      // Until the line is there, or for as long as asked when none should come.
      while (performance.now() < end && err === '') await new Promise((go) => setTimeout(go, 50));
      return { retcode: 0, status: '', output: '' };
    },
    close: async () => undefined,
  };
  expect(await authCommand(['ls'], io, async () => backend)).toBe(0);
  return err;
}

describe('a command that takes long', () => {
  it.each([
    ['how much is done', 100, 'auth ls: 45 %, '],
    ['how many are done', undefined, 'auth ls: 45, '],
  ])('says %s, and then nothing is left of it', async (_, total, words) => {
    const began = performance.now();
    const err = await shown(30_000, true, total);
    expect(performance.now() - began).toBeGreaterThan(2_000);
    expect(err.startsWith(CLEAR + words)).toBe(true);
    expect(err).toMatch(/ \d+ s/);
    expect(err.endsWith(CLEAR)).toBe(true);
    expect(err).not.toContain('\n');
  });

  it('says nothing when nobody looks', async () => {
    expect(await shown(2_600, false)).toBe('');
  });

  it('says nothing before two seconds', async () => {
    expect(await shown(100, true)).toBe('');
  });
});

it('a large import tells how far it is', async () => {
  const key = CryptoKey.none();
  const names = Array.from({ length: 1_000 }, (_, i) => `client.x${i}`);
  const told: number[] = [];
  await importEntities(new MemoryStore(), {
    entities: names.map((name) => [name, { key, caps: new Map() }] as const),
    encode: () => new Uint8Array(10),
    compares: [],
    progress: (done, total) => {
      expect(total).toBe(2_000);
      told.push(done);
    },
  });
  expect(told.length).toBeGreaterThan(20);
  expect(told).toEqual([...told].sort((a, b) => a - b));
  expect(told.at(-1)).toBe(2_000);
});
