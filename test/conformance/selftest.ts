/**
 * The runner tested on itself: one value of each kind is altered in a copy of a file, and there
 * must be exactly as many failing cases as altered values. Values altered together are in
 * different cases, so that each has a failure of its own.
 */

import { runFile } from './formats.ts';
import { Report } from './report.ts';
import type { Rig } from './rig.ts';

/** One case a kind of value: it passes if one altered value of that kind is one failure more. */
export async function selfTest(rig: Rig, report: Report, file: unknown): Promise<void> {
  const copy = structuredClone(file);
  const run = async (): Promise<Report> => {
    const result = new Report(report.name);
    await runFile(rig, result, copy);
    return result;
  };
  const baseline = await run();
  for (const by of baseline.by) report.by.add(by);
  const kinds = placesByKind(baseline);
  if (kinds.size === 0) {
    report.case('self-test', {}, (check) => check.fail('no value of the file is compared'));
  }
  while (kinds.size > 0) {
    const round = pickRound(kinds);
    const more = (await failuresWith(round, run)) - baseline.failed;
    for (const place of round) {
      const alone =
        more === round.length ? 1 : (await failuresWith([place], run)) - baseline.failed;
      report.case(place.kind, {}, (check) => check.same(place.path, alone, 1));
    }
  }
}

/** A value in a file, found by the comparison that was made with it. */
interface Place {
  readonly kind: string;
  readonly path: string;
  readonly at: object;
}

/** For each kind all its values, at most one a case. */
function placesByKind(baseline: Report): Map<string, Place[]> {
  const kinds = new Map<string, Place[]>();
  for (const { at, paths } of baseline.traced) {
    const seen = new Set<string>();
    for (const path of paths) {
      const kind = kindOf(path, at);
      if (seen.has(kind) || valueAt(at, path) === undefined) continue;
      seen.add(kind);
      const places = kinds.get(kind) ?? [];
      places.push({ kind, path, at });
      kinds.set(kind, places);
    }
  }
  return kinds;
}

/** Takes kinds out of the map: as many as can be altered in cases of their own. */
function pickRound(kinds: Map<string, Place[]>): Place[] {
  const used = new Set<object>();
  const round: Place[] = [];
  for (const [kind, places] of [...kinds]) {
    const place = places.find((each) => !used.has(each.at));
    if (place === undefined) continue;
    used.add(place.at);
    round.push(place);
    kinds.delete(kind);
  }
  return round;
}

/** Failing cases while the values are altered; they are put back. */
async function failuresWith(places: readonly Place[], run: () => Promise<Report>): Promise<number> {
  const undo = places.map(({ at, path }) => alter(at, path));
  try {
    return (await run()).failed;
  } finally {
    for (const each of undo) each();
  }
}

/** Names stand for themselves, numbers and other keys do not; each operation has its own kinds. */
function kindOf(path: string, at: object): string {
  const names = path.split('/').map((part) => (/^[a-z_]\w*$/i.test(part) ? part : '*'));
  const { op } = at as { op?: unknown };
  return (typeof op === 'string' ? [op, ...names] : names).join('/');
}

type Node = Record<string, unknown>;

function valueAt(at: object, path: string): unknown {
  let value: unknown = at;
  for (const part of path.split('/')) value = (value as Node | undefined | null)?.[part];
  return typeof value === 'object' ? undefined : value;
}

/** Changes the value; returns how to change it back. A digit of a text is a value as well. */
function alter(at: object, path: string): () => void {
  const parts = path.split('/');
  let last = parts.pop() as string;
  let digit: number | undefined;
  let node = at as Node;
  for (const part of parts) {
    if (typeof node[part] === 'string') {
      digit = Number(last);
      last = part;
    } else node = node[part] as Node;
  }
  const before = node[last];
  node[last] = digit === undefined ? altered(before) : flipDigit(before as string, digit);
  return () => {
    node[last] = before;
  };
}

function altered(value: unknown): unknown {
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'number') return value === 0 ? 1 : value === 1 ? 0 : value + 1;
  const text = value as string;
  if (/^\d{1,20}$/.test(text)) return `${BigInt.asUintN(64, BigInt(text) ^ 1n)}`;
  const hex = /^(?:[0-9a-f]{2})+$/.test(text);
  if (hex) return text.slice(0, -1) + (text.endsWith('0') ? '1' : '0');
  // In the middle: the last digit of base64 may hold bits that count for nothing.
  const middle = text.length >> 1;
  return text === '' ? '00' : text.slice(0, middle) + otherLetter(text, middle);
}

function otherLetter(text: string, at: number): string {
  return (text[at] === 'Q' ? 'A' : 'Q') + text.slice(at + 1);
}

function flipDigit(text: string, at: number): string {
  return text.slice(0, at) + (text[at] === '1' ? '0' : '1') + text.slice(at + 1);
}
