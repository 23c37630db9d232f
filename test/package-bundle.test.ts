/**
 * `cephgate/engine` in a bundle is the engine alone: nothing of Node, nothing of the sidecar, the
 * builds of the core in files of their own, and small.
 */

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { finish, root, tool } from './package-kit.ts';
import { temporaryFolder } from './spawn.ts';

const esbuild = tool('esbuild');
const required = process.env.REQUIRE_SERVICES === '1';
/** Bytes of the engine without a build of the core, minified. */
const ENGINE_MAX = 28 * 1024;
/** Bytes of one build of the core as a module. */
const CORE_MAX = 110 * 1024;

/** What esbuild tells of a bundle, as far as it is looked at. */
interface Meta {
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly outputs: Readonly<Record<string, { readonly imports: readonly Import[] }>>;
}
interface Import {
  readonly path: string;
  readonly kind: string;
  readonly external?: boolean;
}

const USE = `import { Engine } from '${join(root, 'dist', 'src', 'engine', 'index.js')}';
export const start = () => Engine.create({ preset: 'small' });
`;

describe.skipIf(esbuild === undefined && !required)(
  'a bundle of cephgate/engine (npm ci --prefix test/runtimes)',
  () => {
    const folder = temporaryFolder('bundle');
    const out = join(folder.path, 'out');
    let meta: Meta;
    beforeAll(() => {
      writeFileSync(join(folder.path, 'main.js'), USE);
      const metaFile = join(folder.path, 'meta.json');
      const args = ['--bundle', '--minify', '--splitting', '--format=esm', '--platform=browser'];
      const files = [`--outdir=${out}`, `--metafile=${metaFile}`, join(folder.path, 'main.js')];
      const { status, stderr } = finish(esbuild as string, [...args, ...files], root);
      if (status !== 0) throw new Error(stderr);
      meta = JSON.parse(readFileSync(metaFile, 'utf8'));
    });
    afterAll(folder.remove);

    it('takes the engine and the ABI, and nothing else', () => {
      const ours = Object.keys(meta.inputs).filter((path) => !path.endsWith('main.js'));
      const others = ours.filter((path) => !/^dist\/(src\/engine|assembly)\//.test(path));
      expect(others).toEqual([]);
      expect(ours.length).toBeGreaterThan(5);
    });

    it('imports nothing but its own files', () => {
      const { outputs } = meta;
      const imports = Object.values(outputs).flatMap((output) => output.imports);
      expect(imports.filter(({ path, external }) => external || !(path in outputs))).toEqual([]);
      expect(imports.map(({ kind }) => kind)).toContain('dynamic-import');
    });

    it('stays under its size', () => {
      const size = (name: string): number => statSync(join(out, name)).size;
      const cores = readdirSync(out).filter((name) => name.startsWith('wasm-'));
      expect(cores).toHaveLength(3);
      for (const name of cores) expect(size(name), name).toBeLessThan(CORE_MAX);
      const rest = readdirSync(out).filter((name) => !cores.includes(name));
      const bytes = rest.reduce((sum, name) => sum + size(name), 0);
      expect(bytes).toBeLessThan(ENGINE_MAX);
      expect(bytes).toBeGreaterThan(1024);
    });

    it('runs', async () => {
      const { start } = (await import(pathToFileURL(join(out, 'main.js')).href)) as {
        start(): Promise<{ secretCount(service: number): number }>;
      };
      expect((await start()).secretCount(4)).toBe(0);
    });
  },
);
