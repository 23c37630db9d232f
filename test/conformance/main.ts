/**
 * Runs vector files against what the package exports.
 * Usage: main.ts [--only KEY=VALUE]... [--self-test] [FILE...]
 */

import { readdirSync, readFileSync } from 'node:fs';
import { runFile } from './formats.ts';
import { Report } from './report.ts';
import { Rig } from './rig.ts';
import { selfTest } from './selftest.ts';

/** Runs the program; the exit code. */
export async function main(
  argv: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  const { only, files, self, error } = parse(argv);
  if (error !== undefined) {
    print(error);
    return 2;
  }
  const rig = await Rig.create();
  let [passed, failed, skipped] = [0, 0, 0];
  for (const path of files.length > 0 ? files : ourFiles()) {
    const report = new Report(path.replace(/^.*\//, ''), only);
    const file = await read(path, report);
    if (file !== undefined) {
      if (self) await selfTest(rig, report, file);
      else await runFile(rig, report, file);
    }
    for (const line of report.failures) print(line);
    print(report.summary());
    passed += report.passed;
    failed += report.failed;
    skipped += report.skipped;
  }
  print(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 ? 0 : 1;
}

interface Arguments {
  readonly only: Map<string, Set<string>>;
  readonly files: string[];
  readonly self: boolean;
  readonly error?: string;
}

function parse(argv: readonly string[]): Arguments {
  const only = new Map<string, Set<string>>();
  const files: string[] = [];
  let self = false;
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i] as string;
    if (arg === '--self-test') self = true;
    else if (arg === '--only' || arg.startsWith('--only=')) {
      const pair = arg === '--only' ? (argv[++i] ?? '') : arg.slice('--only='.length);
      const at = pair.indexOf('=');
      const error = `Cannot take --only "${pair}": expected KEY=VALUE`;
      if (at < 1) return { only, files, self, error };
      const key = pair.slice(0, at);
      only.set(key, (only.get(key) ?? new Set()).add(pair.slice(at + 1)));
    } else if (arg.startsWith('--')) {
      return { only, files, self, error: `Cannot take "${arg}": it is no option of this program` };
    } else files.push(arg);
  }
  return { only, files, self };
}

/** The parsed file; one that cannot be read or parsed is a failing case. */
async function read(path: string, report: Report): Promise<unknown> {
  let file: unknown;
  await report.guard('file', () => {
    file = JSON.parse(readFileSync(path, 'utf8'));
  });
  return file;
}

/** Every file in test/vectors, from the sources and from dist alike. */
function ourFiles(): string[] {
  for (const folder of ['../vectors/', '../../../test/vectors/']) {
    const url = new URL(folder, import.meta.url);
    try {
      const names = readdirSync(url).filter((name) => name.endsWith('.json'));
      return names.sort().map((name) => decodeURIComponent(new URL(name, url).pathname));
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOENT') throw error;
    }
  }
  return [];
}

const script = process.argv[1] ?? '';
if (/main\.[jt]s$/.test(script)) {
  process.exitCode = await main(process.argv.slice(2), (line) => console.log(line));
}
