/** Administration beyond the commands of Ceph: revocations, secrets, keys, health, the watch. */

import { beforeEach, describe, expect, it } from 'vitest';
import { Revocations } from '../src/auth/revocations.ts';
import { ENTITY_TYPES } from '../src/cephx/protocol.ts';
import { Engine } from '../src/engine/index.ts';
import { createAdminApp } from '../src/http/admin.ts';
import { formatTime } from '../src/http/codec.ts';
import { type Accepted, AdminKit, type Reply, replyOf } from './admin-kit.ts';
import { entity, freshKey } from './auth-issue-kit.ts';

const CAPS = { mon: 'allow r', osd: 'allow rw pool=liverpool' };
const SECOND = 1_000_000_000n;

let kit: AdminKit;
beforeEach(async () => {
  const admin = { mon: 'allow *' };
  const entities = { 'client.john': CAPS, 'client.jane': CAPS, 'client.admin': admin };
  // With the ticket cache, as `cephgate serve` has it.
  const engine = await Engine.create({ preset: 'small', ticketCache: true });
  kit = await AdminKit.create(entities, { engine });
});

/** Verifies once more, and demands that the ticket was found in the cache. */
async function fromCache(who: Accepted): Promise<Reply> {
  const { hits } = kit.rig.engine.ticketCache;
  const reply = await who.verify();
  expect(kit.rig.engine.ticketCache.hits).toBeGreaterThan(hits);
  return reply;
}

describe('/v1/admin/revocations', () => {
  it.each([
    ['an entity', async () => ({ entity: 'client.john' })],
    ['a global_id', async (id: string) => ({ global_id: id })],
  ])('deny of %s acts on a session and a cached ticket at once', async (_, about) => {
    const client = kit.client('client.john');
    const other = await kit.accept(kit.client('client.jane'));
    const john = await kit.accept(client);
    // Warm: the ticket was opened before, and its caps are compiled.
    expect((await fromCache(john)).body.decision).toBe(true);
    expect((await john.check()).body.decision).toBe(true);
    const deny = await about(client.handler.tickets.globalId.toString());
    const made = await kit.call('POST', '/revocations', { deny, comment: 'lost laptop' });
    const created = formatTime(kit.rig.nowNs);
    expect(made).toMatchObject({ status: 200, body: { deny, created, comment: 'lost laptop' } });
    expect((await john.check()).body.reason.code).toBe('ticket.revoked');
    expect((await fromCache(john)).body.reason.code).toBe('ticket.revoked');
    expect((await other.check()).body.decision).toBe(true);
    expect((await fromCache(other)).body.decision).toBe(true);
    expect((await kit.call('GET', '/revocations')).body).toEqual({ revocations: [made.body] });
    expect((await kit.call('DELETE', '/revocations', { deny })).body).toEqual({ removed: true });
    expect((await fromCache(john)).body.decision).toBe(true);
    const again = await kit.call('DELETE', '/revocations', { deny });
    expect([again.status, again.body.code]).toEqual([404, 'revocation.unknown']);
  });

  it('a denied entity gets nothing new', async () => {
    const client = kit.client('client.john');
    await kit.accept(client);
    await kit.call('POST', '/revocations', { deny: { entity: 'client.john' } });
    expect(await client.requestTickets(ENTITY_TYPES.mds!)).toMatchObject({ ok: false });
    expect(await kit.client('client.john').login()).toMatchObject({ ok: false, status: -13 });
    expect(await kit.client('client.jane').login()).toMatchObject({ ok: true });
  });

  it.each([{ entity: 'client.john' }, { service: 'osd' }, { all: true }])(
    'not_before of %j refuses what was made before it',
    async (about) => {
      const client = kit.client('client.john');
      const john = await kit.accept(client);
      kit.rig.nowNs += 1000n * SECOND;
      const made = await kit.call('POST', '/revocations', { not_before: about });
      expect(made.body.not_before).toEqual({ ...about, time: formatTime(kit.rig.nowNs) });
      expect((await john.check()).body.reason.code).toBe('ticket.revoked');
      expect((await fromCache(john)).body.reason.code).toBe('ticket.revoked');
      const asked = await client.requestTickets(ENTITY_TYPES.mds!);
      expect(asked.ok).toBe('service' in about);
      // Past the time and the skew tickets are new again.
      kit.rig.nowNs += 301n * SECOND;
      expect((await (await kit.accept(kit.client('client.john'))).check()).body.decision).toBe(
        true,
      );
    },
  );

  it('are there again after a start', async () => {
    const time = '2026-01-02T03:04:05.000000006Z';
    await kit.call('POST', '/revocations', { not_before: { service: 'osd', time } });
    await kit.call('POST', '/revocations', { deny: { global_id: '18446744073709551615' } });
    const rules: unknown[] = [];
    const engine = { revoke: (...rule: unknown[]) => void rules.push(rule) };
    await Revocations.open(kit.rig.store, engine as never);
    expect(rules).toEqual([
      ['clear', 'all'],
      ['deny', { globalId: 18_446_744_073_709_551_615n }, 0n],
      ['not_before', { service: ENTITY_TYPES.osd }, 1_767_323_045_000_000_006n],
    ]);
  });

  it.each([
    [{}, 'field.conflict'],
    [{ deny: {} }, 'field.conflict'],
    [{ deny: { entity: 'client.a', global_id: '1' } }, 'field.conflict'],
    [{ deny: { entity: 'client.a' }, not_before: { all: true } }, 'field.conflict'],
    [{ deny: { all: true } }, 'field.unknown'],
    [{ deny: { entity: 'john' } }, 'field.value'],
    [{ not_before: { all: false } }, 'field.conflict'],
    [{ not_before: { all: true, time: 'now' } }, 'field.value'],
    [{ not_before: { service: 'client' } }, 'field.value'],
    [{ deny: { entity: 'client.a' }, commit_pending: true }, 'field.conflict'],
  ])('refuses %j', async (body, code) => {
    const answer = await kit.call('POST', '/revocations', body);
    expect([answer.status, answer.body.code]).toEqual([400, code]);
    expect(kit.rig.issuer.revocations.list()).toEqual([]);
  });

  it('refuses what the core cannot hold, and keeps nothing of it', async () => {
    const deny = { entity: `client.${'x'.repeat(200)}` };
    const answer = await kit.call('POST', '/revocations', { deny });
    expect([answer.status, answer.body.code]).toEqual([409, 'revocation.refused']);
    expect((await kit.call('GET', '/revocations')).body.revocations).toEqual([]);
  });
});

