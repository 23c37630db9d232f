/**
 * The ciphers, hashes and comparisons in the builds that are shipped: no address, branch, select or
 * length depends on data, and the code is the one that was reviewed (test/ct/REVIEW.md).
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { BUILDS, hashOf, listingOf, loadBuild, reviewedNames, reviewedSites } from './ct/review.ts';
import { Checker } from './ct/taint.ts';
import { type Instruction, readModule } from './ct/wasm.ts';

/** Parameter of decodeTicketInfo that depends on the plaintext. */
const LENGTH_WITHOUT_PADDING = 2;
const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..');
const review = readFileSync(join(here, 'ct', 'REVIEW.md'), 'utf8');

describe.each(BUILDS)('constant time by data flow, %s build', (build) => {
  const module = loadBuild(root, build);
  const sites = reviewedSites(module);

  it('takes no address, condition, length or dividend from memory', () => {
    expect(sites.length).toBeGreaterThan(400);
    expect(sites.filter(({ secret }) => secret)).toEqual([]);
  });

  it('follows the functions that matter', () => {
    const names = reviewedNames(module).map((name) => name.replace('assembly/', ''));
    const expected = ['sha256/sha256Compress', 'sha2/absorb', 'rfc8009/k256MacOk', 'cbc/cbcSeal'];
    const ciphers = {
      plain: ['aes-plain/plainEncrypt', 'aes-plain/decryptText', 'sha512/compressPlain'],
      simd: ['aes-simd/simdCbcDecrypt', 'aes-bits-round/bitsRound', 'sha512/compressSimd'],
      relaxed: ['aes-simd/simdCbcDecrypt', 'aes-bits-round/bitsRound', 'sha512/compressSimd'],
    };
    expect(names).toEqual(expect.arrayContaining([...expected, ...ciphers[build]]));
  });

  // Of two comparisons joined by & the optimiser makes a branch, which no line of ours shows.
  it.each([
    { name: 'protocol/decodeTicketInfo', secrets: [LENGTH_WITHOUT_PADDING] },
    { name: 'plausibility/plausibility', secrets: [] },
  ])('takes nothing in $name from an address, and decides nothing, by what was decrypted', (of) => {
    const checker = new Checker(module);
    checker.check(`assembly/${of.name}`, of.secrets);
    expect(checker.sites().length).toBeGreaterThan(5);
    expect(checker.sites().filter(({ secret }) => secret)).toEqual([]);
  });

  it('is what was reviewed: after a change see test/ct/REVIEW.md', () => {
    const listing = listingOf(sites);
    expect(listing).toBe(readFileSync(join(here, 'ct', `${build}.txt`), 'utf8'));
    expect(review).toContain(`| ${build} | \`${hashOf(listing)}\` |`);
  });

  it('finds a comparison that leaves at the first difference', () => {
    const checker = new Checker(module);
    checker.check('assembly/grant/same');
    expect(checker.sites().filter(({ secret, kind }) => secret && kind === 'if')).not.toEqual([]);
  });
});

/** A function of one i32, with one i32 of its own, from its body in hex. */
function moduleOf(body: string): ReturnType<typeof readModule> {
  const code = Uint8Array.from(Buffer.from(`01017f${body}0b`.replaceAll(' ', ''), 'hex'));
  const head = '0061736d01000000 0106016001 7f017f 03020100 0503010001'.replaceAll(' ', '');
  const sizes = Uint8Array.of(0x0a, code.length + 2, 1, code.length);
  const bytes = Uint8Array.from([...Buffer.from(head, 'hex'), ...sizes, ...code]);
  expect(WebAssembly.validate(bytes)).toBe(true);
  return readModule(bytes, ['it']);
}

describe('the check itself', () => {
  const get = '20 00';
  const load = '2d 00 00';
  it.each([
    ['a load at a loaded address', `${get} ${load} ${load}`, ['load']],
    ['a store at a loaded address', `${get} ${load} ${get} 3a 00 00 41 00`, ['store']],
    ['an if', `${get} ${load} 04 7f 41 01 05 41 02 0b`, ['if']],
    ['a br_if', `02 7f 41 01 ${get} ${load} 0d 00 0b`, ['br_if']],
    ['a select', `41 01 41 02 ${get} ${load} 1b`, ['select']],
    ['a division', `${get} ${load} ${get} 6e`, ['division']],
    [
      'what a loop carries round',
      `03 40 20 01 ${load} 1a ${get} ${load} 21 01 ${get} 0d 00 0b 41 00`,
      ['load'],
    ],
    ['what an if leaves', `${get} 04 7f ${get} ${load} 05 41 02 0b ${load}`, ['load']],
    ['what a block leaves', `02 7f ${get} ${load} ${get} 0d 00 1a 41 00 0b ${load}`, ['load']],
    ['nothing in arithmetic', `${get} ${load} ${get} ${load} 73 41 07 6a`, []],
    ['nothing where only the address is public', `${get} 41 08 6a ${load}`, []],
  ])('sees %s', (_, body, kinds) => {
    const checker = new Checker(moduleOf(body));
    checker.check('it');
    const secret = checker.sites().filter((site) => site.secret);
    expect(secret.map(({ kind }) => kind)).toEqual(kinds);
  });
});

const installed = spawnSync('wasm-objdump', ['--version']).status === 0;
const required = process.env.REQUIRE_SERVICES === '1';

describe.skipIf(!installed && !required)('wasm-objdump (apt-get install -y wabt)', () => {
  it.each(BUILDS)('counts the same loads, branches and selects in the %s build', (build) => {
    const file = join(root, 'wasm', `core.${build}.wasm`);
    const { stdout } = spawnSync('wasm-objdump', ['-d', file], { maxBuffer: 1 << 28 });
    const parts = stdout.toString().split(/^[0-9a-f]+ func\[\d+\].*$/m);
    const theirs = parts.slice(1).map((text) => ({
      load: text.match(/\| +\S*load\S* /g)?.length ?? 0,
      branch: text.match(/\| +(?:if|br|br_if|br_table)\b/g)?.length ?? 0,
      select: text.match(/\| +select\b/g)?.length ?? 0,
    }));
    expect(loadBuild(root, build).functions.map((each) => countOf(each.body))).toEqual(theirs);
  });
});

function countOf(body: readonly Instruction[]): { load: number; branch: number; select: number } {
  const count = { load: 0, branch: 0, select: 0 };
  const visit = (each: Instruction): void => {
    if (each.name.includes('load')) count.load++;
    if (each.name === 'if' || each.name.startsWith('br')) count.branch++;
    if (each.name === 'select') count.select++;
    each.body?.forEach(visit);
    each.otherwise?.forEach(visit);
  };
  body.forEach(visit);
  return count;
}
