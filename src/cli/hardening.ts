/**
 * Keys lie in our memory: whatever would open that memory to others is refused or shut before a
 * secret is read. Debugger, heap snapshots, diagnostic reports, core dumps, logs of TLS keys.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import * as inspector from 'node:inspector';
import process from 'node:process';
import { ConfigError } from '../errors.ts';
import type { LogRecord } from '../http/deps.ts';

/** What is looked at, so that tests can give another process. */
export interface ProcessFacts {
  /** Options of the runtime, from the command line. */
  readonly execArgv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where a debugger may connect; undefined: nowhere. */
  readonly inspectorUrl: string | undefined;
  /** Soft RLIMIT_CORE in bytes, `unlimited`, or undefined where it is not known. */
  readonly coreLimit: string | undefined;
  /** Core dumps, if any, are made without our memory. */
  readonly coresWithoutMemory: boolean;
}

/** Node opens a debugger on SIGUSR1, unless somebody listens. */
export function takeSigusr1(): void {
  process.on('SIGUSR1', () => undefined);
}

/** Throws ConfigError where memory would be open, warns where a core dump would still be made. */
export function hardenProcess(
  log: (record: LogRecord) => void,
  facts: ProcessFacts = factsOfThisProcess(),
): void {
  for (const word of [...facts.execArgv, ...splitOptions(facts.env.NODE_OPTIONS ?? '')]) {
    // Node takes an underscore for a dash.
    const name = word.split('=')[0]!.replaceAll('_', '-');
    const reason = REFUSED_OPTIONS.find(([start]) => name.startsWith(start))?.[1];
    if (reason !== undefined) throw refusal(`with ${name}`, reason);
  }
  for (const [name, reason] of REFUSED_VARIABLES) {
    if ((facts.env[name] ?? '') !== '') throw refusal(`with ${name} set`, reason);
  }
  if (facts.inspectorUrl !== undefined) throw refusal('under a debugger', 'it can read all keys');
  const { coreLimit, coresWithoutMemory } = facts;
  if (coreLimit === undefined || coreLimit === '0') return;
  if (!coresWithoutMemory) {
    const remedy = 'expected 0 ("ulimit -c 0", LimitCORE=0)';
    throw refusal(`with RLIMIT_CORE ${coreLimit}`, `a core dump would hold all keys: ${remedy}`);
  }
  const message = `RLIMIT_CORE is ${coreLimit}: core dumps are made, but without memory`;
  log({ level: 'warn', event: 'hardening', message });
}

function factsOfThisProcess(): ProcessFacts {
  const { execArgv, env } = process;
  const coresWithoutMemory = takeMemoryOutOfCores();
  return {
    execArgv,
    env,
    inspectorUrl: inspectorUrl(),
    coreLimit: coreLimit(),
    coresWithoutMemory,
  };
}

/** No runtime of ours can lower RLIMIT_CORE, but on Linux a process says what its dump holds. */
function takeMemoryOutOfCores(): boolean {
  try {
    writeFileSync(COREDUMP_FILTER, '0');
    return /^0+\s*$/.test(readFileSync(COREDUMP_FILTER, 'utf8'));
  } catch {
    return false;
  }
}

function coreLimit(): string | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return /^Max core file size\s+(\S+)/m.exec(limits)?.[1];
  } catch {
    return undefined;
  }
}

function inspectorUrl(): string | undefined {
  try {
    return inspector.url();
  } catch {
    return undefined;
  }
}

/** The words of NODE_OPTIONS: Node splits at spaces outside double quotes. */
function splitOptions(text: string): string[] {
  return (text.match(/(?:"(?:\\.|[^"\\])*"|[^ "])+/g) ?? []).map((word) =>
    word.replaceAll('"', ''),
  );
}

function refusal(how: string, why: string): ConfigError {
  return new ConfigError('config.value', `refusing to start ${how}: ${why}`);
}

/** By how they begin: `--inspect` stands for `--inspect-brk` and the others too. */
const REFUSED_OPTIONS: readonly (readonly [string, string])[] = [
  ['--inspect', 'a debugger can read all keys'],
  ['--debug', 'a debugger can read all keys'],
  ['--experimental-network-inspection', 'a debugger can read all keys'],
  ['--heapsnapshot', 'a heap snapshot holds all keys'],
  ['--heap-prof', 'a heap profile is a file about our memory'],
  ['--report', 'a diagnostic report tells the environment and the state of the process'],
  [
    '--experimental-report',
    'a diagnostic report tells the environment and the state of the process',
  ],
  ['--abort-on-uncaught-exception', 'it makes core dumps'],
  ['--tls-keylog', 'it writes the keys of TLS connections'],
  ['--trace-tls', 'it prints what passes through TLS'],
];
const REFUSED_VARIABLES: readonly (readonly [string, string])[] = [
  ['NODE_DEBUG', 'it prints what passes, bearer tokens included'],
  ['NODE_DEBUG_NATIVE', 'it prints what passes'],
  ['BUN_INSPECT', 'a debugger can read all keys'],
  ['SSLKEYLOGFILE', 'it asks for the keys of TLS connections'],
];
const COREDUMP_FILTER = '/proc/self/coredump_filter';
