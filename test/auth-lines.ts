/** Seeded command lines of `ceph auth` that change nothing, and what is kept of a run. */

import * as fs from 'node:fs';
import { join } from 'node:path';
import type { Rng } from './rng.ts';

/** That of all users. */
const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
/** A keyring of theirs. */
export const USERS: string =
  `[client.a]\n\tkey = ${KEY}\n\tcaps mon = "allow rx"\n` +
  `[client.b]\n\tkey = ${KEY}\n\tcaps osd = "allow *"\n` +
  `[osd.9]\n\tkey = ${KEY}\n\tcaps mon = "allow r"\n`;

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly files: Readonly<Record<string, string>>;
}

export function filesIn(cwd: string): Record<string, string> {
  const names = fs.readdirSync(cwd).sort();
  return Object.fromEntries(names.map((name) => [name, fs.readFileSync(join(cwd, name), 'utf8')]));
}

/** Of what the library says at a login that fails, only the last line is a contract. */
export function lastIfLogged(text: string): string {
  const last = text.trimEnd().split('\n').at(-1) ?? '';
  return last.startsWith('[errno ') ? last : text;
}

/** Commands that change nothing, or nothing to print: the map stays the same for all runs. */
export function commandLine(rng: Rng, keyring: string): readonly string[] {
  const words = ['auth', ...rng.pick(WORDS)];
  const options: string[][] = [];
  if (rng.chance(0.5))
    options.push(['-f', rng.pick(['json', 'json-pretty', 'xml', 'plain', 'yaml'])]);
  if (rng.chance(0.1)) options.push(['--format=xml-pretty']);
  if (rng.chance(0.2)) options.push(['-o', rng.pick(['o', 'no/o', '-', '.'])]);
  if (rng.chance(0.1)) options.push(['-i', rng.pick(['none', '.', keyring])]);
  if (rng.chance(0.3)) options.push(rng.pick(LOGINS(keyring)));
  const line = [...words];
  for (const option of options) line.splice(rng.pick([0, line.length]), 0, ...option);
  return line;
}

const LOGINS = (keyring: string): readonly string[][] => [
  ['-n', 'client.a', '-k', keyring],
  ['--id=a', `--keyring=${keyring}`],
  ['--user', 'b', '--keyring', keyring],
  ['--name', 'osd.9', '--key', KEY],
  ['-n', 'client.ghost', '--key', KEY],
  ['-n', 'a'],
];

const WORDS: readonly (readonly string[])[] = [
  ...[['ls'], ['list'], ['export'], ['export', 'client.a'], ['get', 'client.a'], ['get']],
  ...[
    ['get', 'client.zz'],
    ['get', 'x'],
    ['get', ''],
    ['get', 'client.a', 'b'],
    ['get', 'client.é'],
  ],
  ...[['get-key', 'osd.9'], ['print-key', 'mon.'], ['print_key', '--entity=client.a'], []],
  ...[['l'], ['g'], ['nosuch'], ['ls', 'x', "y'z"], ['rm'], ['rm', 'client.zz'], ['del', 'x']],
  ...[
    ['caps', 'client.a'],
    ['caps', 'client.a', 'mon'],
    ['caps', 'client.zz', 'mon', 'bad'],
  ],
  ...[['add', 'client.a', 'mon', 'allow rx'], ['add', 'client.a'], ['add'], ['get-or-create']],
  ...[
    ['get-or-create', 'client.a'],
    ['get-or-create', 'client.a', 'mon', 'allow rw'],
  ],
  ...[['get-or-create-key', 'client.b', 'osd', 'allow *'], ['import', 'x'], ['import']],
  ...[
    ['get-key', '--', 'client.a'],
    ['caps', 'client.a', 'mon', 'allow rx'],
    ['rotate', 'x'],
  ],
  ...[
    ['caps', 'client.a', '--caps', 'mon', 'allow rx'],
    ['get', '--entity', 'client.a'],
  ],
  ...[
    ['get', '--nosuch', 'client.a'],
    ['get', 'client.a', '--entity', 'client.b'],
  ],
];
