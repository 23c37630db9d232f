/**
 * Raw records: any byte pattern gets verdicts or an end, never a trap, and no record reaches the
 * host block, takes a flag that was not granted, or shifts the answers of its neighbours.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { Engine, RecordWriter, Verdict } from '../src/engine/index.ts';
import { makeSecret, makeTicket, NOW_NS } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(5);
const rng = new Rng(seed);
const OSD = abi.ENTITY_TYPE_OSD;
const HOST = { nowNs: NOW_NS };
const { key: secret, encoded } = makeSecret('aes', rng.random);

let engine: Engine;

beforeAll(async () => {
  engine = await Engine.create({ preset: 'small' });
  engine.putSecret({ service: OSD, secretId: 2n, key: encoded });
});

/** Records written by the host's own writer. */
function records(write: (writer: RecordWriter) => void): Uint8Array {
  const bytes = new Uint8Array(65536);
  const writer = new RecordWriter(bytes);
  write(writer);
  return bytes.slice(0, writer.at);
}

function split(response: Uint8Array): Verdict[] {
  const verdicts: Verdict[] = [];
  const view = new DataView(response.buffer, response.byteOffset, response.byteLength);
  for (let at = 0; at < response.length; at += view.getUint32(at, true)) {
    verdicts.push(new Verdict(view, at));
  }
  return verdicts;
}

function verifyRecord(writer: RecordWriter, tag = 0): void {
  const authorizer = makeTicket(secret, rng.random, { sessionType: 'aes' }).authorizer();
  writer.verify({ service: OSD, authorizer, challenge: { mode: 'off' } }, tag);
}

const GOOD_OP = { pool: 'liverpool', namespace: 'n', object: 'o', read: true };

function sample(): Uint8Array {
  return records((writer) => {
    verifyRecord(writer, 1);
    writer.check({ service: OSD, handle: rng.u64(), op: GOOD_OP, explain: rng.chance(0.5) }, 2);
    writer.capsParse(OSD, new TextEncoder().encode('allow rw pool=a, profile rbd'), true, 3);
    writer.sign(OSD, 1n, 'msgr2-auth', rng.bytes(20), undefined, 4);
    const mds = { path: 'a/b', inodeUid: 0, inodeGid: 0, inodeMode: 0o755 };
    const op = { ...mds, callerUid: 1, callerGid: 1, callerGidList: [1, 2], mask: abi.MAY_READ };
    writer.check({ service: abi.ENTITY_TYPE_MDS, handle: 1n, op }, 5);
  });
}

