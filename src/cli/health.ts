/** `cephgate health`: the health codes of a sidecar, as `ceph health detail` shows Ceph's. */

import { ADMIN_OPTIONS, adminDocument } from './admincall.ts';
import { EXIT_NO, EXIT_YES, type Io } from './io.ts';
import { formatOptions, type Option, parseFlags, refuseWords } from './options.ts';
import { printable } from './request.ts';
import { settingsOf } from './settings.ts';

const OPTIONS: readonly Option[] = [{ name: 'json', help: 'print JSON' }, ...ADMIN_OPTIONS];

const HEALTH_HELP: string = `usage: cephgate health [FLAGS]

Shows the health codes that are raised, with what each is about.
Exit code: 0 HEALTH_OK, 1 HEALTH_WARN or HEALTH_ERR, 2 wrong usage, 3 trouble.

${formatOptions(OPTIONS)}`;

export async function healthCommand(argv: readonly string[], io: Io): Promise<number> {
  const flags = parseFlags(argv, OPTIONS);
  if (flags.help) {
    io.out(HEALTH_HELP);
    return EXIT_YES;
  }
  refuseWords(flags);
  const settings = settingsOf(OPTIONS, flags, io.env);
  const document = (await adminDocument(settings, io, 'GET', 'health')) as unknown as Health;
  const { status, checks } = document;
  io.out(settings.flag('json') ? `${JSON.stringify(document, null, 2)}\n` : linesOf(document));
  return status === 'HEALTH_OK' && checks.length === 0 ? EXIT_YES : EXIT_NO;
}

interface Health {
  readonly status: string;
  readonly checks: readonly {
    readonly code: string;
    readonly level: 'error' | 'warning';
    readonly summary: string;
    readonly detail: readonly string[];
  }[];
}

function linesOf({ status, checks }: Health): string {
  const summaries = checks.map(({ summary }) => summary).join('; ');
  const lines = [summaries === '' ? status : `${status} ${summaries}`];
  for (const { code, level, summary, detail } of checks) {
    lines.push(`[${level === 'error' ? 'ERR' : 'WRN'}] ${code}: ${summary}`);
    lines.push(...detail.map((line) => `    ${line}`));
  }
  return lines.map((line) => `${printable(line)}\n`).join('');
}
