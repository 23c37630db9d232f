/** POST /v1/checks: order, one snapshot, reasons per item, limits, and the same as one by one. */

import { beforeEach, describe, expect, it } from 'vitest';
import { type Answer, Kit, osdTicket, SECOND_NS, TCP, UNIX } from './http-kit.ts';
import { Rng, seedOf } from './rng.ts';

const OP = { pool: 'liverpool', object: 'o1', read: true };
const seed = seedOf(31);

let kit: Kit;
beforeEach(async () => {
  kit = await Kit.create();
});

async function session(caps: string | null): Promise<string> {
  const { final } = await kit.accept(osdTicket({ caps }));
  return final.body.session;
}

function checks(body: Readonly<Record<string, unknown>>, query = ''): Promise<Answer> {
  return kit.post(`/v1/checks${query}`, { service: 'osd', ...body });
}

function codes(answer: Answer): string[] {
  return answer.body.answers.map((each: { reason: { code: string } }) => each.reason.code);
}

describe('POST /v1/checks', () => {
  it('answers in order, with one snapshot and one id', async () => {
    const items = [
      { session: await session('allow rw pool=liverpool'), op: OP },
      { session: await session('allow rw pool=everton'), op: OP },
      { session: 'unknown', op: OP },
      { session: await session(null), op: OP },
    ];
    const answer = await checks({ items });
    expect(answer.status).toBe(200);
    const expected = ['ok', 'caps.no_matching_grant', 'session.unknown', 'caps.none'];
    expect(codes(answer)).toEqual(expected);
    expect(answer.body.answers.map((each: { decision: boolean }) => each.decision)).toEqual([
      true,
      false,
      false,
      false,
    ]);
    expect(Object.keys(answer.body)).toEqual(['answers', 'snapshot', 'decision_id']);
    const lines = kit.logs.filter((line) => line.decision_id === answer.body.decision_id);
    expect(lines.map((line) => [line.item, line.reason])).toEqual([...expected.entries()]);
  });

  it('takes from the defaults what an item does not say', async () => {
    const mine = await session('allow rw pool=liverpool');
    const defaults = { session: mine, op: OP };
    const items = [{}, { op: { ...OP, pool: 'everton' } }, { caps: 'allow *' }, { session: 'x' }];
    const answer = await checks({ defaults, items });
    expect(codes(answer)).toEqual(['ok', 'caps.no_matching_grant', 'ok', 'session.unknown']);
    expect(answer.body.answers[2].authenticated).toBe(false);
  });

  it('answers a bad item with a denial, and its neighbours all the same', async () => {
    const caps = 'allow rw pool=liverpool';
    const items = [
      { caps, op: OP },
      { caps },
      { op: OP },
      { caps, session: 'x', op: OP },
      { caps, op: { ...OP, nonsense: 1 } },
      { caps, op: OP, peer: 'somewhere' },
      { caps, op: OP, secret: 1 },
      7,
      null,
      { caps, op: { ...OP, pool: 'p'.repeat(300) } },
      { caps: 'allow rubbish', op: OP },
      { caps, op: OP },
    ];
    const answer = await checks({ items });
    expect(answer.status).toBe(200);
    expect(codes(answer)).toEqual([
      'ok',
      ...new Array<string>(8).fill('record.malformed'),
      'limit.exceeded',
      'caps.unparsable',
      'ok',
    ]);
    expect(answer.body.answers[4].reason.message).toContain('"op.nonsense"');
    for (const each of answer.body.answers) {
      expect(each.client_errno).toBe(each.decision ? undefined : -1);
    }
  });

  it('refuses a bad body as a whole', async () => {
    const refused = async (body: Readonly<Record<string, unknown>>): Promise<unknown> => {
      const { status, body: problem } = await checks(body);
      return [status, problem.code];
    };
    expect(await refused({})).toEqual([400, 'field.missing']);
    expect(await refused({ items: 1 })).toEqual([400, 'field.type']);
    expect(await refused({ items: [], more: 1 })).toEqual([400, 'field.unknown']);
    expect(await refused({ items: [], defaults: { x: 1 } })).toEqual([400, 'field.unknown']);
    expect(await refused({ items: [], service: 'auth' })).toEqual([403, 'service.refused']);
    const many = (count: number): { items: unknown[] } => ({ items: new Array(count).fill({}) });
    expect((await checks(many(1024))).body.answers).toHaveLength(1024);
    expect(await refused(many(1025))).toEqual([413, 'body.too_large']);
    const long = { items: [{ caps: 'x'.repeat(1_048_576), op: OP }] };
    expect(await refused(long)).toEqual([413, 'body.too_large']);
  });

  it('gives a caller without "explain" no unproven subject', async () => {
    const mine = await session('allow *');
    const items = [
      { caps: 'allow *', op: OP },
      { session: mine, op: OP },
    ];
    const answer = await kit.post('/v1/checks', { service: 'osd', items }, TCP);
    expect(codes(answer)).toEqual(['record.malformed', 'session.unknown']);
    const explained = await kit.post('/v1/checks?explain=true', { service: 'osd', items }, TCP);
    expect([explained.status, explained.body.code]).toEqual([403, 'right.missing']);
  });

  it('explains each item when asked', async () => {
    const items = [{ caps: 'allow r pool=a, allow rw pool=liverpool', op: OP }];
    const answer = await checks({ items }, '?explain=true');
    expect(answer.body.answers[0].grants).toHaveLength(2);
  });

  it('judges all items at one time', async () => {
    const mine = await session('allow *');
    const deps = kit.deps as { clock: () => bigint };
    let asked = 0;
    deps.clock = () => {
      asked += 1;
      return kit.nowNs + BigInt(asked) * 1_200n * SECOND_NS;
    };
    const answer = await checks({ items: new Array(50).fill({ session: mine, op: OP }) });
    // Once for all the items; without a limit nobody asks for the caller's rate.
    expect(asked).toBe(1);
    expect(new Set(codes(answer)).size).toBe(1);
  });

  it(`says what /v1/check says (seed ${seed})`, async () => {
    const rng = new Rng(seed);
    const texts = ['allow rw pool=liverpool', 'allow r', 'allow *', 'profile rbd', 'allow x', '%'];
    const sessions = [await session('allow rw pool=liverpool'), await session('allow r'), 'gone'];
    const item = (): Record<string, unknown> => ({
      ...(rng.chance(0.5) ? { caps: rng.pick(texts) } : { session: rng.pick(sessions) }),
      ...(rng.chance(0.2) && { peer: rng.pick(['192.0.2.7', '192.0.2.8']) }),
      op: {
        pool: rng.pick(['liverpool', 'everton']),
        object: rng.pick(['o1', 'rbd_data.1', '']),
        read: rng.chance(0.6),
        write: rng.chance(0.4),
        ...(rng.chance(0.1) && { classes: [{ name: 'rbd', method: 'x', read: true }] }),
      },
    });
    const items = Array.from({ length: 400 }, item);
    const { body } = await checks({ items });
    for (const [index, each] of items.entries()) {
      const { body: single } = await kit.post('/v1/check', { service: 'osd', ...each }, UNIX);
      const { decision_id, snapshot, ...rest } = single;
      expect([index, body.answers[index]]).toEqual([index, rest]);
      expect([snapshot, decision_id.length]).toEqual([body.snapshot, 24]);
    }
    expect(new Set(codes({ body } as Answer)).size).toBeGreaterThan(4);
  });
});
