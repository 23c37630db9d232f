/**
 * `cephgate caps`: parses a cap, asks it, explains its answer, or runs a file of cases; all in this
 * process, without a sidecar.
 */

import { readFileSync } from 'node:fs';
import { runCase } from '../caps/cases.ts';
import {
  type CapsService,
  explain,
  type Grants,
  isAllowAll,
  parse,
  print,
  written,
} from '../caps/index.ts';
import { Engine } from '../engine/engine.ts';
import { ConfigError, FileError } from '../errors.ts';
import { codeOf } from '../http/files.ts';
import { printAnswer } from './capsanswer.ts';
import { capsRequest, REQUEST_OPTIONS } from './capsrequest.ts';
import { type CapsSource, capsSource, SOURCE_OPTIONS, TEXT_OPTIONS } from './capssource.ts';
import { EXIT_NO, EXIT_USAGE, EXIT_YES, type Io } from './io.ts';
import { formatOptions, type Option, parseFlags, type Settings } from './options.ts';
import { printable } from './request.ts';
import { CONFIG_OPTION, settingsOf } from './settings.ts';

const COMMON: readonly Option[] = [
  {
    name: 'release',
    value: '16|20',
    key: 'release',
    help: 'Ceph release whose grammar and profiles hold, default 20',
  },
  { name: 'json', help: 'print JSON' },
  CONFIG_OPTION,
];

const OPTIONS: Readonly<Record<string, readonly Option[]>> = {
  parse: [...TEXT_OPTIONS, ...COMMON],
  check: [...SOURCE_OPTIONS, ...REQUEST_OPTIONS, ...COMMON],
  explain: [...SOURCE_OPTIONS, ...REQUEST_OPTIONS, ...COMMON],
  test: COMMON,
};

export const CAPS_HELP: string = `usage: cephgate caps parse SERVICE TEXT [FLAGS]
       cephgate caps check|explain SERVICE TEXT [--request JSON|FLAGS]
       cephgate caps check|explain SERVICE --keyring FILE --name ENTITY [--request JSON|FLAGS]
       cephgate caps check|explain --ticket F|- --secrets FILE [--request JSON|FLAGS]
       cephgate caps test FILE [FLAGS]

Parses one cap as the service does; asks it whether an operation is allowed; explains the answer
grant by grant, for a text, an entity of a keyring, or the ticket in an authorizer; or runs a file
of cases: a JSON list of {daemon, cap, parses, checks, ...}.
Exit code: 0 yes, 1 no, 2 wrong usage, 3 trouble.

${formatOptions(OPTIONS.check!)}`;

export async function capsCommand(argv: readonly string[], io: Io): Promise<number> {
  const [name = '', ...rest] = argv;
  if (['--help', '-h', ''].includes(name)) {
    io.out(CAPS_HELP);
    return name === '' ? EXIT_USAGE : EXIT_YES;
  }
  const options = Object.hasOwn(OPTIONS, name) ? OPTIONS[name]! : undefined;
  if (options === undefined) {
    throw new ConfigError(
      'config.unknown',
      `unknown command "${name}": parse, check, explain, test`,
    );
  }
  const flags = parseFlags(rest, options);
  if (flags.help) {
    io.out(CAPS_HELP);
    return EXIT_YES;
  }
  const settings = settingsOf(options, flags, io.env);
  const release = settings.oneOf('release', ['16', '20']) === '16' ? 16 : 20;
  if (name === 'test') return testFile(flags.words, release, settings.flag('json'), io);
  const json = settings.flag('json');
  const source = await capsSource(flags.words, settings, io);
  if (name === 'parse') return parseOne(source.service, source.text ?? '', release, json, io);
  return answerOne(source, release, settings, { detailed: name === 'explain', json }, io);
}

