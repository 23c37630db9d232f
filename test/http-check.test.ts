/** POST /v1/check, ?explain=true, and the end of sessions. */

import { sha256 } from '@noble/hashes/sha2.js';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Listener } from '../src/http/callers.ts';
import { HOUR_NS } from './authorizers.ts';
import {
  type Answer,
  HOST,
  JSON_HEADERS,
  Kit,
  osdTicket,
  SECOND_NS,
  TCP,
  UNIX,
} from './http-kit.ts';

const OP = { pool: 'liverpool', object: 'o1', read: true };

let kit: Kit;
beforeEach(async () => {
  kit = await Kit.create();
});

async function session(caps: string | null, fields = {}, entity = 'client.john'): Promise<string> {
  const { final } = await kit.accept(osdTicket({ caps, entity }), fields);
  expect(final.body.decision).toBe(true);
  return final.body.session;
}

function check(body: Readonly<Record<string, unknown>>, query = ''): Promise<Answer> {
  return kit.post(`/v1/check${query}`, { service: 'osd', op: OP, ...body });
}

describe('by session', () => {
  it('answers yes', async () => {
    const { status, body } = await check({ session: await session('allow rw pool=liverpool') });
    expect(status).toBe(200);
    const { decision_id, ...rest } = body;
    expect(rest).toEqual({
      decision: true,
      authenticated: true,
      reason: { code: 'ok', grant: 0 },
      entity: 'client.john',
      snapshot: '1',
    });
    expect(decision_id).toMatch(/^[0-9a-f]{24}$/);
  });

  it('answers no with the reason', async () => {
    const handle = await session('allow rw pool=everton');
    const { body } = await check({ session: handle });
    const { decision_id, ...rest } = body;
    expect(decision_id).toBeTypeOf('string');
    expect(rest).toEqual({
      decision: false,
      authenticated: true,
      reason: {
        code: 'caps.no_matching_grant',
        message: 'no grant of the caps covers the operation',
        grant: null,
      },
      entity: 'client.john',
      client_errno: -1,
      snapshot: '1',
    });
  });

  it.each([
    [null, OP, 'caps.none'],
    ['nonsense', OP, 'caps.unparsable'],
    ['allow rw pool=liverpool network 10.0.0.0/8', OP, 'caps.network_mismatch'],
    ['allow rw pool=liverpool network 192.0.2.0/24', OP, 'ok'],
    [
      'allow rw pool=liverpool',
      { ...OP, read: false, classes: [{ name: 'rbd', method: 'm', read: true }] },
      'caps.class_not_allowed',
    ],
    [
      'allow class rbd m',
      { ...OP, read: false, classes: [{ name: 'rbd', method: 'm', read: true }] },
      'ok',
    ],
    [
      'allow rwx pool=liverpool',
      { ...OP, classes: [{ name: 'a', method: 'b', write: true, allow_listed: true }] },
      'ok',
    ],
    ['allow rw tag cephfs data=a', { ...OP, app_metadata: { cephfs: { data: 'a' } } }, 'ok'],
    [
      'allow rw tag cephfs data=a',
      { ...OP, app_metadata: { cephfs: { data: 'b' } } },
      'caps.no_matching_grant',
    ],
    ['allow rw namespace=n', { ...OP, namespace: 'n' }, 'ok'],
    ['allow rw namespace=n', OP, 'caps.no_matching_grant'],
    ['allow *', { ...OP, pool: 'p'.repeat(256) }, 'limit.exceeded'],
  ])('%s and %j: %s', async (caps, op, code) => {
    const { body } = await check({ session: await session(caps), op });
    expect(body.reason.code).toBe(code);
    expect(body.decision).toBe(code === 'ok');
    expect(body.client_errno).toBe(code === 'ok' ? undefined : -1);
  });

  it('takes the flag allow_all for all', async () => {
    const { final } = await kit.accept(osdTicket({ caps: null, allowAll: true }));
    expect((await check({ session: final.body.session })).body.decision).toBe(true);
  });

  it('decides mds operations', async () => {
    const caps = 'allow rw path=/home/john';
    const ticket = osdTicket({ service: 2, caps });
    const { final } = await kit.accept(ticket, { service: 'mds' });
    const op = {
      path: 'home/john/f',
      inode_uid: 0,
      inode_gid: 0,
      inode_mode: 0o755,
      caller_uid: 1000,
      caller_gid: 1000,
      caller_gid_list: [10, 20],
      mask: 2,
      new_uid: 0,
      new_gid: 0,
      fs: 'cephfs',
    };
    const ask = { service: 'mds', session: final.body.session };
    expect((await check({ ...ask, op })).body.decision).toBe(true);
    const elsewhere = { ...op, path: 'home/johnny' };
    expect((await check({ ...ask, op: elsewhere })).body.decision).toBe(false);
    const noList = { ...op, caller_gid_list: null };
    expect((await check({ ...ask, op: noList })).body.decision).toBe(true);
  });

  it('is for the service that verified', async () => {
    const handle = await session('allow *');
    const op = {
      ...{ path: '', inode_uid: 0, inode_gid: 0, inode_mode: 0 },
      ...{ caller_uid: 0, caller_gid: 0, mask: 1 },
    };
    const { body } = await check({ service: 'mds', session: handle, op });
    expect([body.decision, body.authenticated, body.reason.code]).toEqual([
      ...[false, false, 'session.unknown'],
    ]);
  });

  it('is not supported for mgr', async () => {
    const { status, body } = await check({ service: 'mgr', session: 'x', op: {} });
    expect([status, body.code]).toEqual([400, 'service.unsupported']);
  });
});

