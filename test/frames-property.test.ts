/**
 * Two properties: whatever bytes a frame has, clock, policy, randomness and challenge stay the
 * host's; and a question gets one answer, through frames as through JSON.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { utimeNs } from '../src/cephx/denc.ts';
import { entityTypeName } from '../src/cephx/protocol.ts';
import { type FrameVerdict, FrameWriter } from '../src/client/frames.ts';
import type { OsdOp } from '../src/engine/index.ts';
import type { Listener } from '../src/http/callers.ts';
import { formatTime } from '../src/http/codec.ts';
import { FrameHost } from '../src/http/framehost.ts';
import { FrameOwner } from '../src/http/frameowners.ts';
import { HOUR_NS, type TestTicket } from './authorizers.ts';
import { ask, challengeOf, frames, OSD, PEER, split } from './frames-kit.ts';
import { type Answer, b64, Kit, newConnection, osdTicket, random, TCP, UNIX } from './http-kit.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(37);
const RUNS = Number(process.env.RUNS ?? 4000);
const ACCEPT = { id: 'unix', rights: new Set(['verify', 'accept', 'explain'] as const) };
const VERIFY = { id: 'tcp', rights: new Set(['verify'] as const) };

describe('frames of any bytes', () => {
  it(`change nothing that is the host's, and prove nothing (seed ${seed})`, async () => {
    const kit = await Kit.create({ sign: true });
    const rng = new Rng(seed);
    const { engine } = kit.deps;
    const region = (at: number, length: number): Uint8Array =>
      new Uint8Array(engine.memory, engine.layout.getUint32(at, true), length);
    const block = region(abi.LAYOUT_HOST, abi.HOST_LEN);
    const view = new DataView(engine.memory, block.byteOffset, abi.HOST_LEN);
    const pool = region(abi.LAYOUT_RANDOM, engine.layout.getUint32(abi.LAYOUT_RANDOM_LEN, true));
    const host = new FrameHost(kit.deps);
    const authorizers = Array.from({ length: 4 }, () => osdTicket().authorizer());
    host.answer(new FrameOwner(ACCEPT, 'first'), sample(rng, authorizers));
    const policy = (): Uint8Array[] => [
      block.slice(abi.HOST_SKEW, abi.HOST_FLAGS),
      block.slice(abi.HOST_SESSION_LIFETIME, abi.HOST_CHALLENGE_MODE),
      block.slice(abi.HOST_SESSION_MAX_AGE, abi.HOST_RANDOM_AVAILABLE),
      block.slice(abi.HOST_RELEASE, abi.HOST_LEN),
    ];
    const before = policy();
    for (let run = 0; run < RUNS; run++) {
      const caller = rng.chance(0.7) ? ACCEPT : VERIFY;
      const bytes = sample(rng, authorizers);
      damage(rng, bytes);
      const asked = split(bytes.slice());
      const randomLeft = view.getUint32(abi.HOST_RANDOM_AVAILABLE, true);
      const poolBefore = pool.slice();
      const answers = host.answer(new FrameOwner(caller, 'x'), bytes);
      const given = answers.flatMap(split);
      expect(given.map(tagOf)).toEqual(asked.map((each) => tagIn(each, 12)));
      expect(policy()).toEqual(before);
      expect(view.getBigUint64(abi.HOST_NOW, true)).toBe(kit.nowNs);
      expect(view.getUint32(abi.HOST_CHALLENGE_MODE, true)).toBe(abi.CHALLENGE_REQUIRED);
      expect(view.getUint32(abi.HOST_FLAGS, true) & abi.FLAG_UNPROVEN).toBe(0);
      if (view.getUint32(abi.HOST_RANDOM_AVAILABLE, true) <= randomLeft) {
        expect(Buffer.compare(pool, poolBefore)).toBe(0);
      }
      for (const [index, each] of given.entries()) {
        const verdict = new DataView(each.buffer, each.byteOffset);
        const kind = tagIn(asked[index]!, abi.RECORD_KIND) & 0xffff;
        // The exact rule stays here, but for what is wrong with the frame itself.
        expect(verdict.getUint16(abi.VERDICT_CHECK, true)).toBeLessThan(abi.CHECK_LIMIT);
        if (kind !== abi.KIND_VERIFY) continue;
        const proven = (verdict.getUint32(abi.VERDICT_INFO, true) & abi.INFO_PROVEN) !== 0;
        // Nobody answered a challenge, so nothing is proved to who must have one answered.
        if (caller === ACCEPT) expect(proven).toBe(false);
        expect(verdict.getBigUint64(abi.VERDICT_HANDLE, true)).toBe(0n);
      }
    }
  }, 60_000);

  function sample(rng: Rng, authorizers: readonly Uint8Array[]): Uint8Array {
    const writer = new FrameWriter();
    for (let i = 1 + rng.int(6); i > 0; i--) {
      if (rng.chance(0.5)) {
        const authorizer = rng.pick(authorizers);
        const options = { reply: rng.chance(0.5), secure: rng.chance(0.2) };
        const more = { session: rng.chance(0.5), peer: PEER, connection: 'c' };
        writer.verify({ service: OSD, authorizer, ...options, ...more }, rng.u32());
      } else {
        const op = { pool: 'liverpool', object: 'o', read: true };
        const session = rng.chance(0.5) ? rng.u64() : 0xffff_ffff_ffff_ffffn;
        writer.check({ service: OSD, session, op, explain: rng.chance(0.3) }, rng.u32());
      }
    }
    return writer.take();
  }

  /** Any byte but those of a length, which the connection has checked before. */
  function damage(rng: Rng, bytes: Uint8Array): void {
    for (const record of split(bytes)) {
      for (let i = rng.int(4); i > 0; i--) {
        const at =
          4 + rng.int(rng.chance(0.7) ? Math.min(record.length, 80) - 4 : record.length - 4);
        record[at] = rng.pick([0, 1, 2, 4, 8, 16, 32, 0x80, 0xff, rng.int(256)]);
      }
      if (rng.chance(0.05)) record.set(rng.bytes(record.length - 4), 4);
    }
  }
});

