/** What the package exports is there, and loads without starting anything. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { exports, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string;
  exports: Record<string, string | { types: string; default: string }>;
};
const modules = Object.entries(exports).flatMap(([name, target]) =>
  typeof target === 'string' ? [] : [[name, sourceOf(target.default), target.types] as const],
);

describe('exports of the package', () => {
  it.each(modules)('%s', async (_, source, types) => {
    expect(types.replace(/\.d\.ts$/, '.js')).toBe(`./dist/${source.replace(/\.ts$/, '.js')}`);
    const module: object = await import(join(root, source));
    expect(Object.keys(module).length).toBeGreaterThan(0);
  });

  it('holds the three builds of the core and the header for C', () => {
    const files = Object.values(exports).filter((target) => typeof target === 'string');
    expect(files).toHaveLength(4);
    for (const file of files) expect(existsSync(join(root, file)), file).toBe(true);
  });

  it('is the same for JSR, from the sources', () => {
    const deno = JSON.parse(readFileSync(join(root, 'deno.json'), 'utf8'));
    const sources = modules.map(([name, source]) => [name, `./${source}`]);
    expect(deno.exports).toEqual(Object.fromEntries(sources));
    expect(deno.version).toBe(version);
  });
});

/** "./dist/src/x.js" as "src/x.ts". */
function sourceOf(target: string): string {
  return target.replace(/^\.\/dist\//, '').replace(/\.js$/, '.ts');
}