describe('peers', () => {
  const CAPS = 'allow rw network 192.0.2.0/24';

  it('are the one of the session', async () => {
    const handle = await session(CAPS, { peer: '192.0.2.7' });
    expect((await check({ session: handle })).body.decision).toBe(true);
    expect((await check({ session: handle, peer: '192.0.2.7' })).body.decision).toBe(true);
    const other = await check({ session: handle, peer: '192.0.2.8' });
    expect(other.body).toMatchObject({
      decision: false,
      authenticated: false,
      reason: { code: 'session.peer_mismatch' },
      client_errno: -1,
    });
    expect((await check({ session: handle })).body.decision).toBe(true);
  });

  it('that are not there match no network', async () => {
    const handle = await session(CAPS, { peer: undefined });
    expect((await check({ session: handle })).body.reason.code).toBe('caps.network_mismatch');
    const late = await check({ session: handle, peer: '192.0.2.7' });
    expect(late.body.reason.code).toBe('session.peer_mismatch');
  });
});

describe('sessions', () => {
  it('end by release, once', async () => {
    const handle = await session('allow *');
    const release = (): Promise<Answer> =>
      kit.raw(`/v1/sessions/${handle}/release`, { method: 'POST' });
    expect((await check({ session: handle })).body.decision).toBe(true);
    expect((await release()).body).toEqual({ released: true });
    expect((await check({ session: handle })).body.reason.code).toBe('session.unknown');
    expect((await release()).body).toEqual({ released: false });
    expect(kit.deps.state.sessions.size).toBe(0);
  });

  it('end with the ticket, or not with a lifetime of the connection', async () => {
    const handle = await session('allow *');
    kit.nowNs += HOUR_NS + 299n * SECOND_NS;
    expect((await check({ session: handle })).body.decision).toBe(true);
    kit.nowNs += SECOND_NS;
    expect((await check({ session: handle })).body.reason.code).toBe('session.expired');
    kit = await Kit.create({ policy: { sessionLifetime: 'connection' } });
    const lasting = await session('allow *');
    kit.nowNs += 100n * HOUR_NS;
    expect((await check({ session: lasting })).body.decision).toBe(true);
  });

  it('end by session_max_age', async () => {
    kit = await Kit.create({ policy: { sessionMaxAgeNs: 60n * SECOND_NS } });
    const handle = await session('allow *');
    kit.nowNs += 59n * SECOND_NS;
    expect((await check({ session: handle })).body.decision).toBe(true);
    kit.nowNs += SECOND_NS;
    expect((await check({ session: handle })).body.reason.code).toBe('session.expired');
  });

  it('are refused when the ticket is revoked meanwhile', async () => {
    const handle = await session('allow *');
    kit.deps.engine.revoke('deny', { globalId: 4153n });
    expect((await check({ session: handle })).body.reason.code).toBe('ticket.revoked');
  });

  it('belong to the caller that got them', async () => {
    const token = 't'.repeat(32);
    const hash = sha256(new TextEncoder().encode(token));
    const rights = new Set(['verify', 'accept'] as const);
    const bearer: Listener = { kind: 'tcp', hosts: new Set([HOST]), tokens: [{ hash, rights }] };
    const headers = { ...JSON_HEADERS, authorization: `Bearer ${token}` };
    const handle = await session('allow *');
    const body = JSON.stringify({ service: 'osd', session: handle, op: OP });
    const foreign = await kit.raw('/v1/check', { method: 'POST', headers, body }, bearer);
    expect(foreign.body.reason.code).toBe('session.unknown');
    const path = `/v1/sessions/${handle}/release`;
    const release = await kit.raw(path, { method: 'POST', headers }, bearer);
    expect(release.body).toEqual({ released: false });
    expect((await check({ session: handle })).body.decision).toBe(true);
  });

  it('are bounded: the longest unused one goes first', async () => {
    kit = await Kit.create({ sessionsMax: 3 });
    const handles = [await session('allow *'), await session('allow *'), await session('allow *')];
    expect((await check({ session: handles[0] })).body.decision).toBe(true);
    handles.push(await session('allow *'));
    const alive = [];
    for (const handle of handles) alive.push((await check({ session: handle })).body.decision);
    expect(alive).toEqual([true, false, true, true]);
    expect(kit.deps.state.sessions.size).toBe(3);
  });

  it('have handles that are never given twice', async () => {
    const handles = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const handle = await session('allow *');
      handles.add(handle);
      await kit.raw(`/v1/sessions/${handle}/release`, { method: 'POST' });
    }
    expect(handles.size).toBe(20);
  });
});

