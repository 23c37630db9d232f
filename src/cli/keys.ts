/** `cephgate keys NAME`: the generations of an entity's key, and the way from one to the next. */

import { ConfigError } from '../errors.ts';
import { ADMIN_OPTIONS, adminDocument } from './admincall.ts';
import { EXIT_YES, type Io } from './io.ts';
import { formatOptions, type Option, parseFlags } from './options.ts';
import { printable } from './request.ts';
import { settingsOf } from './settings.ts';

const OPTIONS: readonly Option[] = [{ name: 'json', help: 'print JSON' }, ...ADMIN_OPTIONS];

const KEYS_HELP: string = `usage: cephgate keys NAME [rotate|commit|clear] [FLAGS]

Shows which generations of its key an entity has, and when and from where each was used last since
the sidecar was started.

rotate  makes a pending key: both keys are good from then on
commit  makes the pending key the key, and warns if the old one is still in use
clear   drops the pending key

Exit code: 0 done, 2 wrong usage, 3 trouble.

${formatOptions(OPTIONS)}`;

export async function keysCommand(argv: readonly string[], io: Io): Promise<number> {
  const flags = parseFlags(argv, OPTIONS);
  if (flags.help) {
    io.out(KEYS_HELP);
    return EXIT_YES;
  }
  const [name, turn, extra] = flags.words;
  if (name === undefined) throw new ConfigError('config.value', 'expected "keys NAME"');
  if (extra !== undefined || (turn !== undefined && !TURNS.includes(turn))) {
    const word = extra ?? turn;
    throw new ConfigError('config.unknown', `unexpected word "${word}": ${TURNS.join(', ')}`);
  }
  const settings = settingsOf(OPTIONS, flags, io.env);
  const path = `keys/${encodeURIComponent(name)}`;
  const turned =
    turn === undefined ? undefined : await adminDocument(settings, io, 'POST', `${path}/${turn}`);
  if (typeof turned?.warning === 'string') {
    io.err(`cephgate keys: warning: ${printable(turned.warning)}\n`);
  }
  const document = (await adminDocument(settings, io, 'GET', path)) as unknown as Keys;
  io.out(settings.flag('json') ? `${JSON.stringify(document, null, 2)}\n` : linesOf(document));
  return EXIT_YES;
}

interface Key {
  readonly key_type: string;
  readonly created: string;
  readonly last_used: { readonly time: string; readonly source: string } | null;
}

interface Keys {
  readonly entity: string;
  readonly key: Key;
  readonly pending: Key | null;
}

function linesOf({ entity, key, pending }: Keys): string {
  const lines = [printable(entity), lineOf('key', key)];
  if (pending !== null) lines.push(lineOf('pending', pending));
  return lines.map((line) => `${line}\n`).join('');
}

function lineOf(generation: string, { key_type, created, last_used }: Key): string {
  const used =
    last_used === null ? 'not used' : `used ${last_used.time} from ${printable(last_used.source)}`;
  return `${generation.padEnd(7)}  ${key_type}  created ${created}  ${used}`;
}

const TURNS: readonly string[] = ['rotate', 'commit', 'clear'];
