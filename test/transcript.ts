/**
 * Recorded runs of a command, replayed through `cephgate(argv, io)` in a temporary folder. The
 * shape is that of authtool-golden.json: argv, env, files before and after, stdout, stderr, exit.
 */

import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import type { Io } from '../src/cli/io.ts';

/** A file's text, or its bytes where they are no text. */
export type Content = string | { readonly base64: string };

export interface TranscriptCase {
  readonly id: string;
  readonly argv: readonly string[];
  readonly stdin: string | null;
  readonly env?: Readonly<Record<string, string>>;
  readonly files_before: Readonly<Record<string, Content>>;
  /** Octal; a file that is not named has 0644. */
  readonly modes_before?: Readonly<Record<string, string>>;
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: number;
  readonly files_after: Readonly<Record<string, Content>>;
  readonly modes_after: Readonly<Record<string, string>>;
  /** What is known of each `<GENKEY#n>` of the expected texts. */
  readonly generated?: Readonly<Record<string, GeneratedKey>>;
  readonly note?: string;
}

export interface GeneratedKey {
  readonly type: number;
  readonly secret_len: number;
  readonly encoded_chars: number;
  readonly created: string;
}

/** What a run left behind. */
export interface Outcome {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly files: Readonly<Record<string, Uint8Array>>;
  readonly modes: Readonly<Record<string, string>>;
  /** Seconds since 1970. */
  readonly began: number;
  readonly ended: number;
}

export type Runner = (
  argv: readonly string[],
  io: Io & { readonly cwd: string },
) => Promise<number> | number;

/** Runs a case, without the program's name, in a folder of its own under umask 022. */
export async function replay(
  given: Pick<TranscriptCase, 'argv' | 'env' | 'files_before' | 'modes_before' | 'stdin'>,
  env: Readonly<Record<string, string>>,
  run: Runner,
): Promise<Outcome> {
  const cwd = fs.mkdtempSync(join(tmpdir(), 'cephgate-transcript-'));
  const umask = process.umask(0o022);
  let stdout = '';
  let stderr = '';
  const began = Math.floor(Date.now() / 1000);
  try {
    for (const [name, content] of Object.entries(given.files_before)) {
      fs.mkdirSync(dirname(join(cwd, name)), { recursive: true });
      fs.writeFileSync(join(cwd, name), bytesOf(content));
      fs.chmodSync(join(cwd, name), Number.parseInt(given.modes_before?.[name] ?? '0644', 8));
    }
    const exit = await run(given.argv.slice(1), {
      env: { HOME: cwd, ...env, ...given.env },
      cwd,
      out: (text) => {
        stdout += text;
      },
      err: (text) => {
        stderr += text;
      },
      readInput: async () => new TextEncoder().encode(given.stdin ?? ''),
    });
    const ended = Math.floor(Date.now() / 1000);
    return { exit, stdout, stderr, ...filesIn(cwd), began, ended };
  } finally {
    process.umask(umask);
    fs.rmSync(cwd, { recursive: true, force: true });
  }
}

/** What was compared, and every value that differs. */
export interface Comparison {
  readonly values: number;
  readonly failures: readonly string[];
}

/** Compares byte for byte; `<GENKEY#n>` stands for one and the same key wherever it is. */
export function compareOutcome(expected: TranscriptCase, actual: Outcome): Comparison {
  const failures: string[] = [];
  let values = 0;
  const keys = new Map<string, string>();
  const check = (what: string, wanted: string, got: string | undefined) => {
    values++;
    const known = got === undefined ? undefined : withNames(wanted, got, keys);
    if (known !== wanted) {
      failures.push(`${what}: ${JSON.stringify(got)}, expected ${JSON.stringify(wanted)}`);
    }
  };
  check('exit', String(expected.exit), String(actual.exit));
  check('stdout', expected.stdout, actual.stdout);
  check('stderr', expected.stderr, actual.stderr);
  const names = Object.keys(expected.files_after).sort();
  check('files', names.join(), Object.keys(actual.files).sort().join());
  for (const name of names) {
    const bytes = actual.files[name];
    check(name, latin1(bytesOf(expected.files_after[name]!)), bytes && latin1(bytes));
    check(`mode of ${name}`, expected.modes_after[name] ?? '', actual.modes[name]);
  }
  for (const [name, described] of Object.entries(expected.generated ?? {})) {
    values++;
    const wrong = wrongKey(keys.get(name), described, actual);
    if (wrong !== undefined) failures.push(`${name}: ${wrong}`);
  }
  return { values, failures };
}

/** The text with generated keys under the names that the expected text has for them. */
function withNames(expected: string, actual: string, keys: Map<string, string>): string {
  const found = [...expected.matchAll(/<GENKEY#\d+>/g)].map(([name]) => name);
  if (found.length === 0) return actual;
  const pattern = expected
    .split(/<GENKEY#\d+>/)
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('([A-Za-z0-9+/]+=*)');
  const match = new RegExp(`^${pattern}$`).exec(actual);
  if (match === null) return actual;
  for (const [index, name] of found.entries()) {
    const key = match[index + 1]!;
    if ((keys.get(name) ?? key) !== key) return actual;
    keys.set(name, key);
  }
  return expected;
}

function wrongKey(
  text: string | undefined,
  described: GeneratedKey,
  { began, ended }: Outcome,
): string | undefined {
  if (text === undefined) return 'no such key in the outcome';
  const key = CryptoKey.fromBase64(text);
  const got = [key.type, key.secret.length, text.length].join();
  const wanted = [described.type, described.secret_len, described.encoded_chars].join();
  if (got !== wanted) return `type, length, characters ${got}, expected ${wanted}`;
  const inTime = key.created.seconds >= began && key.created.seconds <= ended;
  return inTime ? undefined : `created at ${key.created.seconds}, not during the run`;
}

function filesIn(cwd: string): Pick<Outcome, 'files' | 'modes'> {
  const files: Record<string, Uint8Array> = {};
  const modes: Record<string, string> = {};
  for (const entry of fs.readdirSync(cwd, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(cwd.length + 1);
    files[name] = fs.readFileSync(path);
    modes[name] = (fs.statSync(path).mode & 0o7777).toString(8).padStart(4, '0');
  }
  return { files, modes };
}

function bytesOf(content: Content): Uint8Array {
  return typeof content === 'string'
    ? new TextEncoder().encode(content)
    : Uint8Array.from(atob(content.base64), (char) => char.charCodeAt(0));
}

function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
}
