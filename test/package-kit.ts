/** The package as a user gets it: packed, and installed into an empty project. */

import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

export const root: string = join(dirname(fileURLToPath(import.meta.url)), '..');
const TIMEOUT_MS = 300_000;

/** Runs a program to its end. Its environment holds no setting of ours or of the npm above. */
export function finish(
  command: string,
  args: readonly string[],
  cwd: string,
): SpawnSyncReturns<string> {
  const inherited = Object.entries(process.env).filter(([name]) => !NOT_OURS.test(name));
  const env = Object.fromEntries(inherited);
  return spawnSync(command, args, { cwd, env, encoding: 'utf8', timeout: TIMEOUT_MS });
}

/** What npm tells its scripts, and would take for its own settings again; vitest's too. */
const NOT_OURS =
  /^(CEPHGATE_|npm_package_|npm_lifecycle_|npm_command|INIT_CWD|VITEST|NODE_ENV|NODE_OPTIONS)/;

/** A runtime of test/runtimes, undefined if it is not installed. */
export function tool(name: string): string | undefined {
  const path = join(root, 'test', 'runtimes', 'node_modules', '.bin', name);
  return existsSync(path) ? path : undefined;
}

/** Packs into `folder`; the path of the file. */
export function pack(folder: string): string {
  const args = ['pack', '--ignore-scripts', '--pack-destination', folder];
  const { status, stderr } = finish('npm', args, root);
  const file = readdirSync(folder).find((name) => name.endsWith('.tgz'));
  if (status !== 0 || file === undefined) throw new Error(`npm pack: ${stderr}`);
  return join(folder, file);
}

/** Installs the file into a project of its own under `folder`; npm's words if it cannot. */
export function install(folder: string, file: string): { path: string; error: string | undefined } {
  const path = join(folder, 'project');
  mkdirSync(path);
  writeFileSync(join(path, 'package.json'), '{ "name": "empty", "type": "module" }\n');
  const args = ['install', '--prefer-offline', '--no-audit', '--no-fund', file];
  const { status, stderr } = finish('npm', args, path);
  return { path, error: status === 0 ? undefined : stderr };
}
