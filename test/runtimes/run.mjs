// Compares one hash over all verdicts between hosts and builds of the core, serves on the other
// runtimes, tries the way to JSR, and runs the suites on Deno, unbuilt sources.
//   node test/runtimes/run.mjs [--json FILE]   all of it; FILE takes the suites' report
//   node test/runtimes/run.mjs --hashes        the hashes alone (JAVASCRIPTCORE=1: there too)
//   node test/runtimes/run.mjs --readme        writes the hashes of this build into the README
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { hashes, writeReadme } from './hosts.mjs';
import { bun, deno, root, run } from './programs.mjs';
import { serves } from './serve.mjs';

async function main() {
  if (process.argv.includes('--readme')) return writeReadme();
  await compareHashes();
  if (process.argv.includes('--hashes')) return;
  for (const [name, command] of [
    ['deno', [deno, 'run', '-A']],
    ['bun', [bun]],
  ]) {
    console.log(`${name} ${await serves(command)}`);
  }
  // The types were checked, by the compiler of this project.
  run(deno, ['publish', '--dry-run', '--allow-dirty', '--no-check', '--quiet'], 'ignore');
  console.log('deno publish --dry-run passes');
  const json = process.argv.indexOf('--json');
  suitesOnDeno(json < 0 ? undefined : process.argv[json + 1]);
}

async function compareHashes() {
  const rows = await hashes();
  for (const { host, build, how, marks } of rows) {
    console.log([host.padEnd(18), build.padEnd(8), how.padEnd(7), marks.join('  ')].join(' '));
  }
  if (new Set(rows.map(({ marks }) => marks.join())).size !== 1) {
    throw new Error('hosts or builds disagree: the hashes above must all be equal');
  }
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const unknown = rows[0].marks.filter((mark) => !readme.includes(mark.split(' ')[1]));
  if (unknown.length > 0) {
    throw new Error(`the README has other hashes: run "node test/runtimes/run.mjs --readme"`);
  }
}

function suitesOnDeno(json) {
  const reporters =
    json === undefined
      ? []
      : ['--reporter=default', '--reporter=json', `--outputFile.json=${json}`];
  // What is about a service, about time or about the package says nothing new here; and the short
  // ways are those of Node's server.
  const slow = ['*-live', '*etcd*', '*-soak', '*-scale', '*-crash', 'dudect'];
  const without = [...slow, 'package*', 'http-direct', 'http-plain'];
  const excluded = without.flatMap((name) => ['--exclude', `**/${name}.test.ts`]);
  const env = { ...process.env, ORACLE_CASES: '5000', WITHOUT_SERVICES: '1' };
  delete env.REQUIRE_SERVICES;
  const args = ['run', '-A', 'npm:vitest', 'run', ...excluded, ...reporters];
  try {
    run(deno, args, 'inherit', { env });
  } catch (error) {
    // A socket that Deno still holds can keep vitest from its own end; its report tells the rest.
    if (json === undefined || !passed(json)) throw error;
    console.log(`all tests passed, but: ${error.message}`);
  }
}

/** Whether a report of vitest says that tests ran and none failed. */
function passed(path) {
  const { success, numPassedTests, numFailedTests } = JSON.parse(readFileSync(path, 'utf8'));
  return success && numFailedTests === 0 && numPassedTests > 0;
}

await main();
