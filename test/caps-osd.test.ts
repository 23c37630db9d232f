/**
 * OSD caps in the core: against recorded reality and the examples, then against the twin with
 * random texts and networks (requests: caps-pairs), then at the limits.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { Engine } from '../src/engine/index.ts';
import { CapsCore, printed } from './caps-engine.ts';
import { bytesOf, clientAddress, nearNetwork, osdRequest, osdText } from './caps-texts.ts';
import {
  acceptRows,
  type Case,
  examples,
  networkRows,
  osdRows,
  refusal,
  releasesOf,
} from './caps-vectors.ts';
import { cpuMs } from './cputime.ts';
import { Rng, seedOf } from './rng.ts';
import { inNetwork, parseNetwork } from './twin/network.ts';
import { allowAllOsd, type OsdGrant, type OsdRequest, parseOsd, printOsd } from './twin/osdcap.ts';

const seed = seedOf(71);
const TEXTS = 20_000;
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

let engine: Engine;
let core: CapsCore;

beforeAll(async () => {
  engine = await Engine.create({ preset: 'server' });
  core = new CapsCore(engine, 'osd');
});

describe('recorded reality', () => {
  it('takes and refuses the texts that a monitor did, with its words', () => {
    for (const { caps, accept, error } of acceptRows('osd')) {
      const verdict = core.parse(utf8(caps));
      expect(verdict.decision, caps).toBe(accept);
      expect(verdict.reason, caps).toBe(accept ? 'ok' : 'caps.unparsable');
      if (!accept) expect(refusal('osd', caps, verdict.stop)).toBe(error);
    }
  });

  it('answers as a real OSD did', () => {
    const rows = [
      ...osdRows('osd-enforcement'),
      ...osdRows('osd-enforcement-compound'),
      ...networkRows(),
    ];
    const handles = new Map<string, bigint>();
    const wrong: Case<OsdRequest>[] = [];
    for (const row of rows) {
      const handle = handles.get(row.caps) ?? core.parse(utf8(row.caps)).handle;
      handles.set(row.caps, handle);
      if (core.check(handle, row.request).decision !== row.allowed) wrong.push(row);
    }
    expect(wrong).toEqual([]);
  });

  it('agrees with the examples', () => {
    for (const each of examples<OsdRequest>('osd')) {
      for (const release of releasesOf(each)) {
        const own = new CapsCore(engine, 'osd', release);
        const verdict = own.parse(utf8(each.cap));
        expect(verdict.decision, each.cap).toBe(each.parses);
        if (each.canonical !== undefined) expect(verdict.caps).toBe(each.canonical);
        if (each.allowAll !== undefined) expect(verdict.allowAll).toBe(each.allowAll);
        for (const { request, allowed } of each.checks) {
          const said = own.check(verdict.handle, request).decision;
          expect(said, `${each.cap}: ${each.why}`).toBe(allowed);
        }
      }
    }
  });
});

/** What the core says of a parse, in the shape of `expected`. */
function parsed(text: Uint8Array, grants: OsdGrant[] | { stop: number }): object {
  const verdict = core.parse(text, false);
  if (!Array.isArray(grants)) return { reason: verdict.reason, stop: verdict.stop };
  const { reason, grantsWritten, grantsCompiled, allowAll } = verdict;
  return { reason, grantsWritten, grantsCompiled, allowAll, print: printed(verdict) };
}

function expected(grants: OsdGrant[] | { stop: number }): object {
  if (!Array.isArray(grants)) return { reason: 'caps.unparsable', stop: grants.stop };
  return {
    reason: 'ok',
    grantsWritten: grants.length,
    grantsCompiled: grants.reduce((sum, each) => sum + 1 + each.children.length, 0),
    allowAll: allowAllOsd(grants),
    print: printOsd(grants),
  };
}

