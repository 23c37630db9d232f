/** `cephgate config show`: every setting, its value and where it came from. */

import { ConfigError } from '../errors.ts';
import { EXIT_YES, type Io } from './io.ts';
import { formatOptions, type Option, parseFlags } from './options.ts';
import { KNOWN_OPTIONS, settingsOf } from './settings.ts';

/** One line of the table. */
interface Shown {
  readonly key: string;
  /** Null: not set, and there is no default. */
  readonly value: string | readonly string[] | null;
  readonly origin: string;
}

export async function configCommand(argv: readonly string[], io: Io): Promise<number> {
  const options = [...OWN_OPTIONS, ...KNOWN_OPTIONS];
  const flags = parseFlags(argv, options);
  if (flags.help) {
    io.out(HELP);
    return EXIT_YES;
  }
  if (flags.words.length !== 1 || flags.words[0] !== 'show') {
    throw new ConfigError('config.unknown', 'expected "cephgate config show"');
  }
  const settings = settingsOf(KNOWN_OPTIONS, flags, io.env);
  const rows = KNOWN_OPTIONS.map((option): Shown => {
    const values = settings.list(option.name)?.map(withoutLogin);
    const { key, repeatable } = option;
    const value =
      values === undefined ? (option.default ?? null) : repeatable ? values : values[0]!;
    return { key: key!, value, origin: settings.origin(option.name) ?? 'default' };
  });
  rows.sort((a, b) => (a.key < b.key ? -1 : 1));
  const origins = flags.values.has('origin');
  if (flags.values.has('json')) io.out(`${JSON.stringify(asObject(rows, origins), null, 2)}\n`);
  else io.out(asTable(rows, origins));
  return EXIT_YES;
}

function asObject(rows: readonly Shown[], origins: boolean): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    rows.map(({ key, value, origin }) => [key, origins ? { value, origin } : value]),
  );
}

function asTable(rows: readonly Shown[], origins: boolean): string {
  const cells = rows.map(({ key, value, origin }) => {
    const text = value === null ? '-' : typeof value === 'string' ? value : value.join(',');
    return origins ? [key, text, origin] : [key, text];
  });
  const widths = [0, 1].map((at) => Math.max(...cells.map((row) => row[at]!.length)));
  const lines = cells.map((row) =>
    row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at]!))).join('  '),
  );
  return `${lines.join('\n')}\n`;
}

/** An address may have been given with a name and a secret in it, though we take none there. */
function withoutLogin(value: string): string {
  return value.replaceAll(/\/\/[^/@,]*@/g, '//***@');
}

const OWN_OPTIONS: readonly Option[] = [
  { name: 'origin', help: 'where each value came from: a flag, the environment, a file, default' },
  { name: 'json', help: 'print JSON' },
];

const HELP = `usage: cephgate config show [--origin] [--json] [FLAGS]

Shows every setting, its value, and where it came from: flags, before the environment
(CEPHGATE_KEY), before the config file (--config FILE, JSON), before the default. Any other flag
is a setting of another command.

${formatOptions(OWN_OPTIONS)}`;
