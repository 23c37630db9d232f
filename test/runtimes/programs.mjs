// The runtimes and tools of this folder, and how they are run.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

export const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, '..', '..');
export const deno = join(here, 'node_modules', '.bin', 'deno');
export const bun = join(here, 'node_modules', '.bin', 'bun');
export const workerd = join(here, 'node_modules', '.bin', 'workerd');

/** No run here takes half of this. */
const TIMEOUT_MS = 1_200_000;

/** Runs a program to its end; what it printed with `stdout` "pipe". */
export function run(command, args, stdout = 'pipe', options = {}) {
  const stdio = ['ignore', stdout, 'inherit'];
  const maxBuffer = 1 << 26;
  const all = { cwd: root, stdio, timeout: TIMEOUT_MS, maxBuffer, ...options };
  const done = spawnSync(command, args, all);
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${done.status}`);
  return stdout === 'pipe' ? done.stdout.toString().trim() : '';
}

/** Whether a program can be run at all. */
export function installed(command, args = ['--version']) {
  return spawnSync(command, args, { stdio: 'ignore' }).error === undefined;
}

/** A missing program is a failure where services are required. */
export function missing(what, install) {
  const words = `${what} is not installed: ${install}`;
  if (process.env.REQUIRE_SERVICES === '1') throw new Error(words);
  console.log(`skipped, ${words}`);
}