describe('unproven subjects', () => {
  it('are decided by caps text, and not authenticated', async () => {
    const yes = await check({ caps: 'allow r' });
    expect(yes.body).toMatchObject({ decision: true, authenticated: false, reason: { grant: 0 } });
    expect(yes.body).not.toHaveProperty('entity');
    const no = await check({ caps: 'allow w' });
    expect(no.body).toMatchObject({ decision: false, authenticated: false, client_errno: -1 });
    const broken = await check({ caps: 'allow' });
    expect(broken.body.reason.code).toBe('caps.unparsable');
    const peer = await check({ caps: 'allow r network 10.0.0.0/8', peer: '10.1.2.3' });
    expect(peer.body.decision).toBe(true);
    const noPeer = await check({ caps: 'allow r network 10.0.0.0/8' });
    expect(noPeer.body.reason.code).toBe('caps.network_mismatch');
  });

  it('are unknown as entities', async () => {
    const { body } = await check({ entity: 'client.john' });
    expect(body).toMatchObject({
      decision: false,
      authenticated: false,
      reason: { code: 'entity.unknown' },
      client_errno: -1,
    });
  });

  it('need the right to explain', async () => {
    for (const fields of [{ caps: 'allow *' }, { entity: 'client.john' }]) {
      const request = { service: 'osd', op: OP, ...fields };
      const { status, body } = await kit.post('/v1/check', request, TCP);
      expect([status, body.code]).toEqual([403, 'right.missing']);
    }
    const request = { service: 'osd', op: OP, session: 'x' };
    const { status, body } = await kit.post('/v1/check?explain=true', request, TCP);
    expect([status, body.code]).toEqual([403, 'right.missing']);
  });

  it('must be exactly one', async () => {
    const two = { caps: 'allow *', entity: 'client.a' };
    for (const fields of [{}, two, { caps: '', session: 'x' }]) {
      const { status, body } = await check(fields);
      expect([status, body.code]).toEqual([400, 'field.conflict']);
    }
  });
});

describe('explain', () => {
  const CAPS =
    "allow r pool='été', allow rw pool=liverpool object_prefix a,  allow r pool=liverpool";

  it('says per grant what failed first, with its text and characters', async () => {
    for (const subject of [{ caps: CAPS }, { session: await session(CAPS) }]) {
      const { body } = await check(subject, '?explain=true');
      expect(body.decision).toBe(true);
      expect(body.grants.map((each: { failed: string }) => each.failed)).toEqual([
        ...['pool', 'object_prefix', null],
      ]);
      for (const { grant, text, span } of body.grants) {
        expect([...CAPS].slice(span[0], span[1]).join('')).toBe(text);
        expect(text.trim()).toBe(CAPS.split(',')[grant]!.trim());
      }
    }
  });

  it('is not there unless asked for', async () => {
    expect((await check({ caps: CAPS })).body).not.toHaveProperty('grants');
    expect((await check({ caps: CAPS }, '?explain=false')).body).not.toHaveProperty('grants');
  });

  it.each(['?explain=yes', '?explain', '?verbose=true', '?explain=true&x=1'])(
    'refuses the query %s',
    async (query) => {
      const { status, body } = await check({ caps: CAPS }, query);
      expect([status, body.code]).toEqual([400, 'query.unknown']);
    },
  );

  it('knows every condition of the core', async () => {
    const abi = await import('../assembly/abi.ts');
    const { explainGrants } = await import('../src/http/explain.ts');
    const conditions = Object.entries(abi).filter(([name]) => name.startsWith('CONDITION_'));
    for (const [, condition] of conditions) {
      const detail = [{ grant: 0, condition: condition as number, start: 0, end: 1 }];
      const [line] = explainGrants({ detail } as never, 'x');
      expect(line!.failed).not.toBe('unknown');
    }
  });
});

it('never lets the unix and the tcp caller share a session', async () => {
  const handle = await session('allow *');
  const request = { service: 'osd', session: handle, op: OP };
  expect((await kit.post('/v1/check', request, UNIX)).body.decision).toBe(true);
  const tcp = await kit.post('/v1/check', request, TCP);
  expect(tcp.body.reason.code).toBe('session.unknown');
});