describe('/v1/admin/secrets', () => {
  it('shows ids and times, and turns one ring', async () => {
    const before = await kit.call('GET', '/secrets');
    expect(before.body.secrets).toHaveLength(15);
    expect(Object.keys(before.body.secrets[0])).toEqual([
      ...['service', 'secret_id', 'key_type', 'created', 'expires'],
    ]);
    for (const { key } of kit.rig.keyServer.held('osd')) {
      expect(before.text).not.toContain(key.toBase64());
    }
    const after = await kit.call('POST', '/secrets/rotate', { services: ['osd'] });
    const ids = (service: string) =>
      after.body.secrets
        .filter((each: { service: string }) => each.service === service)
        .map((each: { secret_id: string }) => each.secret_id);
    expect([ids('osd'), ids('mds')]).toEqual([
      ['2', '3', '4'],
      ['1', '2', '3'],
    ]);
    expect(BigInt(after.body.snapshot)).toBeGreaterThan(BigInt(before.body.snapshot));
  });

  it('a wipe makes every service ticket worthless, and new ones are had with the old login', async () => {
    const client = kit.client('client.john');
    const john = await kit.accept(client);
    expect((await kit.call('POST', '/secrets/wipe')).status).toBe(200);
    expect((await john.verify()).body.reason.code).toBe('authorizer.secret_unknown');
    expect(await client.requestTickets(ENTITY_TYPES.osd!)).toMatchObject({ ok: true });
    expect((await john.verify()).body.decision).toBe(true);
  });

  it('refuses unknown services, and rotation where the secrets are given', async () => {
    const answer = await kit.call('POST', '/secrets/rotate', { services: ['client'] });
    expect([answer.status, answer.body.code]).toEqual([400, 'field.value']);
    const beside = createAdminApp({ ...kit.deps, issuer: undefined });
    const init = { method: 'POST' };
    for (const what of ['rotate', 'wipe']) {
      const url = `http://localhost/v1/admin/secrets/${what}`;
      const refused = await replyOf(await beside.request(url, init, UNIX_ENV));
      expect([refused.status, refused.body.code]).toEqual([409, 'secrets.not_ours']);
    }
  });
});

describe('/v1/admin/keys', () => {
  const path = '/keys/client.john';
  const used = { time: expect.any(String), source: 'unix' };

  it('shows which generation was used last; commit warns about the old one', async () => {
    const key = { key_type: 'aes256k', created: expect.any(String) };
    const fresh = await kit.call('GET', path);
    const none = { ...key, last_used: null };
    expect(fresh.body).toEqual({ entity: 'client.john', key: none, pending: null });
    const rotated = await kit.call('POST', `${path}/rotate`);
    expect(rotated.body).toEqual({ entity: 'client.john', pending: true });
    await kit.client('client.john').login();
    const now = formatTime(kit.rig.nowNs);
    expect((await kit.call('GET', path)).body).toMatchObject({
      key: { last_used: { time: now, source: 'unix' } },
      pending: none,
    });
    const committed = await kit.call('POST', `${path}/commit`);
    const warning = `the old key was used last at ${now} from unix`;
    expect(committed.body).toEqual({ entity: 'client.john', pending: false, warning });
    expect(await kit.client('client.john').login()).toMatchObject({ ok: false, status: -13 });
  });

  it('commit is quiet once the new key is in use', async () => {
    await kit.call('POST', `${path}/rotate`);
    await kit.client('client.john').login();
    const found = await kit.call('GET', '/users/client.john/key');
    const { CryptoKey } = await import('../src/cephx/cryptokey.ts');
    kit.rig.nowNs += SECOND;
    const pending = CryptoKey.fromBase64(found.body.pending_key);
    expect(await kit.client('client.john', pending).login()).toMatchObject({ ok: true });
    expect((await kit.call('POST', `${path}/commit`)).body).toEqual({
      entity: 'client.john',
      pending: false,
    });
    expect((await kit.call('GET', path)).body.key.last_used).toEqual(used);
  });

  it('a revocation of tickets can commit the pending key first', async () => {
    await kit.call('POST', `${path}/rotate`);
    const body = { not_before: { entity: 'client.john' }, commit_pending: true };
    expect((await kit.call('POST', '/revocations', body)).status).toBe(200);
    expect((await kit.call('GET', path)).body.pending).toBe(null);
    expect(await kit.client('client.john').login()).toMatchObject({ ok: false, status: -13 });
  });

  it('knows only entities that are there', async () => {
    for (const [method, rest] of [
      ['GET', ''],
      ['POST', '/commit'],
    ] as const) {
      const answer = await kit.call(method, `/keys/client.nobody${rest}`);
      expect([answer.status, answer.body.code]).toEqual([404, 'entity.unknown']);
    }
  });
});

