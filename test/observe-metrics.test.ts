/** GET /metrics: who may read it, and that it counts what was asked and nothing that has a name. */

import { describe, expect, it } from 'vitest';
import { ENTITY_TYPE_MDS, ENTITY_TYPE_OSD } from '../assembly/abi.ts';
import type { Listener } from '../src/http/callers.ts';
import { parseTokens } from '../src/http/callers.ts';
import { SidecarObserver } from '../src/observe/index.ts';
import { SkewEstimate } from '../src/observe/skew.ts';
import { HOUR_NS, NOW_NS } from './authorizers.ts';
import { accept as acceptFrame, frames, OSD, PEER, post as postFrames } from './frames-kit.ts';
import { b64, HOST, JSON_HEADERS, Kit, osdTicket, SECOND_NS, TCP, UNIX } from './http-kit.ts';
import { parse, textOf, type Watched, watched } from './observe-kit.ts';

const OP = { pool: 'liverpool', object: 'an-object', read: true };

describe('the counters', () => {
  it('count a known course of calls', async () => {
    const { kit, metrics } = await watched();
    const { final } = await kit.accept(osdTicket());
    await kit.accept(osdTicket({ aes: true, sessionType: 'aes' }));
    const { session } = final.body;
    for (const pool of ['liverpool', 'liverpool', 'everton']) {
      await kit.post('/v1/check', { service: 'osd', session, op: { ...OP, pool } });
    }
    const items = [{ op: OP }, { op: { ...OP, pool: 'everton' } }, { op: 1 }];
    await kit.post('/v1/checks', { service: 'osd', defaults: { session }, items });
    await kit.verify({ service: 'osd', authorizer: '' });
    await kit.post('/v1/check', {});
    await kit.raw('/nowhere/at/all', {});
    const seen = await metrics();
    const decisions = (call: string, decision: string, reason: string): number | undefined =>
      seen.get(
        `cephgate_decisions_total{call="${call}",service="osd",decision="${decision}",reason="${reason}"}`,
      );
    expect(decisions('verify', 'allowed', 'ok')).toBe(2);
    expect(decisions('verify', 'denied', 'authorizer.challenge_required')).toBe(2);
    expect(decisions('verify', 'denied', 'authorizer.malformed')).toBe(1);
    expect(decisions('check', 'allowed', 'ok')).toBe(2);
    expect(decisions('check', 'denied', 'caps.no_matching_grant')).toBe(1);
    expect(decisions('checks', 'allowed', 'ok')).toBe(1);
    expect(decisions('checks', 'denied', 'caps.no_matching_grant')).toBe(1);
    expect(decisions('checks', 'denied', 'record.malformed')).toBe(1);
    const of = (name: string): number | undefined => seen.get(`cephgate_${name}`);
    expect(of('tickets_total{ticket_key_type="aes256k",session_key_type="aes256k"}')).toBe(1);
    expect(of('tickets_total{ticket_key_type="aes",session_key_type="aes"}')).toBe(1);
    expect(of('http_requests_total{route="/v1/verify",status="200"}')).toBe(5);
    expect(of('http_requests_total{route="/v1/check",status="400"}')).toBe(1);
    expect(of('http_requests_total{route="unmatched",status="404"}')).toBe(1);
    expect(of('http_problems_total{code="field.missing"}')).toBe(1);
    expect(of('http_problems_total{code="route.unknown"}')).toBe(1);
    expect(of('http_request_duration_seconds_count{route="/v1/check"}')).toBe(4);
    expect(of('verdicts_total{source="session"}')).toBe(5);
    expect(of('sessions')).toBe(2);
  });

  it('count frames, record by record', async () => {
    const { kit, metrics } = await watched();
    const { handle: session } = (await acceptFrame(kit, osdTicket())).final;
    const records = frames((writer) => {
      for (const [tag, pool] of ['liverpool', 'liverpool', 'liverpool', 'everton'].entries()) {
        writer.check({ service: OSD, session, peer: PEER, op: { ...OP, pool } }, tag);
      }
    });
    expect((await postFrames(kit, records)).status).toBe(200);
    const seen = await metrics();
    const decisions = (decision: string, reason: string): number | undefined =>
      seen.get(
        `cephgate_decisions_total{call="frames",service="osd",decision="${decision}",reason="${reason}"}`,
      );
    expect(decisions('allowed', 'ok')).toBe(4);
    expect(decisions('denied', 'caps.no_matching_grant')).toBe(1);
    expect(decisions('denied', 'authorizer.challenge_required')).toBe(1);
    expect(seen.get('cephgate_http_requests_total{route="/v1/frames",status="200"}')).toBe(3);
  });

  it('count frames by service, in whatever order they come', async () => {
    const { kit, metrics } = await watched();
    const tickets = [ENTITY_TYPE_OSD, ENTITY_TYPE_MDS].map((service) => osdTicket({ service }));
    const order = [0, 0, 1, 0, 1, 1, 1, 0];
    const records = frames((writer) => {
      for (const [tag, n] of order.entries()) {
        const service = n === 0 ? ENTITY_TYPE_OSD : ENTITY_TYPE_MDS;
        writer.verify({ service, authorizer: tickets[n]!.authorizer(), peer: PEER }, tag);
      }
    });
    expect((await postFrames(kit, records, TCP)).status).toBe(200);
    const seen = await metrics();
    const allowed = (service: string): number | undefined =>
      seen.get(
        `cephgate_decisions_total{call="frames",service="${service}",decision="allowed",reason="ok"}`,
      );
    expect([allowed('osd'), allowed('mds')]).toEqual([4, 4]);
  });
});

