/** Command lines in this process: what they print and their exit codes. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cephgate } from '../src/cli/cephgate.ts';

/** What one run did. */
export interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: Uint8Array;
}

/** Runs `cephgate ARGV` with an environment of its own. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Run> {
  let out = '';
  let err = '';
  const code = await cephgate(argv, {
    env: options.env ?? {},
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    readInput: async () => options.input ?? new Uint8Array(0),
  });
  return { code, out, err };
}

/** Writes a file for its owner only and gives its path. */
export function privateFile(folder: string, name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}
