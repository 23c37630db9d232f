/**
 * MDS caps in the core: against recorded reality and the examples, then against the twin with
 * random texts and requests under both releases, then at the limits.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { Engine, type Verdict } from '../src/engine/index.ts';
import { CapsCore, printed } from './caps-engine.ts';
import { bytesOf, mdsRequest, mdsText } from './caps-texts.ts';
import { acceptRows, type Case, examples, mdsRows, refusal, releasesOf } from './caps-vectors.ts';
import { cpuMs } from './cputime.ts';
import { Rng, seedOf } from './rng.ts';
import {
  allowAllMds,
  checkMds,
  fsNameCapable,
  type MdsGrant,
  type MdsRequest,
  parseMds,
  printMds,
  type Release,
} from './twin/mdscap.ts';

const seed = seedOf(73);
const RELEASES = [16, 20] as const;
/** Per release. */
const TEXTS = 10_000;
/** Groups of one grant that every core has room for. */
const GIDS = 10_000;
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

let engine: Engine;
let cores: Readonly<Record<Release, CapsCore>>;

beforeAll(async () => {
  engine = await Engine.create({ preset: 'server' });
  cores = { 16: new CapsCore(engine, 'mds', 16), 20: new CapsCore(engine, 'mds', 20) };
});

describe('recorded reality', () => {
  it('takes and refuses the texts that a monitor did, with its words', () => {
    for (const { caps, accept, error } of acceptRows('mds')) {
      const verdict = cores[16].parse(utf8(caps));
      expect(verdict.decision, caps).toBe(accept);
      expect(verdict.reason, caps).toBe(accept ? 'ok' : 'caps.unparsable');
      if (!accept) expect(refusal('mds', caps, verdict.stop)).toBe(error);
    }
  });

  it('answers as a real MDS did', () => {
    for (const release of RELEASES) {
      const wrong: Case<MdsRequest>[] = [];
      for (const row of mdsRows()) {
        const { handle } = cores[release].parse(utf8(row.caps));
        if (cores[release].check(handle, row.request).decision !== row.allowed) wrong.push(row);
      }
      expect(wrong).toEqual([]);
    }
  });

  it('agrees with the examples', () => {
    for (const each of examples<MdsRequest>('mds')) {
      for (const release of releasesOf(each)) {
        const verdict = cores[release].parse(utf8(each.cap));
        expect(verdict.decision, each.cap).toBe(each.parses);
        if (each.canonical !== undefined) expect(verdict.caps).toBe(each.canonical);
        if (each.allowAll !== undefined) expect(verdict.allowAll).toBe(each.allowAll);
        for (const { request, allowed } of each.checks) {
          const said = cores[release].check(verdict.handle, request).decision;
          expect(said, `${each.cap}: ${each.why}`).toBe(allowed);
        }
      }
    }
  });
});

/** What the core says of a parse, in the shape of `expected`. */
function parsed(verdict: Verdict): object {
  const { reason, grantsWritten, grantsCompiled, allowAll } = verdict;
  if (reason !== 'ok') return { reason, stop: verdict.stop, newMessage: newMessage(verdict) };
  return { reason, grantsWritten, grantsCompiled, allowAll, print: printed(verdict) };
}

function expected(text: string, release: Release, grants: MdsGrant[] | { stop: number }): object {
  if (!Array.isArray(grants)) {
    const { stop } = grants;
    const newer = release === 20 && text.slice(stop).includes('allow');
    return { reason: 'caps.unparsable', stop, newMessage: newer };
  }
  return {
    reason: 'ok',
    grantsWritten: grants.length,
    grantsCompiled: grants.length,
    allowAll: allowAllMds(grants),
    print: printMds(grants),
  };
}

/** Whether the refusal has the words of newer releases, about the letters. */
function newMessage({ bytes }: Verdict): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.getUint32(abi.VERDICT_GLOBAL_ID + 4, true) !== 0;
}