describe('health', () => {
  it('is told in full to administrators, and by its codes in /readyz?verbose', async () => {
    const well = await kit.call('GET', '/health');
    expect(well.body).toEqual({ status: 'HEALTH_OK', checks: [] });
    expect((await kit.get('/readyz?verbose')).body.health).toEqual([]);
    await kit.rig.putEntity('client.jack', entity(freshKey('aes', kit.rng), CAPS));
    const ill = await kit.call('GET', '/health');
    expect(ill.body).toMatchObject({
      status: 'HEALTH_WARN',
      checks: [{ code: 'AUTH_INSECURE_CLIENT_KEY_TYPE', detail: ['client.jack has an aes key'] }],
    });
    // Ten seconds are long enough for those who ask all the time.
    expect((await kit.get('/readyz?verbose')).body.health).toEqual([]);
    kit.rig.nowNs += 10n * SECOND;
    const ready = await kit.get('/readyz?verbose');
    expect(ready.body).toMatchObject({
      status: 'ready',
      conditions: { service_secrets: true, not_draining: true },
      health: ['AUTH_INSECURE_CLIENT_KEY_TYPE'],
    });
    expect(ready.text).not.toContain('jack');
    expect((await kit.get('/readyz')).body).toEqual({ status: 'ready' });
  });
});

describe('/v1/admin/watch', () => {
  it('tells every change with its snapshot number, in order, and no value', async () => {
    const response = await kit.admin.request('http://localhost/v1/admin/watch', {}, UNIX_ENV);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const events = eventsOf(response);
    const first = (await events.next()).value!;
    expect(first.retry).toBe('1000');
    await kit.call('POST', '/command', { prefix: 'auth add', entity: 'client.new' });
    await kit.call('POST', '/revocations', { deny: { entity: 'client.new' } });
    await kit.call('DELETE', '/users/client.new');
    const seen = [];
    for (let i = 0; i < 3; i++) seen.push((await events.next()).value!);
    expect(seen.map(({ data }) => data.changes)).toEqual([
      [{ kind: 'entity', name: 'client.new', op: 'put' }],
      [{ kind: 'revocation', name: 'deny/entity/client.new', op: 'put' }],
      [{ kind: 'entity', name: 'client.new', op: 'delete' }],
    ]);
    const snapshots = seen.map(({ data }) => BigInt(data.snapshot));
    expect(snapshots).toEqual([...snapshots].sort((a, b) => Number(a - b)));
    expect(seen.map(({ id }) => id)).toEqual(seen.map(({ data }) => data.snapshot));
    expect(snapshots[0]! > BigInt(first.id!)).toBe(true);
    kit.ending.abort();
    expect((await events.next()).done).toBe(true);
  });

  it('goes on where a watcher was, and ends by itself if asked to', async () => {
    const { body: before, text } = await kit.call('GET', '/watch?wait=0');
    expect(before).toBe(undefined);
    const id = /^id: (\d+)$/m.exec(text)![1]!;
    await kit.call('POST', '/command', { prefix: 'auth add', entity: 'client.new' });
    const again = await kit.call('GET', `/watch?wait=10&from=${id}`);
    expect(again.text).toContain('"name":"client.new","op":"put"');
    for (const query of ['from=x', 'wait=31', 'wait=-1']) {
      expect((await kit.call('GET', `/watch?${query}`)).body.code).toBe('field.value');
    }
  });
});

interface SeenEvent {
  readonly id?: string;
  readonly retry?: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects to be there
  readonly data: any;
}

async function* eventsOf(response: Response): AsyncGenerator<SeenEvent> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body!) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n');
      text = text.slice(end + 2);
      const fields = Object.fromEntries(lines.map((line) => line.split(/: (.*)/s).slice(0, 2)));
      yield { ...fields, data: fields.data && JSON.parse(fields.data) };
    }
  }
}

const UNIX_ENV = { listener: { kind: 'unix' } } as const;
