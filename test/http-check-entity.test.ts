/** POST /v1/check and /v1/checks with an entity as subject: its caps come from the store. */

import { beforeEach, describe, expect, it } from 'vitest';
import { AuthDb } from '../src/auth/entities.ts';
import { readEntityCaps } from '../src/auth/entitycaps.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { parseEntityName } from '../src/cephx/protocol.ts';
import { StoreError } from '../src/errors.ts';
import { MemoryStore } from '../src/store/memory.ts';
import { IMPORT, REVOCATIONS, type RevocationId, STAGED } from '../src/store/records.ts';
import type { Store } from '../src/store/store.ts';
import { transaction } from '../src/store/transaction.ts';
import { command, commandDeps, load, monKeyring } from './auth-kit.ts';
import { type Answer, Kit, TCP } from './http-kit.ts';
import { loadVectors } from './twin/load.ts';

const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
const READ = { pool: 'liverpool', object: 'o1', read: true };
const ROOT_READ = { path: '', inode_uid: 0, inode_gid: 0, inode_mode: 0o755, caller_uid: 0 };

let store: Store;
let kit: Kit;
beforeEach(async () => {
  store = new MemoryStore();
  await load(
    store,
    `[client.john]\n\tkey = ${KEY}\n\tcaps mds = "allow r path=/home"\n` +
      '\tcaps mon = "allow r"\n' +
      '\tcaps osd = "allow rw pool=everton, allow r pool=liverpool network 10.0.0.0/8"\n' +
      `[client.bare]\n\tkey = ${KEY}\n\tcaps mon = "allow r"\n` +
      `[client.odd]\n\tkey = ${KEY}\n\tcaps osd = "nonsense"\n`,
  );
  const own = monKeyring(KEY);
  kit = await Kit.create({ entities: (names) => readEntityCaps(store, own, names) });
});

function check(body: Readonly<Record<string, unknown>>, query = ''): Promise<Answer> {
  return kit.post(`/v1/check${query}`, { service: 'osd', op: READ, ...body });
}

async function codeOf(body: Readonly<Record<string, unknown>>): Promise<string> {
  return (await check(body)).body.reason.code;
}