async function answerOne(
  source: CapsSource,
  release: 16 | 20,
  settings: Settings,
  form: { readonly detailed: boolean; readonly json: boolean },
  io: Io,
): Promise<number> {
  const { service, text, entity } = source;
  const request = capsRequest(service, settings, entity);
  if (text === undefined) return printAnswer(io, source, undefined, form) ? EXIT_YES : EXIT_NO;
  const parsed = parse(service, text, await optionsFor(service, release));
  if (parsed.ok) {
    return printAnswer(io, source, explain(parsed.grants, request), form) ? EXIT_YES : EXIT_NO;
  }
  const { error, stop } = parsed;
  if (form.json) io.out(jsonText({ decision: false, reason: 'caps.unparsable', error }));
  else complain(io, text, entity === undefined ? error : printable(error), stop);
  return EXIT_NO;
}

async function parseOne(
  service: CapsService,
  text: string | Uint8Array,
  release: 16 | 20,
  json: boolean,
  io: Io,
): Promise<number> {
  const parsed = parse(service, text, await optionsFor(service, release));
  if (json) {
    const { error = null, stop = null } = parsed.ok ? {} : parsed;
    const grants = parsed.ok ? written(parsed.grants) : [];
    const canonical = parsed.ok ? print(parsed.grants) : null;
    const allowAll = parsed.ok && isAllowAll(parsed.grants);
    io.out(jsonText({ parses: parsed.ok, canonical, allowAll, grants, error, stop }));
  } else if (parsed.ok) io.out(parsedLines(parsed.grants));
  else complain(io, text, parsed.error, parsed.stop);
  return parsed.ok ? EXIT_YES : EXIT_NO;
}

function parsedLines(grants: Grants): string {
  const list = written(grants).map(
    ({ text, span: [from, to] }, index) => `grant ${index}    ${from}-${to}: ${text}\n`,
  );
  const allowAll = isAllowAll(grants) ? 'yes' : 'no';
  return `canonical  ${print(grants)}\nallow all  ${allowAll}\n${list.join('')}`;
}

async function testFile(
  words: readonly string[],
  release: 16 | 20,
  json: boolean,
  io: Io,
): Promise<number> {
  const [path] = words;
  if (path === undefined || words.length > 1) {
    throw new ConfigError('config.value', 'expected one file of cases');
  }
  const cases = parseCases(path, path === '-' ? await io.readInput() : readBytes(path));
  const engine = await Engine.create({ preset: 'server' });
  const failures: { case: number; cap: unknown; wrong: readonly string[] }[] = [];
  let passed = 0;
  let skipped = 0;
  for (const [index, each] of cases.entries()) {
    const result = runCase(each, { release, engine });
    if (result === 'passed') passed++;
    else if (result === 'skipped') skipped++;
    else
      failures.push({ case: index, cap: (each as { cap?: unknown } | null)?.cap, wrong: result });
  }
  if (json) io.out(jsonText({ passed, failed: failures.length, skipped, failures }));
  else {
    for (const { case: index, cap, wrong } of failures) {
      io.out(`case ${index} ${JSON.stringify(cap)}: ${wrong.join('; ')}\n`);
    }
    io.out(`${passed} passed, ${failures.length} failed, ${skipped} skipped\n`);
  }
  return failures.length === 0 ? EXIT_YES : EXIT_NO;
}

function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new FileError('file.missing', `cannot read "${path}": ${codeOf(error)}`);
  }
}

function parseCases(path: string, bytes: Uint8Array): readonly unknown[] {
  try {
    const cases: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (Array.isArray(cases)) return cases;
  } catch {
    // Said below: it is no list of cases either way.
  }
  throw new FileError('file.content', `cannot read cases in "${path}": not a JSON list`);
}

/** Only osd and mds caps need the core. */
async function optionsFor(
  service: CapsService,
  release: 16 | 20,
): Promise<{ release: 16 | 20; engine?: Engine }> {
  if (service === 'mon' || service === 'mgr') return { release };
  return { release, engine: await Engine.create({ preset: 'server' }) };
}

/** Ceph's words, then the cap with a caret where the parser stopped. */
function complain(io: Io, text: string | Uint8Array, error: string, stop: number): void {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  const utf8 = new TextDecoder();
  const oneLine = (part: Uint8Array): string =>
    utf8.decode(part).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ');
  const before = [...oneLine(bytes.subarray(0, stop))].length;
  io.err(`${error}\n  ${oneLine(bytes)}\n  ${' '.repeat(before)}^\n`);
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