describe('one answer', () => {
  let kit: Kit;
  let rng: Rng;
  beforeAll(async () => {
    kit = await Kit.create();
    rng = new Rng(seed);
  });

  it(`on who it is (seed ${seed})`, async () => {
    const seen = new Set<string>();
    for (let run = 0; run < 300; run++) {
      const ticket = anyTicket();
      const listener = rng.chance(0.3) ? TCP : UNIX;
      seen.add(await compareVerify(ticket, listener));
    }
    expect([...seen].sort()).toEqual([
      'authorizer.challenge_expired',
      'authorizer.challenge_mismatch',
      'authorizer.challenge_required',
      'authorizer.invalid',
      'authorizer.malformed',
      'authorizer.mode',
      'authorizer.secret_unknown',
      'authorizer.service',
      'ok',
      'record.malformed',
      'ticket.expired',
      'ticket.implausible',
      'ticket.not_yet_valid',
    ]);
  });

  function anyTicket(): TestTicket {
    const createdNs = kit.nowNs + rng.pick([0n, 0n, 0n, -9n * HOUR_NS, 9n * HOUR_NS]);
    return osdTicket({
      aes: rng.chance(0.5),
      createdNs,
      caps: rng.pick(['allow rw pool=liverpool', 'allow *', '', null, 'nonsense']),
      allowAll: rng.chance(0.1),
      entity: rng.pick(['client.john', 'osd.3', 'client.\u00e9']),
      sessionType: rng.pick(['aes', 'aes256k'] as const),
      ...(rng.chance(0.1) && { secretId: 99n }),
      ...(rng.chance(0.1) && { service: abi.ENTITY_TYPE_MDS }),
      ...(rng.chance(0.05) && { validNs: -HOUR_NS }),
    });
  }

  /** The same steps through both; returns the reason of the last one. */
  async function compareVerify(ticket: TestTicket, listener: Listener): Promise<string> {
    const connection = newConnection();
    const secure = rng.chance(0.3);
    const damaged = rng.chance(0.15);
    const cut = rng.chance(0.05) ? rng.int(300) : undefined;
    const spoil = (authorizer: Uint8Array): Uint8Array => {
      if (cut !== undefined) return authorizer.subarray(0, cut);
      if (damaged) authorizer[where] = (authorizer[where]! ^ flip) & 0xff;
      return authorizer;
    };
    const where = rng.pick([0, 1, 10, 14, 30, 60, rng.int(100)]);
    const flip = 1 + rng.int(255);
    const json = { service: 'osd', connection, peer: '192.0.2.7', ...(secure && { secure }) };
    const extra = listener === UNIX ? { reply: true, session: true, secure } : { secure };
    const frame = { service: OSD, connection, peer: PEER, ...extra };
    const first = spoil(ticket.authorizer());
    const a1 = await kit.verify({ ...json, authorizer: b64(first) }, listener);
    const [b1] = await ask(
      kit,
      frames((writer) => writer.verify({ ...frame, authorizer: first }, 1)),
      listener,
    );
    same(a1, b1!, 'osd');
    if (a1.body.challenge === undefined) return reasonIn(a1);
    const wrong = rng.pick([0n, 0n, 0n, 0n, 1n]);
    const foreign = rng.chance(0.1);
    const state = (given: string): string => (foreign ? b64(random(81)) : given);
    const challengeA = challengeOf(Buffer.from(a1.body.challenge, 'base64'), ticket);
    const challengeB = challengeOf(b1!.reply!, ticket);
    const a2 = await kit.verify({
      ...json,
      authorizer: b64(ticket.authorizer(challengeA + wrong)),
      challenge_state: state(a1.body.challenge_state),
    });
    const question = { ...frame, authorizer: ticket.authorizer(challengeB + wrong) };
    const [b2] = await ask(
      kit,
      frames((writer) => writer.verify({ ...question, challengeState: state(b1!.token!) }, 2)),
    );
    same(a2, b2!, 'osd');
    if (a2.body.decision && rng.chance(0.5)) await compareChecks(a2.body.session, b2!.handle);
    if (a2.body.decision || rng.chance(0.5)) return reasonIn(a2);
    return reasonIn(a1);
  }

  async function compareChecks(session: string, handle: bigint): Promise<void> {
    const ops = Array.from({ length: 8 }, anyOp);
    const explain = rng.chance(0.3);
    const records = frames((writer) => {
      for (const op of ops) {
        const question = { service: OSD, session: handle, op, peer: PEER, explain, tail: true };
        writer.check(question, 1);
      }
    });
    const given = await ask(kit, records);
    for (const [index, op] of ops.entries()) {
      const item = { service: 'osd', session, peer: '192.0.2.7', op: jsonOp(op) };
      const single = await kit.post(`/v1/check?explain=${explain}`, item);
      const verdict = given[index]!;
      const { reason, entity, grants, ...rest } = single.body;
      expect([verdict.decision, verdict.reason]).toEqual([rest.decision, reason.code]);
      expect(verdict.entityType === 0 ? undefined : nameOf(verdict)).toBe(entity);
      if (reason.grant !== null) expect(verdict.grant).toBe(reason.grant);
      if (explain) expect(verdict.detail).toHaveLength(grants.length);
    }
  }

  function anyOp(): OsdOp {
    return {
      pool: rng.pick(['liverpool', 'everton', '', 'p'.repeat(300)]),
      namespace: rng.pick(['', 'n']),
      object: rng.pick(['', 'o1', '\u00e9']),
      read: rng.chance(0.6),
      write: rng.chance(0.4),
      classes: rng.chance(0.2)
        ? [{ name: 'rbd', method: 'm', read: true, write: false, allowListed: rng.chance(0.5) }]
        : [],
      appMetadata: rng.chance(0.2) ? { rbd: { a: 'b' } } : {},
    };
  }

  function jsonOp(op: OsdOp): unknown {
    const { appMetadata, classes, ...rest } = op;
    const calls = classes!.map(({ allowListed, ...call }) => ({
      ...call,
      allow_listed: allowListed,
    }));
    return { ...rest, app_metadata: appMetadata, classes: calls };
  }

  /** An HTTP error is a record that this caller may not send. */
  function reasonIn({ status, body }: Answer): string {
    return status === 200 ? body.reason.code : 'record.malformed';
  }

  function same(answer: Answer, verdict: FrameVerdict, service: string): void {
    const { body } = answer;
    expect(verdict.reason).toBe(reasonIn(answer));
    expect(verdict.decision).toBe(body.decision ?? false);
    expect([verdict.reply !== undefined, verdict.token !== undefined]).toEqual([
      (body.reply ?? body.challenge) !== undefined,
      (body.receipt ?? body.challenge_state) !== undefined,
    ]);
    expect(verdict.handle !== 0n).toBe(body.session !== undefined);
    expect(verdict.connectionSecret?.length).toBe(
      body.connection_secret === undefined ? undefined : 64,
    );
    if (!verdict.decision) return;
    const decoded = (verdict.info & abi.INFO_CAPS_DECODED) !== 0;
    const present = (verdict.info & abi.INFO_CAPS_PRESENT) !== 0;
    expect({
      entity: nameOf(verdict),
      global_id: verdict.globalId.toString(),
      service,
      caps: present && !decoded ? null : verdict.caps,
      allow_all: verdict.allowAll,
      created: formatTime(utimeNs(verdict.created)),
      expires: formatTime(utimeNs(verdict.expires)),
      expired: verdict.expired,
      secret_id: verdict.secretId.toString(),
      ticket_key_type: verdict.ticketKeyType,
      session_key_type: verdict.sessionKeyType,
      integrity: verdict.integrity,
    }).toEqual(Object.fromEntries(Object.entries(body).filter(([name]) => NAMES.includes(name))));
  }
});

const NAMES = [
  ...['entity', 'global_id', 'service', 'caps', 'allow_all', 'created', 'expires', 'expired'],
  ...['secret_id', 'ticket_key_type', 'session_key_type', 'integrity'],
];

function nameOf(verdict: FrameVerdict): string {
  return `${entityTypeName(verdict.entityType)}.${verdict.entityId}`;
}

function tagOf(verdict: Uint8Array): number {
  return tagIn(verdict, abi.VERDICT_TAG);
}

function tagIn(record: Uint8Array, at: number): number {
  return new DataView(record.buffer, record.byteOffset).getUint32(at, true);
}