describe('records', () => {
  it('are answered in order with their tags', () => {
    const off = { mode: 'off' } as const;
    const answers = split(engine.run(sample(), HOST, [off], abi.FLAGS_ALL));
    expect(answers.map((each) => each.tag)).toEqual([1, 2, 3, 4, 5]);
    expect(answers.map((each) => each.reason)).toEqual([
      'ok',
      'session.unknown',
      'ok',
      'session.unknown',
      'session.unknown',
    ]);
  });

  it(`of any bytes never trap and never touch the host block (seed ${seed})`, () => {
    const host = new Uint8Array(
      engine.memory,
      engine.layout.getUint32(abi.LAYOUT_HOST, true),
      abi.HOST_RANDOM_AVAILABLE,
    );
    for (let i = 0; i < 20_000; i++) {
      const bytes = rng.chance(0.1) ? rng.bytes(rng.int(300)) : sample();
      for (let j = rng.int(6); j > 0 && bytes.length > 0; j--) {
        const at = rng.chance(0.5) ? rng.int(Math.min(bytes.length, 120)) : rng.int(bytes.length);
        bytes[at] = rng.pick([0, 1, 0xff, 0x80, rng.int(256)]);
      }
      const cut = rng.chance(0.1) ? bytes.subarray(0, rng.int(bytes.length + 1)) : bytes;
      engine.run(new Uint8Array(0), HOST, [], abi.FLAGS_ALL);
      const before = host.slice();
      const response = engine.run(cut, HOST, [], abi.FLAGS_ALL);
      expect(host).toEqual(before);
      for (const verdict of split(response)) {
        // No challenge was ever issued, so no authorizer may be accepted.
        if (verdict.decision) expect(verdict.proven).toBe(false);
      }
    }
  });

  it('with an unknown kind, flag or length are verdicts', () => {
    const change = (at: number, value: number): Verdict => {
      const bytes = records((writer) => verifyRecord(writer));
      bytes[at] = value;
      const [verdict] = split(engine.run(bytes, HOST, [{ mode: 'off' }], abi.FLAGS_ALL));
      return verdict as Verdict;
    };
    expect(change(abi.RECORD_KIND, 1).reason).toBe('ok');
    for (const kind of [0, 7, 255]) {
      expect(change(abi.RECORD_KIND, kind).checkNumber).toBe(abi.CHECK_RECORD_KIND);
    }
    for (const flags of [64, 128]) {
      expect(change(abi.RECORD_FLAGS, flags).checkNumber).toBe(abi.CHECK_RECORD_FLAGS);
    }
    expect(change(abi.RECORD_FLAGS + 1, 1).checkNumber).toBe(abi.CHECK_RECORD_FLAGS);
    expect(change(abi.RECORD_BYTES, 23).checkNumber).toBe(abi.CHECK_RECORD_LENGTH);
    expect(change(abi.RECORD_BYTES + 2, 9).checkNumber).toBe(abi.CHECK_RECORD_LENGTH);
    expect(change(abi.VERIFY_AUTHORIZER + 4, 255).checkNumber).toBe(abi.CHECK_RECORD_LENGTH);
    expect(change(abi.VERIFY_AUTHORIZER + 3, 255).checkNumber).toBe(abi.CHECK_RECORD_LENGTH);
    expect(change(abi.VERIFY_PEER_FAMILY, 5).checkNumber).toBe(abi.CHECK_RECORD_FIELD);
    expect(change(abi.VERIFY_RESERVED, 1).checkNumber).toBe(abi.CHECK_RECORD_FIELD);
    expect(change(abi.VERIFY_RESERVED, 1).reason).toBe('record.malformed');
  });

  it('get no flag that the host did not grant', () => {
    for (let flag = 1; flag <= abi.FLAGS_ALL; flag <<= 1) {
      const bytes = records((writer) => verifyRecord(writer));
      bytes[abi.RECORD_FLAGS] = flag;
      const granted = abi.FLAGS_ALL & ~flag;
      const [verdict] = split(engine.run(bytes, HOST, [{ mode: 'off' }], granted));
      expect(verdict?.reason).toBe('record.malformed');
    }
  });

  it('beyond the challenge array must answer a fresh challenge', () => {
    const bytes = records((writer) => {
      verifyRecord(writer);
      verifyRecord(writer);
    });
    const answers = split(engine.run(bytes, HOST, [{ mode: 'off' }], abi.FLAGS_ALL));
    expect(answers.map((each) => each.reason)).toEqual(['ok', 'authorizer.challenge_required']);
  });

  it('are at most a batch', () => {
    const bytes = records((writer) => {
      for (let i = 0; i <= abi.BATCH_RECORDS_MAX; i++) {
        writer.sign(OSD, 0n, 'msgr2-auth', new Uint8Array(0), undefined, i);
      }
    });
    const answers = split(engine.run(bytes, HOST, [], abi.FLAGS_ALL));
    expect(answers).toHaveLength(abi.BATCH_RECORDS_MAX + 1);
    expect(answers.at(-1)?.reason).toBe('limit.exceeded');
    expect(answers.at(-2)?.reason).toBe('session.unknown');
  });

  it('carry caps up to the limit, and a limit is a verdict', () => {
    const text = (length: number): Uint8Array => {
      const caps = new TextEncoder().encode('allow r pool='.padEnd(length, 'x'));
      return caps;
    };
    expect(engine.capsParse(OSD, text(abi.CAPS_TEXT_LEN_MAX), HOST).decision).toBe(false);
    const long = engine.capsParse(OSD, text(100_000), HOST);
    expect(long.reason).toBe('ok');
    const over = engine.capsParse(OSD, text(abi.CAPS_TEXT_LEN_MAX + 1), HOST);
    expect(over.reason).toBe('limit.exceeded');
  });
});
