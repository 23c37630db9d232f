/** The shape of the WebAssembly files: what they ask for, what they give, how large they are. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { CHECK_NAMES, Engine, REASON_CODES } from '../src/engine/index.ts';
import { hashOf } from './conformance/hash.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
/** Bytes that a release build may have. */
const SIZE_MAX = 80 * 1024;

describe.each(['simd', 'plain', 'relaxed'])('core.%s.wasm', (build) => {
  const bytes = readFileSync(join(root, 'wasm', `core.${build}.wasm`));

  it('stays under its size budget', () => {
    expect(bytes.length).toBeLessThan(SIZE_MAX);
  });

  it('imports nothing and exports what the README says', {
    skip: !WebAssembly.validate(bytes),
  }, () => {
    const module = new WebAssembly.Module(bytes);
    expect(WebAssembly.Module.imports(module)).toEqual([]);
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    const documented = [...readme.matchAll(/^\| `([a-z_]+)\(/gm)].map((match) => match[1]);
    const functions = WebAssembly.Module.exports(module)
      .filter((each) => each.kind === 'function')
      .map((each) => each.name);
    expect(functions.sort()).toEqual(documented.sort());
  });
});

it('answers the seeded vectors as the README says', async () => {
  const [mark = ''] = await hashOf('plain', 1000);
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  // Who changes an answer on purpose says so there.
  const told = readme.includes(mark.replace('1000 ', ''));
  expect(told, 'run "node build.mjs && node test/runtimes/run.mjs --readme"').toBe(true);
});

describe('layout', () => {
  it.each(['small', 'server', 'large'] as const)(
    'lays out preset %s without overlap',
    async (preset) => {
      const engine = await Engine.create({ preset });
      const { layout } = engine;
      const regions = [
        [abi.LAYOUT_HOST, abi.LAYOUT_HOST_LEN],
        [abi.LAYOUT_REQUEST, abi.LAYOUT_REQUEST_LEN],
        [abi.LAYOUT_RESPONSE, abi.LAYOUT_RESPONSE_LEN],
        [abi.LAYOUT_SECRET, abi.LAYOUT_SECRET_LEN],
        [abi.LAYOUT_WORK, abi.LAYOUT_WORK_LEN],
        [abi.LAYOUT_RANDOM, abi.LAYOUT_RANDOM_LEN],
        [abi.LAYOUT_CHALLENGES, abi.LAYOUT_CHALLENGES_LEN],
        [abi.LAYOUT_KEPT, abi.LAYOUT_KEPT_LEN],
      ].map(([at, length]) => ({
        from: layout.getUint32(at as number, true),
        to: layout.getUint32(at as number, true) + layout.getUint32(length as number, true),
      }));
      regions.sort((a, b) => a.from - b.from);
      for (const [i, region] of regions.entries()) {
        expect(region.from).toBeGreaterThan(i === 0 ? 0 : (regions[i - 1]?.to ?? 0) - 1);
        expect(region.to).toBeLessThanOrEqual(engine.memory.byteLength);
      }
      const size = { small: 4, server: 64, large: 512 }[preset] * 1024 * 1024;
      expect(engine.memory.byteLength).toBe(size);
    },
  );
});

describe('codes', () => {
  it('name every reason and every check of the fold', () => {
    expect(REASON_CODES).toHaveLength(abi.REASON_COUNT);
    expect(new Set(REASON_CODES).size).toBe(abi.REASON_COUNT);
    expect(CHECK_NAMES).toHaveLength(abi.CHECK_COUNT);
    for (let check = abi.CHECK_FOLD; check < abi.CHECK_COUNT; check++) {
      expect(CHECK_NAMES[check], `check ${check}`).toMatch(/^[a-z]+\.[a-z_]+$/);
    }
  });
});