describe('labels', () => {
  it('come from closed sets: no name that a caller can choose', async () => {
    const { kit, metrics } = await watched();
    await course(kit);
    // Reading counts as well.
    await metrics();
    const first = new Set((await metrics()).keys());
    for (const n of [1, 2, 3]) await course(kit, `-${n}`);
    const added = [...(await metrics()).keys()].filter((name) => !first.has(name));
    expect(added).toEqual([]);
    const text = await textOf(kit);
    for (const name of ['client', 'john', 'liverpool', 'an-object', '"unix"', '192.0.2']) {
      expect(text).not.toContain(name);
    }
  });

  it('do not tell what a masked answer hides', async () => {
    const { kit } = await watched();
    const ticket = osdTicket({ aes: true });
    for (let at = 26; at < 26 + ticket.blob.blob.length; at++) {
      const altered = ticket.authorizer();
      altered[at]! ^= 1;
      await kit.verify({ service: 'osd', authorizer: b64(altered) });
    }
    const text = await textOf(kit);
    expect(text).toContain('reason="authorizer.invalid"');
    expect(text).not.toMatch(/envelope|harden|decode\.|ciphertext|padding/);
  });

  it('have the prefix and base units', async () => {
    const { kit, metrics } = await watched();
    await course(kit);
    for (const name of (await metrics()).keys()) {
      expect(name).toMatch(/^cephgate_/);
      expect(name).not.toMatch(/_(?:ms|milliseconds|minutes|kb|kib|mb|mib)(?:_|\{|$)/);
    }
  });
});

describe('what is asked for when it is read', () => {
  it('secrets: how many and how old', async () => {
    const { kit, metrics } = await watched();
    kit.nowNs = NOW_NS + 90n * SECOND_NS;
    const seen = await metrics();
    for (const service of ['osd', 'mds', 'mgr']) {
      for (const type of ['aes', 'aes256k']) {
        const labels = `service="${service}",key_type="${type}"`;
        expect(seen.get(`cephgate_service_secrets{${labels}}`)).toBe(1);
        const age = seen.get(`cephgate_service_secret_age_seconds{${labels},which="newest"}`);
        expect(age).toBe(3690);
      }
    }
  });

  it('the skew of the clocks, from proven tickets, apart by whether they can be altered', async () => {
    const { kit, metrics } = await watched();
    const skew = async (integrity: string): Promise<number | undefined> =>
      (await metrics()).get(`cephgate_clock_skew_seconds{integrity="${integrity}"}`);
    await kit.accept(osdTicket({ createdNs: NOW_NS - 40n * SECOND_NS, validNs: HOUR_NS }));
    expect(await skew('mac')).toBe(40);
    expect(await skew('none')).toBeUndefined();
    await kit.accept(osdTicket({ createdNs: NOW_NS + 7n * SECOND_NS }));
    await kit.accept(osdTicket({ createdNs: NOW_NS - 90n * SECOND_NS }));
    await kit.accept(osdTicket({ aes: true, createdNs: NOW_NS - 3n * SECOND_NS }));
    expect([await skew('mac'), await skew('none')]).toEqual([-7, 3]);
    kit.nowNs += 1201n * SECOND_NS;
    expect([await skew('mac'), await skew('none')]).toEqual([undefined, undefined]);
  });

  it('the ticket cache: what it saved, what it holds, how often it was emptied', async () => {
    const { kit, metrics } = await watched();
    expect((await metrics()).get('cephgate_ticket_cache_evicted_total')).toBe(0);
    const cache = async (): Promise<(number | undefined)[]> => {
      const seen = await metrics();
      const names = ['hits_total', 'misses_total', 'emptied_total', 'entries', 'entries_max'];
      return names.map((name) => seen.get(`cephgate_ticket_cache_${name}`));
    };
    expect(await cache()).toEqual([0, 0, 0, 0, 128]);
    const ticket = osdTicket();
    await kit.accept(ticket);
    // Looked for twice: with the first authorizer, and with the one that answers the challenge.
    expect(await cache()).toEqual([0, 2, 0, 1, 128]);
    await kit.accept(ticket);
    expect(await cache()).toEqual([2, 2, 0, 1, 128]);
    kit.deps.engine.cacheClear();
    expect(await cache()).toEqual([2, 2, 1, 0, 128]);
  });

  it('the users of a cluster, where they are looked at', async () => {
    const { kit, metrics } = await watched();
    expect([...(await metrics()).keys()].join()).not.toContain('cluster_users');
    let facts: { entities: number; ageSeconds: number } | undefined;
    const users = { facts: () => facts, isStale: () => facts === undefined };
    const observer = new SidecarObserver({ ...kit.deps, users });
    const seen = async (): Promise<(number | undefined)[]> => {
      const values = parse((await observer.metrics()).text);
      const names = ['', '_age_seconds', '_stale'];
      return names.map((name) => values.get(`cephgate_cluster_users${name}`));
    };
    // Number() does not know +Inf.
    expect(await seen()).toEqual([0, Number.NaN, 1]);
    facts = { entities: 12, ageSeconds: 3.5 };
    expect(await seen()).toEqual([12, 3.5, 0]);
  });

  it('the process', async () => {
    const { metrics } = await watched();
    const seen = await metrics();
    expect(seen.get('cephgate_process_resident_memory_bytes')).toBeGreaterThan(1e6);
    expect(seen.get('cephgate_draining')).toBe(0);
  });
});

it('the estimate of the skew forgets after two windows', () => {
  const estimate = new SkewEstimate();
  const at = (seconds: number): bigint => NOW_NS + BigInt(seconds) * SECOND_NS;
  estimate.add(at(-5), at(0));
  estimate.add(at(590 - 30), at(590));
  expect(estimate.seconds(at(599))).toBe(5);
  estimate.add(at(610 - 50), at(610));
  expect(estimate.seconds(at(620))).toBe(5);
  expect(estimate.seconds(at(1215))).toBe(50);
  expect(estimate.seconds(at(5000))).toBeUndefined();
});

describe('the shadow judgement', () => {
  const POLICIES = ['released', 'pr71231-order', 'pr71231-span', 'strict'] as const;
  const TICKETS = [
    {},
    { validNs: -HOUR_NS },
    { createdNs: NOW_NS - 1n, validNs: 40n * HOUR_NS },
    { createdNs: NOW_NS - 20n * HOUR_NS, validNs: 30n * HOUR_NS },
    { caps: null },
    { allowAll: true },
  ];

  it('says what each policy says when it is the one', async () => {
    const expected = new Map<string, number>();
    const { kit, settle, metrics } = await watched();
    const authorizers = TICKETS.map((each) => osdTicket({ aes: true, ...each }).authorizer());
    for (const plausibility of POLICIES) {
      const real = await Kit.create({ policy: { plausibility, expiry: 'ring' } });
      for (const authorizer of authorizers) {
        const { body } = await real.verify({ service: 'osd', authorizer: b64(authorizer) }, TCP);
        const outcome = body.reason.code === 'ticket.implausible' ? 'implausible' : 'plausible';
        expect(body.decision || outcome === 'implausible').toBe(true);
        count(expected, plausibility, outcome);
      }
    }
    for (const authorizer of authorizers) {
      await kit.verify({ service: 'osd', authorizer: b64(authorizer) });
    }
    settle();
    const seen = await shadowOf({ metrics });
    expect(seen).toEqual(expected);
    expect([...seen.keys()].filter((key) => key.includes('"implausible"')).length).toBeGreaterThan(
      1,
    );
  });

  it('calls all unproven alike, whatever is wrong inside', async () => {
    const { kit, settle, metrics } = await watched({}, { shadow: { perSecondMax: 1e9 } });
    const ticket = osdTicket({ aes: true });
    let asked = 0;
    for (let at = 26; at < 26 + ticket.blob.blob.length; at++, asked++) {
      const altered = ticket.authorizer();
      altered[at]! ^= 0x80;
      // Part b is noise too, as an attacker without the session key would send it.
      altered.fill(7, 26 + ticket.blob.blob.length + 4);
      await kit.verify({ service: 'osd', authorizer: b64(altered) });
    }
    settle();
    const seen = await shadowOf({ metrics });
    const expected = new Map<string, number>();
    for (const policy of POLICIES) count(expected, policy, 'unproven', asked);
    expect(seen).toEqual(expected);
  });

  it('leaves no trace: sessions, verdicts and secrets are as they were', async () => {
    const { kit, settle } = await watched();
    const { final } = await kit.accept(osdTicket());
    const { engine, state } = kit.deps;
    const check = { service: 'osd', session: final.body.session, op: OP };
    const before = [await kit.post('/v1/check', check), state.sessions.size, engine.secretCount(4)];
    const authorizer = b64(osdTicket({ aes: true }).authorizer());
    for (let i = 0; i < 10; i++) await kit.verify({ service: 'osd', authorizer });
    settle();
    const after = [await kit.post('/v1/check', check), state.sessions.size, engine.secretCount(4)];
    const shown = (all: unknown): string =>
      JSON.stringify(all).replaceAll(/decision_id[^,}]*|"headers":\{\}/g, '');
    expect(shown(after)).toBe(shown(before));
  });

  it('takes aes-sealed tickets alone, and so many in a second', async () => {
    const { kit, settle, metrics } = await watched({}, { shadow: { perSecondMax: 3 } });
    const strong = b64(osdTicket().authorizer());
    const weak = b64(osdTicket({ aes: true }).authorizer());
    await kit.verify({ service: 'osd', authorizer: strong });
    await kit.verify({ service: 'osd', authorizer: 'AQ==' });
    settle();
    expect((await shadowOf({ metrics })).size).toBe(0);
    for (let i = 0; i < 20; i++) await kit.verify({ service: 'osd', authorizer: weak });
    settle();
    expect([...(await shadowOf({ metrics })).values()]).toEqual([3, 3, 3, 3]);
    kit.nowNs += SECOND_NS;
    await kit.verify({ service: 'osd', authorizer: weak });
    settle();
    expect([...(await shadowOf({ metrics })).values()]).toEqual([4, 4, 4, 4]);
  });
});

