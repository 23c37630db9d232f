/** POST /v1/check for mon and mgr caps, which are decided beside the core, as text only. */

import { beforeEach, describe, expect, it } from 'vitest';
import { type Answer, Kit, TCP } from './http-kit.ts';
import { loadVectors } from './twin/load.ts';

interface Example {
  readonly daemon: string;
  readonly cap: string;
  readonly parses: boolean;
  readonly checks?: readonly {
    readonly request: { readonly addr: string | null };
    readonly allowed: boolean;
  }[];
}

let kit: Kit;
beforeEach(async () => {
  kit = await Kit.create();
});

function check(body: Readonly<Record<string, unknown>>, query = ''): Promise<Answer> {
  return kit.post(`/v1/check${query}`, { service: 'mon', op: { read: true }, ...body });
}

describe('checks of mon and mgr caps', () => {
  it.each(['mon', 'mgr'])('answer the %s examples', async (service) => {
    let compared = 0;
    for (const { daemon, cap, parses, checks = [] } of loadVectors<Example[]>(
      'caps-examples.json',
    )) {
      if (daemon !== service) continue;
      if (!parses) {
        const { body } = await check({ service, caps: cap });
        expect(body).toMatchObject({ decision: false, reason: { code: 'caps.unparsable' } });
      }
      for (const { request, allowed } of checks) {
        const { addr, ...op } = request;
        const { status, body } = await check({ service, caps: cap, op, peer: addr ?? undefined });
        expect([cap, op, status, body.decision]).toEqual([cap, op, 200, allowed]);
        expect(body.authenticated).toBe(false);
        expect(body.client_errno).toBe(allowed ? undefined : -1);
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(20);
  });

  it('explain grant by grant', async () => {
    const caps = 'allow command "é" , allow w, allow r network 10.0.0.0/8';
    const { body } = await check({ caps }, '?explain=true');
    expect(body).toMatchObject({
      decision: false,
      reason: { code: 'caps.network_mismatch', grant: 2 },
      grants: [
        { grant: 0, text: 'allow command "é"', span: [0, 17], failed: 'command' },
        { grant: 1, text: 'allow w', span: [20, 27], failed: 'permission' },
        { grant: 2, text: 'allow r network 10.0.0.0/8', span: [29, 55], failed: 'network' },
      ],
    });
    const inside = await check({ caps, peer: '10.1.2.3' }, '?explain=true');
    expect(inside.body).toMatchObject({ decision: true, reason: { code: 'ok', grant: 2 } });
    expect((await check({ caps })).body).not.toHaveProperty('grants');
  });

  it('need the right to explain', async () => {
    const request = { service: 'mon', caps: 'allow *', op: {} };
    const { status, body } = await kit.post('/v1/check', request, TCP);
    expect([status, body.code]).toEqual([403, 'right.missing']);
  });

  it('are not made for sessions, and know no entities', async () => {
    const codes = [];
    for (const service of ['mon', 'mgr']) {
      codes.push((await check({ service, session: 'x' })).body.code);
      codes.push((await check({ service, entity: 'client.a' })).body.reason.code);
    }
    expect(codes).toEqual([
      ...['service.refused', 'entity.unknown', 'service.unsupported', 'entity.unknown'],
    ]);
  });

  it.each([
    [{ op: { module: 'm' } }, 'field.unknown'],
    [{ op: { read: 1 } }, 'field.type'],
    [{ op: { args: { key: 1 } } }, 'field.type'],
    [{ op: undefined }, 'field.missing'],
    [{ service: 'auth' }, 'service.refused'],
  ])('refuse %j', async (fields, code) => {
    const { body } = await check({ caps: 'allow *', ...fields });
    expect(body.code).toBe(code);
  });
});
