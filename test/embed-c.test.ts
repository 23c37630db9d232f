/** The core as C: the header says what abi.ts says, and the example of the README compiles. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { makeSecret, makeTicket } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';
import { temporaryFolder } from './spawn.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'test', 'c', 'embed.c');
const wasm = join(root, 'wasm');
const has = (program: string): boolean => spawnSync(program, ['--version']).error === undefined;
const required = process.env.REQUIRE_SERVICES === '1';
const LINES_MAX = 60;

describe('wasm/cephgate.h', () => {
  it('has every number of abi.ts, and no other', () => {
    const header = readFileSync(join(wasm, 'cephgate.h'), 'utf8');
    const defined = [...header.matchAll(/^#define CEPHGATE_(\w+) (\d+)u$/gm)];
    const numbers = Object.fromEntries(defined.map(([, name, value]) => [name, Number(value)]));
    expect(numbers).toEqual({ ...abi });
    expect(/^export |@constants@/m.test(header)).toBe(false);
  });
});

describe.skipIf(!(has('wasm2c') && has('cc')) && !required)(
  'test/c/embed.c (apt-get install -y wabt gcc libc6-dev)',
  () => {
    const folder = temporaryFolder('embed');
    const program = join(folder.path, 'embed');
    const rng = new Rng(seedOf(91));
    const { key, encoded } = makeSecret('aes256k', rng.random);

    beforeAll(() => {
      const core = join(folder.path, 'core.c');
      finish('wasm2c', ['-n', 'core', join(wasm, 'core.plain.wasm'), '-o', core]);
      // The generated file is not ours to be free of warnings, and is quicker unoptimized.
      finish('cc', ['-O0', '-w', '-c', '-o', join(folder.path, 'core.o'), core]);
    }, 240_000);
    afterAll(folder.remove);

    it('compiles without a warning, and is short', () => {
      const strict = ['-std=c99', '-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Werror'];
      const include = ['-I', folder.path, '-I', wasm];
      const link = [source, join(folder.path, 'core.o'), '-lwasm-rt-impl', '-lm'];
      finish('cc', [...strict, ...include, '-o', program, ...link]);
      const lines = readFileSync(source, 'utf8').trimEnd().split('\n');
      expect(lines.length).toBeLessThanOrEqual(LINES_MAX);
    });

    it.each([
      ['liverpool', 'john may', 0],
      ['everton', 'john may not', 1],
    ])('answers for pool %s', (pool, said, code) => {
      expect(embed(authorizer(), pool)).toEqual([said, code]);
    });

    it('refuses a ticket that does not open, and bytes that are none', () => {
      const altered = authorizer();
      altered[80] = (altered[80] as number) ^ 1;
      expect(embed(altered, 'liverpool')).toEqual([
        `refused, reason ${abi.REASON_AUTHORIZER_INVALID}`,
        1,
      ]);
      const malformed = `refused, reason ${abi.REASON_AUTHORIZER_MALFORMED}`;
      expect(embed(new Uint8Array(0), 'liverpool')).toEqual([malformed, 1]);
    });

    function authorizer(): Uint8Array {
      const createdNs = BigInt(Date.now()) * 1_000_000n;
      return makeTicket(key, rng.random, { createdNs }).authorizer();
    }

    /** What it prints, and its exit code. */
    function embed(shown: Uint8Array, pool: string): [string, number | null] {
      const args = [hex(encoded), hex(shown), pool, 'o1'];
      const { stdout, status } = spawnSync(program, args, { encoding: 'utf8', timeout: 60_000 });
      return [stdout.trim(), status];
    }
  },
);

function finish(command: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 230_000 });
  if (status !== 0 || stderr !== '') throw new Error(`${command}: ${stderr}`);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
