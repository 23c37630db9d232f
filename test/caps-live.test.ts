/**
 * Caps against real Ceph 16 daemons: fresh texts to a monitor, and real operations of users with
 * different caps to an OSD.
 */

import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CapsService, check, parse, readRequest } from '../src/caps/index.ts';
import { Engine } from '../src/engine/index.ts';
import { CAP_SEEDS, capText } from './caps-mon-kit.ts';
import { mdsText, osdText } from './caps-texts.ts';
import { CEPH_INSTALL, Cluster, cephMissing } from './ceph.ts';
import { liveUsers, OPERATIONS, type UserOperation } from './ceph-operations.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(Date.now() & 0x7fffffff);
const rng = new Rng(seed);
const TEXTS = Number(process.env.CAPS_TEXTS ?? 2000);
const USERS = Number(process.env.CAPS_USERS ?? 40);
const ENTITY = 'client.probe';
const TEXTS_OF: Readonly<Record<CapsService, (rng: Rng) => string>> = {
  osd: osdText,
  mds: mdsText,
  mon: (from) => capText(from, CAP_SEEDS.mon),
  mgr: (from) => capText(from, CAP_SEEDS.mgr),
};

describe.skipIf(cephMissing('ceph-mon', 'ceph-osd'))(`caps in Ceph 16 (${CEPH_INSTALL})`, () => {
  let cluster: Cluster;
  let engine: Engine;

  beforeAll(async () => {
    [cluster, engine] = await Promise.all([Cluster.start({ osds: 1 }), Engine.create()]);
    // Asked with other caps, a monitor checks their syntax and writes nothing.
    const caps = ['mon', 'profile unlike-any-other'];
    const made = await cluster.command({ prefix: 'auth get-or-create', entity: ENTITY, caps });
    expect(made.rc).toBe(0);
  }, 120_000);

  afterAll(async () => {
    await cluster?.stop();
  });

  it.each(['osd', 'mon', 'mgr', 'mds'] as const)(
    `%s: ${TEXTS} texts get the monitor's verdict and words (seed ${seed})`,
    { timeout: 300_000 },
    async (service) => {
      const good = (text: string): boolean => parse(service, text, { release: 16, engine }).ok;
      const texts = Array.from({ length: TEXTS }, (_, i) => usable(service, i % 2 === 0, good));
      const told = await Promise.all(
        texts.map((text) => {
          const asked = { prefix: 'auth get-or-create', entity: ENTITY, caps: [service, text] };
          return cluster.command(asked);
        }),
      );
      let accepted = 0;
      for (const [i, text] of texts.entries()) {
        const parsed = parse(service, text, { release: 16, engine });
        const { err } = told[i] as { err: string };
        if (parsed.ok) {
          accepted++;
          expect({ text, err }).toEqual({ text, err: expect.stringMatching(EXISTS) });
        } else expect({ text, err: parsed.error }).toEqual({ text, err });
      }
      expect(accepted / TEXTS).toBeGreaterThanOrEqual(0.4);
    },
  );

  it(`osd: operations of ${USERS} users are answered alike (seed ${seed})`, {
    timeout: 300_000,
  }, async () => {
    const users = await liveUsers(cluster, rng, USERS);
    const real = cluster.operations(OPERATIONS);
    let allowed = 0;
    let count = 0;
    for (const { entity, caps, operations } of users) {
      const parsed = parse('osd', caps, { release: 16, engine });
      if (!parsed.ok) throw new Error(parsed.error);
      const answers = (await Promise.all(
        operations.map(({ call }) => real.ask({ entity, ...call })),
      )) as { allowed: boolean; rc: number }[];
      operations.forEach((operation: UserOperation, i) => {
        const request = readRequest('osd', operation.request);
        if (typeof request === 'string') throw new TypeError(request);
        const ours = check(parsed.grants, request).allowed;
        const seen = { caps, ...operation, ...answers[i] };
        expect({ ...seen, allowed: ours }).toEqual(seen);
        count++;
        allowed += ours ? 1 : 0;
      });
    }
    await real.end();
    console.log(`${count} operations, ${allowed} allowed (seed ${seed})`);
    expect(allowed).toBeGreaterThan(count / 20);
    expect(allowed).toBeLessThan((count * 19) / 20);
  });
});

const EXISTS = /exists but cap \w+ does not match/;

/** A text that can stand in a command: without a zero byte. Every other one shall be accepted. */
function usable(service: CapsService, fine: boolean, good: (text: string) => boolean): string {
  for (;;) {
    const text = TEXTS_OF[service](rng);
    if (text !== '' && !text.includes('\0') && (!fine || good(text))) return text;
  }
}