describe.each(RELEASES)(`the core and the twin of release %i (seed ${seed})`, (release) => {
  it('parse random texts alike', () => {
    const rng = new Rng(seed + release);
    let accepted = 0;
    for (let i = 0; i < TEXTS; i++) {
      const text = mdsText(rng);
      const grants = parseMds(bytesOf(text), release);
      if (Array.isArray(grants)) accepted++;
      const verdict = cores[release].parse(bytesOf(text), false);
      expect({ text, ...parsed(verdict) }).toEqual({ text, ...expected(text, release, grants) });
    }
    expect(accepted).toBeGreaterThan(TEXTS / 8);
    expect(accepted).toBeLessThan((TEXTS * 3) / 4);
  });

  it('keep operations out of file systems that no grant opens', () => {
    const rng = new Rng(seed + release + 2);
    const seen = { open: 0, closed: 0 };
    for (let i = 0; i < TEXTS; i++) {
      const text = mdsText(rng);
      const grants = parseMds(bytesOf(text), release);
      if (!Array.isArray(grants)) continue;
      const { handle } = cores[release].parse(bytesOf(text));
      const request = { ...mdsRequest(rng), fs: rng.pick(['a', 'cephfs', 'a.b_c-D', 'x', '0']) };
      // A real MDS of 16.2.15 asks once, when it is mounted, for READ: not for each operation.
      const open = fsNameCapable(grants, request.fs, ['READ']);
      seen[open ? 'open' : 'closed']++;
      const said = cores[release].check(handle, request, true);
      const allowed = open && checkMds(grants, request);
      expect({ text, request, allowed: said.decision }).toEqual({ text, request, allowed });
      expect(said.condition === abi.CONDITION_FSNAME).toBe(!open);
      expect(said.detail.some((line) => line.condition === 0)).toBe(allowed);
    }
    expect(Math.min(seen.open, seen.closed)).toBeGreaterThan(TEXTS / 200);
  });
});

describe('limits', () => {
  it('take 10000 written grants and not one more', () => {
    const most = utf8(`${'allow r path=a,'.repeat(abi.CAPS_GRANTS_MAX - 1)}allow *`);
    const verdict = cores[20].parse(most);
    expect(verdict.reason).toBe('ok');
    expect(verdict.grantsWritten).toBe(abi.CAPS_GRANTS_MAX);
    const request = { ...mdsRequest(new Rng(1)), path: 'b', addr: null };
    const said = cores[20].check(verdict.handle, request);
    expect([said.decision, said.grant]).toEqual([true, abi.CAPS_GRANTS_MAX - 1]);
    const over = utf8(`${'allow r path=a,'.repeat(abi.CAPS_GRANTS_MAX)}allow *`);
    expect(cores[20].parse(over).reason).toBe('limit.exceeded');
  });

  it('take a long list of groups, and say so where it is too long', () => {
    const gids = (count: number): Uint8Array =>
      utf8(`allow r uid=1 gids=${Array.from({ length: count }, (_, i) => count - i).join(',')}`);
    const { handle, reason } = cores[20].parse(gids(GIDS));
    expect(reason).toBe('ok');
    const caller = { callerUid: 1, callerGidList: [], path: 'a', mask: [] };
    for (const callerGid of [0, 1, 2, GIDS / 2, GIDS - 1, GIDS, GIDS + 1]) {
      const said = cores[20].check(handle, { ...mdsRequest(new Rng(1)), ...caller, callerGid });
      expect(said.decision, `${callerGid}`).toBe(callerGid >= 1 && callerGid <= GIDS);
    }
    expect(cores[20].parse(gids(150_000)).reason).toBe('limit.exceeded');
  });

  it('take 1 MiB of text, and not one byte more', () => {
    const text = (length: number): Uint8Array => utf8(`allow r path=${'x'.repeat(length - 13)}`);
    const most = cores[20].parse(text(abi.CAPS_TEXT_LEN_MAX));
    expect(most.reason).toBe('ok');
    expect(cores[20].parse(text(abi.CAPS_TEXT_LEN_MAX + 1)).reason).toBe('limit.exceeded');
  });

  it('parse bad text of 1 MiB in linear time', () => {
    const pieces = [' ', '\t', 'allow r ', 'allow r,', ',', '"', "allow r path='", '0', '1,'];
    for (const head of ['', 'allow', 'allow r', 'allow r path="', 'allow r uid=1 gids=']) {
      for (const piece of pieces) {
        const times = abi.CAPS_TEXT_LEN_MAX / piece.length;
        const text = utf8(head + piece.repeat(times)).subarray(0, abi.CAPS_TEXT_LEN_MAX);
        const ms = cpuMs(() => {
          const { reason } = cores[20].parse(text, false);
          expect(['caps.unparsable', 'limit.exceeded', 'ok'], head + piece).toContain(reason);
        });
        expect(ms, head + piece).toBeLessThan(1000);
      }
    }
  });
});
