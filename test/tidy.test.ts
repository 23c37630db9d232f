/**
 * Style as a test: lengths, direction of imports, words that must not appear, the README's tree.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const GENERATED = /^src\/engine\/wasm-\w+\.ts$/;
const LINE_MAX = 100;
const FILE_MAX = 500;
/** An address, the title of a test, or a text or expression that is alone on its line. */
const UNBREAKABLE = /https?:\/\/|^ *(test|it|describe)\(['"`]|^ *(\/\^|`[^`]*`,?$|help: '[^']*',$)/;
/** Constants only: the one place for all numbers of the ABI. */
const LONG_FILES = ['assembly/abi.ts'];

/** A folder of src may import only from these folders (and itself). */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  engine: [],
  cephx: [],
  caps: ['engine'],
  store: ['cephx'],
  keyring: ['cephx'],
  auth: ['cephx', 'store', 'caps', 'engine', 'keyring'],
  mon: ['cephx', 'engine', 'keyring'],
  frames: [],
  client: ['cephx', 'engine', 'frames'],
  // The sidecar tells it what happens, and it knows the types of the sidecar.
  observe: ['cephx', 'engine', 'http'],
  http: ['auth', 'caps', 'cephx', 'engine', 'frames', 'keyring', 'mon', 'observe', 'store'],
  cli: ['auth', 'caps', 'cephx', 'engine', 'http', 'keyring', 'mon', 'observe', 'store'],
};

const files = ['assembly', 'src', 'bench', 'test'].flatMap(sources);

describe('tidy', () => {
  it('looks at the sources', () => {
    expect(files.length).toBeGreaterThan(40);
  });

  it(`has no line over ${LINE_MAX} columns and no file over ${FILE_MAX} lines`, () => {
    const long: string[] = [];
    for (const file of files) {
      const lines = text(file).split('\n');
      if (lines.length > FILE_MAX && !LONG_FILES.includes(file))
        long.push(`${file}: ${lines.length}`);
      lines.forEach((line, i) => {
        if (line.length > LINE_MAX && !UNBREAKABLE.test(line)) long.push(`${file}:${i + 1}`);
      });
    }
    expect(long).toEqual([]);
  });

  it('imports one way', () => {
    const wrong: string[] = [];
    for (const file of files.filter((each) => each.startsWith('src/'))) {
      const from = file.split('/')[1] as string;
      for (const target of imports(file)) {
        if (target.startsWith('test/') || target.startsWith('bench/'))
          wrong.push(`${file} -> ${target}`);
        const to = target.split('/')[1] as string;
        if (!target.startsWith('src/') || !target.split('/')[2] || to === from) continue;
        if (from.endsWith('.ts')) continue;
        if (!(MAY_IMPORT[from] ?? []).includes(to)) wrong.push(`${file} -> ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('shares only abi.ts between the core and its host', () => {
    const wrong = files
      .filter((file) => !file.startsWith('assembly/'))
      .flatMap((file) => imports(file).map((target) => [file, target]))
      .filter(([, target]) => target?.startsWith('assembly/') && target !== 'assembly/abi.ts');
    expect(wrong).toEqual([]);
  });

  it('has no Node API in the engine or in cephx', () => {
    const wrong = files
      .filter((file) => /^src\/(engine|cephx)\//.test(file))
      .filter((file) => /from 'node:|\bBuffer\b|\bprocess\b/.test(text(file)));
    expect(wrong).toEqual([]);
  });

  it('keeps literal constants only in abi.ts', () => {
    const odd = text('assembly/abi.ts')
      .split('\n')
      .filter((line) => line.startsWith('export'))
      .filter((line) => !/^export const [A-Z][A-Z0-9_]* = \d+;$/.test(line));
    expect(odd).toEqual([]);
  });

  it('has no decorator on a top-level function of the core', () => {
    const wrong = files.filter(
      (file) =>
        file.startsWith('assembly/') && /^@\w+[^\n]*\n?(export )?function/m.test(text(file)),
    );
    expect(wrong).toEqual([]);
  });

  it('shows the tree in the README as it is', () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    const shown = [...readme.matchAll(/^ {2}([a-z0-9-]+\.ts) {2,}/gm)].map((match) => match[1]);
    const core = files
      .filter((file) => file.startsWith('assembly/'))
      .map((file) => file.slice('assembly/'.length));
    expect(core.filter((file) => !shown.includes(file))).toEqual([]);
  });
});

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((file) => !file.includes('node_modules') && !GENERATED.test(file))
    .sort();
}

function text(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

function imports(file: string): string[] {
  return [...text(file).matchAll(/(?:from|import\() ?'(\.[^']+)'/g)].map((match) =>
    relative(root, join(root, dirname(file), match[1] as string)),
  );
}