describe(`the core and the twin (seed ${seed})`, () => {
  it('parse random texts alike', () => {
    const rng = new Rng(seed);
    let accepted = 0;
    for (let i = 0; i < TEXTS; i++) {
      const text = osdText(rng);
      const grants = parseOsd(bytesOf(text));
      if (Array.isArray(grants)) accepted++;
      expect({ text, ...parsed(bytesOf(text), grants) }).toEqual({ text, ...expected(grants) });
    }
    expect(accepted).toBeGreaterThan(TEXTS / 4);
    expect(accepted).toBeLessThan((TEXTS * 3) / 4);
  });

  it('match random networks alike', () => {
    const rng = new Rng(seed + 2);
    const nothing = { ...osdRequest(rng), read: false, write: false, classes: [] };
    const seen = { usable: 0, matched: 0 };
    for (let i = 0; i < TEXTS; i++) {
      const network = nearNetwork(rng);
      const { handle } = core.parse(utf8(`allow r network ${network}`));
      if (parseNetwork(network) !== undefined) seen.usable++;
      // A strict address of either family, so that a network of length 0 shows itself.
      for (const addr of ['1.2.3.4', '::5', clientAddress(rng)]) {
        const { decision } = core.check(handle, { ...nothing, addr });
        if (decision) seen.matched++;
        expect({ network, addr, decision }).toEqual({
          network,
          addr,
          decision: inNetwork(network, addr),
        });
      }
    }
    expect(seen.usable).toBeGreaterThan(TEXTS / 4);
    expect(TEXTS - seen.usable).toBeGreaterThan(TEXTS / 8);
    expect(seen.matched).toBeGreaterThan(TEXTS / 8);
  });
});

describe('limits', () => {
  const many = (grant: string, count: number): Uint8Array =>
    bytesOf(Array.from({ length: count }, () => grant).join(','));

  it('take 10000 written grants and not one more', () => {
    const last = 'allow * pool=zz';
    const most = bytesOf(`${'allow r pool=a,'.repeat(abi.CAPS_GRANTS_MAX - 1)}${last}`);
    const verdict = core.parse(most);
    expect(verdict.reason).toBe('ok');
    expect(verdict.grantsWritten).toBe(abi.CAPS_GRANTS_MAX);
    const request = { ...osdRequest(new Rng(1)), pool: 'zz', addr: null };
    const said = core.check(verdict.handle, request);
    expect([said.decision, said.grant]).toEqual([true, abi.CAPS_GRANTS_MAX - 1]);
    const over = core.parse(many('allow r pool=a', abi.CAPS_GRANTS_MAX + 1));
    expect(over.reason).toBe('limit.exceeded');
  });

  it('take 1 MiB of text, and not one byte more', () => {
    const text = (length: number): Uint8Array => bytesOf(`allow r pool=${'x'.repeat(length - 13)}`);
    const most = core.parse(text(abi.CAPS_TEXT_LEN_MAX));
    expect(most.reason).toBe('ok');
    expect(most.caps).toBe(`osdcap[grant(pool ${'x'.repeat(abi.CAPS_TEXT_LEN_MAX - 13)} r)]`);
    expect(core.parse(text(abi.CAPS_TEXT_LEN_MAX + 1)).reason).toBe('limit.exceeded');
  });

  it('parse bad text of 1 MiB in linear time', () => {
    const pieces = [
      ' ',
      '\t',
      'allow r ',
      'allow class a ',
      ',',
      '"',
      "allow r pool='",
      'profile ',
    ];
    for (const head of ['', 'allow', 'allow r', 'allow tag a', 'allow r pool="', 'profile rbd']) {
      for (const piece of pieces) {
        const times = abi.CAPS_TEXT_LEN_MAX / piece.length;
        const text = utf8(head + piece.repeat(times)).subarray(0, abi.CAPS_TEXT_LEN_MAX);
        const ms = cpuMs(() => {
          const { reason } = core.parse(text, false);
          expect(['caps.unparsable', 'limit.exceeded', 'ok'], head + piece).toContain(reason);
        });
        expect(ms, head + piece).toBeLessThan(1000);
      }
    }
  });
});
