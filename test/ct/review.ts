/**
 * The list of every load, store, branch, select and division of the ciphers, hashes and comparisons
 * in a build, as the file beside this one has it. `npm run review` writes the files
 * anew and the hashes in REVIEW.md: read the difference before it is committed.
 */

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Checker, type Site } from './taint.ts';
import { readModule, type WasmModule } from './wasm.ts';

export const BUILDS = ['simd', 'plain', 'relaxed'] as const;
export type ReviewedBuild = (typeof BUILDS)[number];

/** Files of assembly/ all of whose functions are followed. What is inlined is in who calls it. */
const REVIEWED = /^assembly\/(aes(-\w+)*|bytes|cbc|cryptokey|rfc8009|sha2|sha256|sha512)\//;

/** A build as it is shipped, with the names of its functions. */
export function loadBuild(root: string, build: ReviewedBuild): WasmModule {
  const names = JSON.parse(readFileSync(join(root, 'wasm', `core.${build}.names`), 'utf8'));
  return readModule(readFileSync(join(root, 'wasm', `core.${build}.wasm`)), names as string[]);
}

/** The functions where the walk begins. */
export function reviewedNames(module: WasmModule): string[] {
  return module.functions.map((each) => each.name).filter((name) => REVIEWED.test(name));
}

/** Every place that is looked at. */
export function reviewedSites(module: WasmModule): Site[] {
  const checker = new Checker(module);
  for (const name of reviewedNames(module)) checker.check(name);
  return checker.sites();
}

/** A paragraph for each function: places in the order of the code, at most 100 columns. */
export function listingOf(sites: readonly Site[]): string {
  const functions = new Map<string, string[]>();
  for (const { function: name, kind, offset, secret } of sites) {
    const place = `${secret ? 'SECRET ' : ''}${kind}${offset > 0 ? `+${offset}` : ''}`;
    functions.set(name, [...(functions.get(name) ?? []), place]);
  }
  const paragraphs = [...functions].map(([name, places]) => `${name}\n${wrap(places)}`);
  return `${paragraphs.sort().join('\n')}\n`;
}

export function hashOf(listing: string): string {
  return createHash('sha256').update(listing).digest('hex');
}

function wrap(places: readonly string[]): string {
  const lines: string[] = [];
  let line = ' ';
  for (const place of places) {
    if (line.length + 1 + place.length > 100) {
      lines.push(line);
      line = ' ';
    }
    line += ` ${place}`;
  }
  return [...lines, line].join('\n');
}

function main(): void {
  const root = resolve(fileURLToPath(new URL('../../..', import.meta.url)));
  const folder = join(root, 'test', 'ct');
  let text = readFileSync(join(folder, 'REVIEW.md'), 'utf8');
  for (const build of BUILDS) {
    const listing = listingOf(reviewedSites(loadBuild(root, build)));
    writeFileSync(join(folder, `${build}.txt`), listing);
    const row = new RegExp(`^\\| ${build} \\| \`.*\` \\|$`, 'm');
    text = text.replace(row, `| ${build} | \`${hashOf(listing)}\` |`);
    console.log(`${build}: ${listing.split('\n').length} lines, ${hashOf(listing)}`);
  }
  writeFileSync(join(folder, 'REVIEW.md'), text);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
