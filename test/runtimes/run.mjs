// Runs the suites on Deno, unbuilt sources, and compares one hash over all verdicts between
// runtimes and builds of the core. Usage: node test/runtimes/run.mjs [--json FILE]
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const deno = join(here, 'node_modules', '.bin', 'deno');
const bun = join(here, 'node_modules', '.bin', 'bun');

/** No run here takes half of this. */
const TIMEOUT_MS = 1_200_000;

function main() {
  const hashes = hashLines();
  for (const line of hashes) console.log(line);
  if (new Set(hashes.map((line) => line.split(' ').pop())).size !== 1) {
    throw new Error('the runtimes or builds disagree: the hashes above must all be equal');
  }
  const json = process.argv.indexOf('--json');
  const reporters =
    json < 0
      ? []
      : ['--reporter=default', '--reporter=json', `--outputFile.json=${process.argv[json + 1]}`];
  // What is about a service or about time says nothing new here.
  const without = ['*-live', '*etcd*', '*-soak', '*-scale', '*-crash', 'dudect'];
  const excluded = without.flatMap((name) => ['--exclude', `**/${name}.test.ts`]);
  const env = { ...process.env, ORACLE_CASES: '5000', WITHOUT_SERVICES: '1' };
  delete env.REQUIRE_SERVICES;
  try {
    run(deno, ['run', '-A', 'npm:vitest', 'run', ...excluded, ...reporters], 'inherit', env);
  } catch (error) {
    // A socket that Deno still holds can keep vitest from its own end; its report tells the rest.
    if (json < 0 || !passed(process.argv[json + 1])) throw error;
    console.log(`all tests passed, but: ${error.message}`);
  }
}

/** Whether a report of vitest says that tests ran and none failed. */
function passed(path) {
  const { success, numPassedTests, numFailedTests } = JSON.parse(readFileSync(path, 'utf8'));
  return success && numFailedTests === 0 && numPassedTests > 0;
}

/** "RUNTIME BUILD HASH" for every pair that exists. */
function hashLines() {
  const lines = [];
  const built = join(root, 'dist', 'test', 'conformance', 'hash.js');
  const source = join(root, 'test', 'conformance', 'hash.ts');
  for (const build of ['simd', 'plain', 'relaxed']) {
    // Node 20 validates relaxed SIMD only behind a flag.
    const flags = build === 'relaxed' ? ['--experimental-wasm-relaxed-simd'] : [];
    lines.push(`node ${build} ${run(process.execPath, [...flags, built, build], 'pipe')}`);
    lines.push(`deno ${build} ${run(deno, ['run', '-A', source, build], 'pipe')}`);
    lines.push(`bun ${build} ${run(bun, [source, build], 'pipe')}`);
  }
  return lines;
}

function run(command, args, stdout, env = process.env) {
  const stdio = ['ignore', stdout, 'inherit'];
  const done = spawnSync(command, args, { cwd: root, env, stdio, timeout: TIMEOUT_MS });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${done.status}`);
  return stdout === 'pipe' ? done.stdout.toString().trim() : '';
}

main();
