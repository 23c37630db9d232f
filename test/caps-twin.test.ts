/**
 * The caps twins against recorded reality (a real Ceph 16.2.15: vectors/README-lab.md of the
 * recordings) and the examples, so that they may judge the core.
 */

import { describe, expect, it } from 'vitest';
import {
  acceptRows,
  type Case,
  examples,
  mdsRows,
  networkRows,
  osdRows,
  refusal,
  releasesOf,
} from './caps-vectors.ts';
import {
  allowAllMds,
  checkMds,
  explainMds,
  type MdsGrant,
  type MdsRequest,
  parseMds,
  printMds,
} from './twin/mdscap.ts';
import { inNetwork, parseNetwork } from './twin/network.ts';
import {
  allowAllOsd,
  checkOsd,
  explainOsd,
  type OsdGrant,
  type OsdRequest,
  parseOsd,
  printOsd,
} from './twin/osdcap.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function osd(caps: string): OsdGrant[] {
  const grants = parseOsd(bytes(caps));
  if (!Array.isArray(grants)) throw new RangeError(`stopped at ${grants.stop} of ${caps}`);
  return grants;
}

function mds(caps: string, release: 16 | 20): MdsGrant[] {
  const grants = parseMds(bytes(caps), release);
  if (!Array.isArray(grants)) throw new RangeError(`stopped at ${grants.stop} of ${caps}`);
  return grants;
}

/** Rows whose answer is not the recorded one. */
function wrong<R>(rows: readonly Case<R>[], answer: (row: Case<R>) => boolean): Case<R>[] {
  return rows.filter((row) => answer(row) !== row.allowed);
}

describe('the OSD twin', () => {
  it('takes and refuses the texts that the monitor did, with its words', () => {
    const rows = acceptRows('osd');
    expect(rows).toHaveLength(781);
    for (const { caps, accept, error } of rows) {
      const grants = parseOsd(bytes(caps));
      expect(Array.isArray(grants), caps).toBe(accept);
      if (!Array.isArray(grants)) expect(refusal('osd', caps, grants.stop)).toBe(error);
    }
  });

  it('answers as a real OSD did', () => {
    for (const [name, count] of [
      ['osd-enforcement', 44_088],
      ['osd-enforcement-compound', 2000],
    ] as const) {
      const rows = osdRows(name);
      expect(rows).toHaveLength(count);
      const parsed = new Map(rows.map(({ caps }) => [caps, osd(caps)]));
      const answer = (row: Case<OsdRequest>) => checkOsd(parsed.get(row.caps) ?? [], row.request);
      expect(wrong(rows, answer)).toEqual([]);
      const last = (row: Case<OsdRequest>) =>
        explainOsd(parsed.get(row.caps) ?? [], row.request).at(-1) === 'none';
      expect(wrong(rows, last)).toEqual([]);
    }
  });

  it('matches networks as a real OSD did', () => {
    const rows = networkRows();
    expect(new Set(rows.map((row) => row.caps)).size).toBe(51);
    expect(wrong(rows, (row) => checkOsd(osd(row.caps), row.request))).toEqual([]);
  });

  it('agrees with the examples', () => {
    const cases = examples<OsdRequest>('osd');
    expect(cases.length).toBeGreaterThan(20);
    for (const each of cases) {
      const grants = parseOsd(bytes(each.cap));
      expect(Array.isArray(grants), each.cap).toBe(each.parses);
      if (!Array.isArray(grants)) continue;
      for (const { request, allowed } of each.checks) {
        expect(checkOsd(grants, request), `${each.cap}: ${each.why}`).toBe(allowed);
      }
      if (each.canonical !== undefined) expect(printOsd(grants)).toBe(each.canonical);
      if (each.allowAll !== undefined) expect(allowAllOsd(grants)).toBe(each.allowAll);
    }
  });
});

describe('the MDS twin', () => {
  it('takes and refuses the texts that the monitor did, with its words', () => {
    const rows = acceptRows('mds');
    expect(rows).toHaveLength(478);
    for (const { caps, accept, error } of rows) {
      const grants = parseMds(bytes(caps), 16);
      expect(Array.isArray(grants), caps).toBe(accept);
      if (!Array.isArray(grants)) expect(refusal('mds', caps, grants.stop)).toBe(error);
    }
  });

  it('answers as a real MDS did', () => {
    const rows = mdsRows();
    expect(rows).toHaveLength(751);
    for (const release of [16, 20] as const) {
      expect(wrong(rows, (row) => checkMds(mds(row.caps, release), row.request))).toEqual([]);
      const last = (row: Case<MdsRequest>) =>
        explainMds(mds(row.caps, release), row.request).at(-1) === 'none';
      expect(wrong(rows, last)).toEqual([]);
    }
  });

  it('agrees with the examples', () => {
    const cases = examples<MdsRequest>('mds');
    expect(cases.length).toBeGreaterThan(10);
    for (const each of cases) {
      for (const release of releasesOf(each)) {
        const grants = parseMds(bytes(each.cap), release);
        expect(Array.isArray(grants), each.cap).toBe(each.parses);
        if (!Array.isArray(grants)) continue;
        for (const { request, allowed } of each.checks) {
          expect(checkMds(grants, request), `${each.cap}: ${each.why}`).toBe(allowed);
        }
        if (each.canonical !== undefined) expect(printMds(grants)).toBe(each.canonical);
        if (each.allowAll !== undefined) expect(allowAllMds(grants)).toBe(each.allowAll);
      }
    }
  });
});

describe('the network twin', () => {
  it('takes strict addresses and decimal lengths only', () => {
    const usable = [
      '1.2.3.4/8',
      '::/0',
      '1:2:3:4:5:6:7::/1',
      '::1.2.3.4/8',
      '1:2:3:4:5:6:1.2.3.4/9',
    ];
    for (const text of usable) expect(parseNetwork(text), text).toBeDefined();
    const dead = [
      '1.2.3.4',
      '1.2.3.4/',
      '1.2.3/8',
      '01.2.3.4/8',
      '1.2.3.256/8',
      '1.2.3.4/8/8',
      '1.2.3.4/8a',
      '[::1]/128',
      ':/8',
      ':::/8',
      '1:/8',
      ':1/8',
      '12345::/8',
      '1:2:3:4:5:6:7:8::/8',
      '1::2::3/8',
      '1.2.3.4::/8',
      '1:2:3:4:5:6:7:1.2.3.4/8',
      'bad/8',
    ];
    for (const text of dead) expect(parseNetwork(text), text).toBeUndefined();
  });

  it('keeps lengths as 32 bits and families apart', () => {
    expect(inNetwork('10.1.2.3/8', '10.9.9.9')).toBe(true);
    expect(inNetwork('10.1.2.3/33', '10.1.2.3')).toBe(true);
    expect(inNetwork('10.1.2.3/33', '10.1.2.2')).toBe(false);
    expect(inNetwork('10.0.0.0/4294967296', '11.0.0.0')).toBe(true);
    expect(inNetwork('10.0.0.0/9223372036854775808', '11.0.0.0')).toBe(false);
    expect(inNetwork('0.0.0.0/0', '::ffff:10.0.0.0')).toBe(false);
    expect(inNetwork('::/0', '10.0.0.0')).toBe(false);
    expect(inNetwork('0.0.0.0/0', null)).toBe(false);
  });
});