describe('an entity of the store', () => {
  it('may what its caps say, and nothing is proved', async () => {
    const { snapshot } = await readEntityCaps(store, undefined, []);
    const { status, body } = await check({ entity: 'client.john', peer: '10.1.2.3' });
    expect(status).toBe(200);
    const { decision_id, ...rest } = body;
    expect(rest).toEqual({
      ...{ decision: true, authenticated: false, entity: 'client.john' },
      ...{ reason: { code: 'ok', grant: 1 }, snapshot: snapshot.toString() },
    });
    expect(decision_id).toMatch(/^[0-9a-f]{24}$/);
  });

  it('may not what they do not say, grant by grant', async () => {
    const op = { pool: 'liverpool', object: 'o1', write: true };
    const { body } = await check({ entity: 'client.john', op }, '?explain=true');
    expect(body).toMatchObject({
      ...{ decision: false, authenticated: false, entity: 'client.john', client_errno: -1 },
      reason: { code: 'caps.no_matching_grant', grant: null },
      grants: [
        { grant: 0, text: 'allow rw pool=everton', span: [0, 21], failed: 'pool' },
        { grant: 1, span: [23, 64], failed: 'permission' },
      ],
    });
    expect((await check({ entity: 'client.john', op })).body).not.toHaveProperty('grants');
  });

  it.each([
    [{ entity: 'client.john' }, 'caps.network_mismatch'],
    [{ entity: 'client.bare' }, 'caps.none'],
    [{ entity: 'client.odd' }, 'caps.unparsable'],
    [{ entity: 'mon.' }, 'caps.none'],
    [{ entity: 'client.paul' }, 'entity.unknown'],
    [{ entity: 'john' }, 'entity.unknown'],
    [{ entity: `client.${'x'.repeat(893)}` }, 'entity.unknown'],
  ])('%j: %s', async (subject, code) => {
    const { status, body } = await check(subject);
    expect([status, body.decision, body.authenticated]).toEqual([200, false, false]);
    expect([body.reason.code, body.client_errno]).toEqual([code, -1]);
  });

  it('is asked about mds, mon and mgr too, as the one who calls', async () => {
    const entity = 'client.john';
    const path = { ...ROOT_READ, caller_gid: 0, mask: 1 };
    expect(await codeOf({ service: 'mds', entity, op: { ...path, path: 'home/x' } })).toBe('ok');
    expect(await codeOf({ service: 'mds', entity, op: { ...path, path: 'srv' } })).toBe(
      'caps.no_matching_grant',
    );
    expect(await codeOf({ service: 'mon', entity, op: { read: true } })).toBe('ok');
    const write = { service: 'mon', entity, op: { service: 'mon', read: true, write: true } };
    const { body } = await check(write, '?explain=true');
    expect(body).toMatchObject({
      ...{ decision: false, authenticated: false, entity },
      grants: [{ grant: 0, text: 'allow r', failed: 'permission' }],
    });
    // What a daemon keeps under its own name is nobody else's.
    await setCaps('mds.x', 'mon', 'allow profile mds');
    for (const [owner, code] of Object.entries({ x: 'ok', y: 'caps.no_matching_grant' })) {
      const args = { key: `daemon-private/mds.${owner}/k` };
      const op = { service: 'config-key', command: 'config-key set', args, write: true };
      const asked = { service: 'mon', entity: 'mds.x', op: { ...op, entity: 'mds.y' } };
      expect(await codeOf(asked)).toBe(code);
    }
    const rescue = { service: 'mon', entity: 'mon.', op: { read: true, write: true, exec: true } };
    expect((await check(rescue)).body).toMatchObject({ decision: true, entity: 'mon.' });
    expect(await codeOf({ service: 'mgr', entity: 'client.bare', op: {} })).toBe('caps.none');
  });

  it('answers as its caps text does', async () => {
    let compared = 0;
    for (const { daemon, cap, checks = [] } of loadVectors<Example[]>('caps-examples.json')) {
      const service = daemon;
      if (!['mon', 'mgr', 'osd', 'mds'].includes(service)) continue;
      await setCaps('client.x', service, cap);
      for (const { request } of checks) {
        const { addr, ...op } = request;
        const peer = addr ?? undefined;
        const asked = { service, op: snake(op), peer };
        if (service === 'mon' || service === 'mgr') asked.op.entity = 'client.x';
        const byText = await check({ ...asked, caps: cap }, '?explain=true');
        const byEntity = await check({ ...asked, entity: 'client.x' }, '?explain=true');
        expect([cap, op, decided(byEntity)]).toEqual([cap, op, decided(byText)]);
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(100);
  });

  it('is seen as it is at that moment', async () => {
    const may = async (): Promise<boolean> =>
      (await check({ entity: 'client.bare' })).body.decision;
    expect(await may()).toBe(false);
    await setCaps('client.bare', 'osd', 'allow r');
    expect(await may()).toBe(true);
    await command(commandDeps({ store }), { prefix: 'auth rm', entity: 'client.bare' });
    expect(await codeOf({ entity: 'client.bare' })).toBe('entity.unknown');
  });

  it('is seen after an import that was committed and not yet carried out', async () => {
    const other = new MemoryStore();
    await load(other, `[client.new]\n\tkey = ${KEY}\n\tcaps osd = "allow r"\n`);
    const { entries } = await other.list({ prefix: new Uint8Array(0), timeoutMs: 1000 });
    const { value } = entries.find(({ key }) =>
      new TextDecoder().decode(key).startsWith('entity'),
    )!;
    const importId = '00ff';
    const puts = [
      { key: STAGED.key({ importId, entity: 'client.new' }), value },
      { key: IMPORT.key(undefined), value: IMPORT.encode({ importId }) },
    ];
    const staged = transaction({ compares: [], puts, deletes: [] });
    expect((await store.commit(staged, { timeoutMs: 1000 })).status).toBe('committed');
    expect(await codeOf({ entity: 'client.new' })).toBe('ok');
  });
});

describe('a revoked entity', () => {
  const entityIn = (entity: string) => ({ kind: 'entity', entity }) as const;

  it('may nothing while it is denied', async () => {
    const john = { entity: 'client.john', peer: '10.1.2.3' };
    await revoke({ kind: 'deny', target: entityIn('client.john') });
    const { body } = await check(john);
    expect(body).toMatchObject({
      ...{ decision: false, authenticated: false, entity: 'client.john', client_errno: -1 },
      reason: { code: 'ticket.revoked' },
    });
    expect(await codeOf({ ...john, service: 'mon', op: {} })).toBe('ticket.revoked');
    await revoke({ kind: 'deny', target: entityIn('client.john') }, 'lift');
    expect(await codeOf(john)).toBe('ok');
  });

  it('that is denied and does not exist is unknown', async () => {
    await revoke({ kind: 'deny', target: entityIn('client.paul') });
    expect(await codeOf({ entity: 'client.paul' })).toBe('entity.unknown');
  });

  it('is asked about all the same when only its tickets of before are revoked', async () => {
    await revoke({ kind: 'not_before', target: entityIn('client.john') });
    expect(await codeOf({ entity: 'client.john', peer: '10.1.2.3' })).toBe('ok');
  });
});

describe('many at once', () => {
  it('are answered from one snapshot of the store', async () => {
    const items = [
      { entity: 'client.john' },
      { entity: 'client.paul' },
      { caps: 'allow r' },
      { entity: 7 },
      {},
    ];
    const defaults = { entity: 'client.bare', op: READ, peer: '10.0.0.1' };
    const { body } = await kit.post('/v1/checks', { service: 'osd', defaults, items });
    const codes = body.answers.map((each: Answer['body']) => each.reason.code);
    const expected = ['ok', 'entity.unknown', 'ok', 'record.malformed', 'caps.none'];
    expect(codes).toEqual(expected);
    expect(body.snapshot).toBe((await readEntityCaps(store, undefined, [])).snapshot.toString());
  });

  it('never see half of a change', async () => {
    const ids = Array.from({ length: 40 }, (_, i) => `client.n${i}`);
    const setAll = (caps: string): Promise<void> =>
      load(store, ids.map((id) => `[${id}]\n\tkey = ${KEY}\n\tcaps osd = "${caps}"\n`).join(''));
    await setAll('allow w');
    let reads = 0;
    const changing = Object.create(store, {
      get: {
        value: async (...args: Parameters<Store['get']>) => {
          reads += 1;
          if (reads === 20) await setAll('allow r');
          return await store.get(...args);
        },
      },
    });
    kit = await Kit.create({ entities: (names) => readEntityCaps(changing, undefined, names) });
    const items = ids.map((entity) => ({ entity }));
    const request = { service: 'osd', defaults: { op: READ }, items };
    for (const decision of [false, true]) {
      const { body } = await kit.post('/v1/checks', request);
      const decisions = body.answers.map((each: Answer['body']) => each.decision);
      expect(decisions).toEqual(ids.map(() => decision));
    }
    expect(reads).toBeGreaterThan(100);
  });
});

describe('who may not ask, and where nobody can answer', () => {
  it('needs the right to explain, before the store is asked', async () => {
    let asked = 0;
    const entities = async () => {
      asked++;
      return { snapshot: 0n, entities: new Map() };
    };
    kit = await Kit.create({ entities });
    const body = { service: 'osd', entity: 'client.john', op: READ };
    const { status, body: problem } = await kit.post('/v1/check', body, TCP);
    expect([status, problem.code]).toEqual([403, 'right.missing']);
    const many = { service: 'osd', items: [{ entity: 'client.john', op: READ }] };
    expect((await kit.post('/v1/checks', many, TCP)).body.answers[0].decision).toBe(false);
    expect(asked).toBe(0);
    await kit.post('/v1/check', body);
    expect(asked).toBe(1);
  });

  it('is a denial without a store, and trouble while the store is', async () => {
    kit = await Kit.create();
    expect(await codeOf({ entity: 'client.john' })).toBe('entity.unknown');
    const entities = async () => {
      throw new StoreError('store.failed', 'cannot read /secret/place');
    };
    kit = await Kit.create({ entities });
    const { status, text, body } = await check({ entity: 'client.john' });
    expect([status, body.code]).toEqual([503, 'store.unavailable']);
    expect(text).not.toContain('secret');
    expect(await codeOf({ caps: 'allow r' })).toBe('ok');
  });
});

interface Example {
  readonly daemon: string;
  readonly cap: string;
  readonly checks?: readonly { readonly request: Readonly<Record<string, unknown>> }[];
}

/** What an answer says, without whom it is about and when it was given. */
function decided({ status, body }: Answer): unknown {
  const { entity, snapshot, decision_id, ...rest } = body;
  return { status, ...rest };
}

function snake(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const name = (text: string) => text.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [name(key), value]));
}

/** Any text, as `auth add -i` takes it. */
async function setCaps(entity: string, service: string, caps: string): Promise<void> {
  const key = CryptoKey.fromBase64(KEY);
  await new AuthDb(store, undefined).change(parseEntityName(entity)!, () => ({
    entity: { key, caps: new Map([[service, caps]]) },
  }));
}

async function revoke(id: RevocationId, how: 'make' | 'lift' = 'make'): Promise<void> {
  const key = REVOCATIONS.key(id);
  const value = REVOCATIONS.encode({ timeNs: 1n << 60n, createdNs: 0n, comment: '' });
  const change = how === 'make' ? { puts: [{ key, value }] } : { deletes: [key] };
  const tx = transaction({ compares: [], puts: [], deletes: [], ...change });
  expect((await store.commit(tx, { timeoutMs: 1000 })).status).toBe('committed');
}
