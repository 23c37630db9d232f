/**
 * Pairs of a random cap and a random request in all four languages: we and the twins, which are
 * slow and obvious, decide alike. `CAPS_PAIRS` is how many for each language.
 */

import process from 'node:process';
import { beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { check, parse, readRequest } from '../src/caps/index.ts';
import { Engine, type Verdict } from '../src/engine/index.ts';
import { CapsCore, conditionName, nearest, reasonOf } from './caps-engine.ts';
import { answers, CAP_SEEDS, capText, mgrRequest, monRequest } from './caps-mon-kit.ts';
import { bytesOf, mdsRequest, mdsText, osdRequest, osdText } from './caps-texts.ts';
import { Rng, seedOf } from './rng.ts';
import {
  checkMds,
  explainMds,
  type MdsCondition,
  type MdsRequest,
  parseMds,
} from './twin/mdscap.ts';
import * as mgrTwin from './twin/mgrcap.ts';
import * as monTwin from './twin/moncap.ts';
import {
  checkOsd,
  explainOsd,
  type OsdCondition,
  type OsdRequest,
  parseOsd,
} from './twin/osdcap.ts';

const seed = seedOf(71);
const PAIRS = Number(process.env.CAPS_PAIRS ?? 100_000);
const PAIRS_OF_A_TEXT = 6;
/** One in so many pairs is explained too, which decides anew. */
const EXPLAINED = 8;
const TIMEOUT = { timeout: 14_400_000 };

let engine: Engine;

beforeAll(async () => {
  engine = await Engine.create({ preset: 'server' });
});

/** What the two of the core's languages have in common. */
interface Language<G, R extends OsdRequest | MdsRequest> {
  readonly core: CapsCore;
  readonly text: (rng: Rng) => string;
  readonly request: (rng: Rng) => R;
  readonly parse: (text: Uint8Array) => G[] | { stop: number };
  readonly check: (grants: readonly G[], request: R) => boolean;
  readonly explain: (grants: readonly G[], request: R) => (OsdCondition | MdsCondition)[];
  readonly conditions: number;
}

describe(`the core and the twins (seed ${seed})`, () => {
  it(`decide and explain ${PAIRS} pairs alike: osd`, TIMEOUT, () => {
    const core = new CapsCore(engine, 'osd');
    const twin = { parse: parseOsd, check: checkOsd, explain: explainOsd, conditions: 9 };
    comparePairs({ core, text: osdText, request: osdRequest, ...twin }, new Rng(seed), PAIRS);
  });

  it.each([16, 20] as const)(
    `decide and explain ${PAIRS / 2} pairs alike: mds of %i`,
    TIMEOUT,
    (release) => {
      const core = new CapsCore(engine, 'mds', release);
      const own = (text: Uint8Array) => parseMds(text, release);
      const twin = { parse: own, check: checkMds, explain: explainMds, conditions: 10 };
      const language = { core, text: mdsText, request: mdsRequest, ...twin };
      comparePairs(language, new Rng(seed + release), PAIRS / 2);
    },
  );
});

function comparePairs<G, R extends OsdRequest | MdsRequest>(
  language: Language<G, R>,
  rng: Rng,
  wanted: number,
): void {
  const { core } = language;
  const reached = new Set<string>();
  const count = { yes: 0, no: 0 };
  while (count.yes + count.no < wanted) {
    const text = language.text(rng);
    const grants = language.parse(bytesOf(text));
    if (!Array.isArray(grants)) continue;
    const { handle } = core.parse(bytesOf(text));
    for (let i = 0; i < PAIRS_OF_A_TEXT; i++) {
      const request = language.request(rng);
      const lines = language.explain(grants, request);
      const allowed = language.check(grants, request);
      const explain = rng.int(EXPLAINED) === 0;
      const said = core.check(handle, request);
      if (!same(said, allowed, lines)) report(text, request, said, allowed, lines);
      if (explain) {
        const told = core.check(handle, request, true);
        if (!same(told, allowed, lines)) report(text, request, told, allowed, lines);
        checkDetail(language, text, grants, lines, told.detail);
      }
      for (const line of lines) reached.add(line);
      count[allowed ? 'yes' : 'no']++;
    }
  }
  expect(reached.size).toBe(language.conditions);
  expect(Math.min(count.yes, count.no), JSON.stringify(count)).toBeGreaterThan(wanted / 50);
}

function same(
  said: Verdict,
  allowed: boolean,
  lines: readonly (OsdCondition | MdsCondition)[],
): boolean {
  const grant = nearest(lines);
  return (
    said.decision === allowed &&
    said.grant === grant &&
    conditionName(said.condition) === lines[grant] &&
    said.reason === reasonOf(lines[grant])
  );
}

/** Fails with both answers. */
function report(
  text: string,
  request: OsdRequest | MdsRequest,
  said: Verdict,
  decision: boolean,
  lines: readonly (OsdCondition | MdsCondition)[],
): void {
  const grant = nearest(lines);
  const { reason } = said;
  const condition = conditionName(said.condition);
  const ours = { decision: said.decision, grant: said.grant, condition, reason };
  const theirs = { decision, grant, condition: lines[grant], reason: reasonOf(lines[grant]) };
  expect({ text, request, ...ours }).toEqual({ text, request, ...theirs });
}

function checkDetail<G, R extends OsdRequest | MdsRequest>(
  language: Language<G, R>,
  text: string,
  grants: readonly G[],
  lines: readonly string[],
  detail: Verdict['detail'],
): void {
  const examined = detail.slice(0, lines.length);
  const conditions = examined.map((line) => conditionName(line.condition));
  const where = JSON.stringify({ text, lines, conditions });
  expect(detail.map((line) => line.grant)).toEqual(grants.map((_, i) => i));
  expect(conditions, where).toEqual(lines);
  for (const { condition } of detail.slice(lines.length)) {
    expect(condition, where).toBe(abi.CONDITION_NOT_EXAMINED);
  }
  let end = 0;
  for (const line of detail) {
    expect(line.start, where).toBeGreaterThanOrEqual(end);
    const own = language.parse(bytesOf(text.slice(line.start, line.end)));
    expect(own, where).toEqual([grants[line.grant]]);
    end = line.end;
  }
}

describe(`mon and mgr caps and their twins (seed ${seed})`, () => {
  it(`parse texts and decide ${PAIRS} pairs alike: mon`, TIMEOUT, () => {
    const rng = new Rng(seedOf(0x6d6f6e));
    const count = { yes: 0, no: 0 };
    const wrong: unknown[] = [];
    for (let i = 0; count.yes + count.no < PAIRS; i++) {
      const text = capText(rng, i % 3 === 0 ? CAP_SEEDS.profiles : CAP_SEEDS.mon);
      const newer = rng.chance(0.5);
      const parsed = parse('mon', text, { release: newer ? 20 : 16 });
      const known = monTwin.parse(text);
      const stop = Array.isArray(known) ? undefined : known.stop;
      if ((parsed.ok ? undefined : parsed.stop) !== stop) wrong.push([text, stop, parsed]);
      if (!parsed.ok || !Array.isArray(known)) continue;
      for (let j = 0; j < PAIRS_OF_A_TEXT; j++) {
        const fields = monRequest(rng);
        const expected = monTwin.allows(known, fields, newer);
        if (!agrees(rng, parsed.grants, fields, expected))
          wrong.push([text, newer, fields, expected]);
        count[expected ? 'yes' : 'no']++;
      }
    }
    expect(wrong).toEqual([]);
    expect(Math.min(count.yes, count.no), JSON.stringify(count)).toBeGreaterThan(PAIRS / 50);
  });

  it(`parse texts and decide ${PAIRS} pairs alike: mgr`, TIMEOUT, () => {
    const rng = new Rng(seedOf(0x6d6772));
    const count = { yes: 0, no: 0, profile: 0 };
    const wrong: unknown[] = [];
    while (count.yes + count.no < PAIRS) {
      const text = capText(rng, CAP_SEEDS.mgr);
      const newer = rng.chance(0.5);
      const parsed = parse('mgr', text, { release: newer ? 20 : 16 });
      const known = mgrTwin.parse(text, newer);
      if (!Array.isArray(known)) {
        const agree =
          !parsed.ok &&
          ('stop' in known ? parsed.stop === known.stop : parsed.error.endsWith(known.profile));
        if (!agree) wrong.push([text, known, parsed]);
        if ('profile' in known) count.profile++;
        continue;
      }
      if (!parsed.ok) {
        wrong.push([text, known, parsed]);
        continue;
      }
      for (let j = 0; j < PAIRS_OF_A_TEXT; j++) {
        const fields = mgrRequest(rng);
        const expected = mgrTwin.allows(known, fields);
        if (!agrees(rng, parsed.grants, fields, expected)) wrong.push([text, fields, expected]);
        count[expected ? 'yes' : 'no']++;
      }
    }
    expect(wrong).toEqual([]);
    expect(Math.min(count.yes, count.no), JSON.stringify(count)).toBeGreaterThan(PAIRS / 50);
    expect(count.profile).toBeGreaterThan(50);
  });
});

/** Our decision; for some of them the explanation too. */
function agrees(
  rng: Rng,
  grants: Parameters<typeof answers>[0],
  fields: Parameters<typeof answers>[1],
  expected: boolean,
): boolean {
  if (rng.int(EXPLAINED) === 0) return answers(grants, fields, expected);
  const request = readRequest(grants.service, fields);
  return typeof request !== 'string' && check(grants, request).allowed === expected;
}
