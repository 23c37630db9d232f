/** Files of cases: a cap, whether it parses, how it prints, and what it answers. */

import type { Engine } from '../engine/engine.ts';
import { check, isAllowAll, parse, print } from './index.ts';
import { type CapsService, readRequest } from './request.ts';

export interface CaseOptions {
  readonly release: 16 | 20;
  readonly engine: Engine;
}

/** What a case came to: nothing wrong, a list of what is wrong, or not for this release. */
export type CaseResult = 'passed' | 'skipped' | readonly string[];

/** Runs one case. Whatever is not understood in it is a failure, never skipped over. */
export function runCase(value: unknown, options: CaseOptions): CaseResult {
  const wrong = misshapen(value);
  if (wrong !== undefined) return [wrong];
  const asked = value as CapsCase;
  if (asked.since !== undefined && Number(asked.since) > options.release) return 'skipped';
  const parsed = parse(asked.daemon, asked.cap, options);
  if (parsed.ok !== asked.parses) {
    return [parsed.ok ? 'it parses' : `it does not parse: ${parsed.error}`];
  }
  if (!parsed.ok) return asked.checks?.length ? ['it has checks but does not parse'] : 'passed';
  const found: string[] = [];
  const printed = print(parsed.grants);
  if (asked.canonical !== undefined && printed !== asked.canonical) {
    found.push(`it prints as ${printed}`);
  }
  if (asked.allowAll !== undefined && isAllowAll(parsed.grants) !== asked.allowAll) {
    found.push(`allow-all is ${!asked.allowAll}`);
  }
  if (asked.roundTrip === true && !printsAgain(asked.daemon, printed, options)) {
    found.push(`${printed} does not print as itself`);
  }
  for (const [index, { request, allowed }] of (asked.checks ?? []).entries()) {
    const read = readRequest(asked.daemon, request);
    if (typeof read === 'string') found.push(`check ${index}: ${read}`);
    else if (check(parsed.grants, read).allowed !== allowed) {
      found.push(`check ${index}: ${allowed ? 'denied' : 'allowed'}: ${JSON.stringify(request)}`);
    }
  }
  return found.length === 0 ? 'passed' : found;
}

interface CapsCase {
  readonly daemon: CapsService;
  readonly cap: string;
  readonly parses: boolean;
  readonly checks?: readonly { readonly request: unknown; readonly allowed: boolean }[];
  readonly canonical?: string;
  readonly allowAll?: boolean;
  readonly roundTrip?: boolean;
  /** The first release in which it is so. */
  readonly since?: number | string;
  readonly why?: string;
}

/** Prints, takes `MDSAuthCaps[` and `]` away, parses and prints again. */
function printsAgain(service: CapsService, printed: string, options: CaseOptions): boolean {
  const inner = printed.replace(/^MDSAuthCaps\[(.*)\]$/s, '$1');
  const again = parse(service, inner, options);
  return again.ok && print(again.grants) === printed;
}

function misshapen(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return 'the case is not an object';
  for (const [name, held] of Object.entries(value)) {
    if (!Object.hasOwn(FIELDS, name)) return `the case has an unknown field "${name}"`;
    if (!FIELDS[name]!(held)) return `wrong value of "${name}"`;
  }
  const missing = ['daemon', 'cap', 'parses'].find((name) => !Object.hasOwn(value, name));
  return missing && `"${missing}" is missing`;
}

const isText = (value: unknown): boolean => typeof value === 'string';
const isFlag = (value: unknown): boolean => typeof value === 'boolean';
const isCheck = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  Object.keys(value).sort().join() === 'allowed,request' &&
  isFlag((value as { allowed: unknown }).allowed);

const FIELDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  daemon: (value) => ['osd', 'mds', 'mon', 'mgr'].includes(String(value)),
  cap: isText,
  parses: isFlag,
  checks: (value) => Array.isArray(value) && value.every(isCheck),
  canonical: isText,
  allowAll: isFlag,
  roundTrip: isFlag,
  since: (value) => /^[0-9]{1,3}$/.test(String(value)),
  why: isText,
};
