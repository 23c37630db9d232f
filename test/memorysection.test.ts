/** Modules whose memory begins with more pages: the same but for that. */

import { describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { Engine } from '../src/engine/index.ts';
import { withPages } from '../src/engine/memorysection.ts';
import { embedded } from '../src/engine/wasm.ts';

const PAGE = 65_536;
const relaxed = WebAssembly.validate(await embedded('relaxed'));
const builds = ['simd', 'plain', ...(relaxed ? (['relaxed'] as const) : [])] as const;

describe.each(builds)('the %s build', (build) => {
  it.each([65, 127, 128, abi.PAGES_SERVER, abi.PAGES_LARGE])('with %i pages', async (pages) => {
    const bytes = await embedded(build);
    const before = bytes.slice();
    const more = withPages(bytes, pages);
    expect(bytes).toEqual(before);
    const module = new WebAssembly.Module(more);
    const { exports } = new WebAssembly.Instance(module, {});
    expect((exports.memory as WebAssembly.Memory).buffer.byteLength).toBe(pages * PAGE);
    const names = (each: WebAssembly.Module): unknown => WebAssembly.Module.exports(each);
    expect(names(module)).toEqual(names(new WebAssembly.Module(bytes)));
    expect(withPages(more, pages)).toBe(more);
  });

  it('is given back as it is where it begins with as many', async () => {
    const bytes = await embedded(build);
    for (const pages of [0, 1, abi.PAGES_SMALL]) expect(withPages(bytes, pages)).toBe(bytes);
  });

  it.each(['small', 'server', 'large'] as const)('takes what preset %s says', async (preset) => {
    const pages = { small: abi.PAGES_SMALL, server: abi.PAGES_SERVER, large: abi.PAGES_LARGE };
    const { memory } = await Engine.create({ build, preset });
    expect(memory.byteLength).toBe(pages[preset] * PAGE);
    // A module that nobody altered grows to as much.
    const custom = await Engine.create({ wasm: await embedded(build), preset });
    expect(custom.memory.byteLength).toBe(memory.byteLength);
  });
});

it('leaves a module without memory, or with two, as it is', () => {
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  for (const sections of [[], [5, 1, 0], [5, 5, 2, 0, 1, 0, 1]]) {
    const module = Uint8Array.from([...header, ...sections]);
    expect(withPages(module, 10)).toBe(module);
  }
});
