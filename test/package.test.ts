/**
 * What `npm pack` makes, installed into an empty project: it works on Node, Deno and Bun, its types
 * resolve, and every export is there.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { makeSecret, makeTicket, NOW_NS } from './authorizers.ts';
import { finish, install, pack, root, tool } from './package-kit.ts';
import { Rng } from './rng.ts';
import { temporaryFolder } from './spawn.ts';

const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, string | object>;
};
const names = Object.keys(exports).map((name) => name.replace(/^\./, 'cephgate'));
const modules = names.filter((_, i) => typeof Object.values(exports)[i] !== 'string');
const files = names.filter((name) => !modules.includes(name));
const required = process.env.REQUIRE_SERVICES === '1';
const folder = temporaryFolder('package');
let project = '';
let offline = '';

beforeAll(() => {
  const { path, error } = install(folder.path, pack(folder.path));
  project = path;
  // Its dependencies come from the registry; without one there is nothing to see.
  if (error === undefined) return;
  const away = /ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT|ENOTCACHED|ENETUNREACH/.test(error);
  if (!away || required) throw new Error(`npm install: ${error}`);
  offline = error;
}, 400_000);
afterAll(folder.remove);

const runtimes: readonly (readonly [string, string | undefined, readonly string[]])[] = [
  ['node', process.execPath, []],
  ['deno', tool('deno'), ['run', '-A']],
  ['bun', tool('bun'), []],
];

describe.each(runtimes)('on %s', (_name, program, args) => {
  const absent = program === undefined && !required;
  const title = absent ? ' (npm ci --prefix test/runtimes)' : '';

  it.skipIf(absent)(`loads every export and verifies an authorizer${title}`, (context) => {
    online(context);
    const rng = new Rng(9);
    const { key, encoded } = makeSecret('aes', rng.random);
    const authorizer = makeTicket(key, rng.random).authorizer();
    const text = programOf(hex(encoded), hex(authorizer));
    writeFileSync(join(project, 'main.mjs'), text);
    const { stdout, stderr } = finish(program as string, [...args, 'main.mjs'], project);
    // A runtime may warn of what it finds new; that is told only where it matters.
    expect(stdout.trim() || stderr).toBe('ok john true');
  });

  it.skipIf(absent)(`runs the command${title}`, (context) => {
    online(context);
    const main = join('node_modules', 'cephgate', 'dist', 'src', 'cli', 'main.js');
    const asked = ['caps', 'explain', 'osd', 'allow r pool=a', '--pool', 'b', '--object', 'o'];
    const words = [...args, main, ...asked, '--read'];
    const { status, stdout } = finish(program as string, words, project);
    expect([status, stdout]).toEqual([1, expect.stringContaining('pool')]);
  });
});

it('has the command where npm puts it', (context) => {
  online(context);
  const command = join('node_modules', '.bin', 'cephgate');
  const { status, stdout } = finish(command, ['--version'], project);
  expect([status, stdout.trim()]).toEqual([0, expect.stringMatching(/\d+\.\d+\.\d+/)]);
});

it('resolves its types', (context) => {
  online(context);
  const imports = modules.map((name, i) => `import * as m${i} from '${name}';\n`);
  const uses = modules.map((_, i) => `export const n${i}: number = Object.keys(m${i}).length;\n`);
  writeFileSync(join(project, 'types.ts'), [...imports, TYPED, ...uses].join(''));
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const options = ['--module', 'nodenext', '--target', 'es2022', '--strict', '--noEmit'];
  const more = ['--skipLibCheck', '--typeRoots', join(root, 'node_modules', '@types')];
  const args = [tsc, ...options, ...more, '--types', 'node', 'types.ts'];
  const { status, stdout } = finish(process.execPath, args, project);
  expect([status, stdout]).toEqual([0, '']);
});

it('holds what a user needs and no test', (context) => {
  online(context);
  const inside = readdirSync(join(project, 'node_modules', 'cephgate'), { recursive: true });
  expect(inside.filter((path) => /^dist.(test|bench)/.test(`${path}`))).toEqual([]);
  expect(inside).toContain(join('wasm', 'cephgate.h'));
});

function online(context: TestContext): void {
  context.skip(offline !== '', `no registry: ${offline.split('\n')[0]}`);
}

/** Prints the reason, the client and a decision. */
function programOf(secret: string, authorizer: string): string {
  return `
import { readFile } from 'node:fs/promises';
for (const name of ${JSON.stringify(modules)}) await import(name);
const fromHex = (text) => Uint8Array.from(text.match(/../g) ?? [], (b) => parseInt(b, 16));
for (const name of ${JSON.stringify(files)}) {
  const bytes = await readFile(new URL(import.meta.resolve(name)));
  if (bytes.length < 1000) throw new Error(name);
}
const { Engine } = await import('cephgate/engine');
const wasm = await readFile(new URL(import.meta.resolve('cephgate/wasm/simd')));
for (const options of [{}, { build: 'plain' }, { wasm: new Uint8Array(wasm) }]) {
  const engine = await Engine.create({ preset: 'small', ...options });
  engine.putSecret({ service: 4, secretId: 2n, key: fromHex('${secret}') });
  const host = { nowNs: ${NOW_NS}n };
  const request = { service: 4, authorizer: fromHex('${authorizer}'), challenge: { mode: 'off' } };
  const verdict = engine.verify({ ...request, session: true }, host);
  const op = { pool: 'liverpool', object: 'o', read: true };
  const check = engine.check({ service: 4, handle: verdict.handle, op }, host);
  globalThis.said = \`\${verdict.reason} \${verdict.entityId} \${check.decision}\`;
}
console.log(globalThis.said);
`;
}

const TYPED = `
import { Engine, type Verdict } from 'cephgate/engine';
export async function first(wasm: Uint8Array): Promise<Verdict> {
  const engine = await Engine.create({ wasm });
  const request = { service: 4, authorizer: wasm, challenge: { mode: 'off' } } as const;
  return engine.verify(request, { nowNs: 0n });
}
// @ts-expect-error: a type that resolves says what is wrong
export const wrong: number = Engine.create();
`;

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