describe('/metrics may be read', () => {
  const TOKEN = 'a-token-of-some-length';
  const tokens = parseTokens(`verify ${TOKEN}\n`, 'tokens');
  const BEARER: Listener = { kind: 'tcp', hosts: new Set([HOST]), tokens };

  it.each([
    ['on a unix socket', UNIX, {}, false, 200],
    ['on TCP without a token', TCP, {}, false, 403],
    ['on TCP without a token, with --metrics', TCP, {}, true, 200],
    ['on TCP with token file, without a token', BEARER, {}, false, 401],
    ['with a wrong token', BEARER, { authorization: `Bearer x${TOKEN}` }, false, 401],
    ['with a token', BEARER, { authorization: `Bearer ${TOKEN}` }, false, 200],
    ['without a token, with --metrics', BEARER, {}, true, 200],
  ] as const)('%s', async (_, listener, more, openMetrics, status) => {
    const { kit } = await watched({ openMetrics });
    const init = { headers: { ...JSON_HEADERS, ...more } };
    const response = await kit.app.request('/metrics', init, { listener });
    expect(response.status).toBe(status);
    const text = await response.text();
    expect(text.includes('cephgate_sessions')).toBe(status === 200);
    if (status === 200)
      expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0/);
  });

  it('where they are kept', async () => {
    const kit = await Kit.create();
    expect((await kit.raw('/metrics', {})).body.code).toBe('route.unknown');
  });
});

async function course(kit: Kit, suffix = ''): Promise<void> {
  const entity = `client.john${suffix}`;
  const { final } = await kit.accept(
    osdTicket({ entity, caps: `allow rw pool=liverpool${suffix}` }),
  );
  const { session } = final.body;
  const op = { pool: `liverpool${suffix}`, object: `an-object${suffix}`, read: true };
  await kit.post('/v1/check', { service: 'osd', session, op });
  await kit.post('/v1/check', { service: 'osd', session, op: { ...op, pool: 'other' } });
  await kit.raw(`/path${suffix}`, {});
  await kit.post('/v1/check', { [`field${suffix}`]: 1 });
}

function count(into: Map<string, number>, policy: string, outcome: string, n = 1): void {
  const key = `{policy="${policy}",outcome="${outcome}"}`;
  into.set(key, (into.get(key) ?? 0) + n);
}

async function shadowOf({ metrics }: Pick<Watched, 'metrics'>): Promise<Map<string, number>> {
  const name = 'cephgate_plausibility_judgements_total';
  const found = [...(await metrics())].filter(([key]) => key.startsWith(`${name}{`));
  return new Map(found.map(([key, value]) => [key.slice(name.length), value]));
}
