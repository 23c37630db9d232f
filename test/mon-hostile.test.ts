/**
 * Monitors that lie, break off and flood: what our client insists on. It ends the attempt with an
 * error that says where, never tries in a weaker way, and logs in once the monitor is well.
 */

import process from 'node:process';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Writer } from '../src/cephx/denc.ts';
import { Engine } from '../src/engine/engine.ts';
import * as control from '../src/mon/control.ts';
import { crc32c } from '../src/mon/crc32c.ts';
import type { Frame } from '../src/mon/frame.ts';
import { GcmStream } from '../src/mon/gcm.ts';
import { MSG_MON_MAP, messageFrame } from '../src/mon/message.ts';
import {
  encodeMonMap,
  type FakeOptions,
  type FakeStep,
  randomBytes,
  type Twist,
} from './mon-fake.ts';
import { MonKit, QUICK, until } from './mon-kit.ts';
import { Rng, seedOf } from './rng.ts';

let kit: MonKit;
beforeAll(async () => {
  kit = new MonKit(await Engine.create());
});
afterEach(() => kit.end());

const seed = seedOf(20261206);
const SLOW = { ...QUICK, loginMs: 6_000, requestMs: 6_000 };
const FAST = { ...QUICK, connectMs: 2_000, loginMs: 800, requestMs: 2_000, keepaliveMs: 60_000 };

describe('what our client insists on', () => {
  it.each<[string, FakeStep, (usual: Frame) => Twist, string]>([
    ['HELLO of an OSD', 'hello', (usual) => flipped(usual, 0, 5), 'entity type 4'],
    ['AUTH_DONE before our proof', 'challenge', () => done(control.MODE_SECURE), 'frame 6 came'],
    ['AUTH_DONE in crc mode', 'done', () => done(control.MODE_CRC), 'connection mode 1'],
    ['AUTH_DONE without mode', 'done', () => done(0), 'connection mode 0'],
    ['another method', 'challenge', () => refusal([1], [1]), 'does not allow cephx'],
    ['another mode', 'challenge', () => refusal([2], [1]), 'modes crc only'],
    ['a signature with a wrong first bit', 'signature', (usual) => flipped(usual, 0, 1), 'not of'],
    [
      'a signature with a wrong last bit',
      'signature',
      (usual) => flipped(usual, 31, 128),
      'not of',
    ],
    ['a signature of zeros', 'signature', (usual) => zeros(usual), 'not of'],
    ['SERVER_IDENT before the signature', 'signature', () => frameOf(9), 'frame 9 came'],
    ['a map before the signature', 'signature', () => mapFrame(1n), 'limit 0'],
    ['a map before SERVER_IDENT', 'ident', () => mapFrame(1n), 'SERVER_IDENT: frame 17'],
    ['a second HELLO', 'message', () => frameOf(1), 'frame 1 came'],
    ['an unknown tag', 'message', () => frameOf(99), 'frame 99 came'],
    ['WAIT', 'message', () => frameOf(16), 'frame 16 came'],
    ['a message without number', 'message', () => mapFrame(0n), 'came before'],
    ['a header of a message that is cut', 'message', () => frameOf(17), 'truncated'],
    ['features that we lack', 'ident', () => features(1n << 63n), 'features 0x8000000000000000'],
    ['a control frame of two segments', 'ident', twoSegments, 'frame 9 has 2 segments'],
  ])('refuses %s', async (_, step, make, words) => {
    const error = await failureOf({
      twist: (at, usual) => (at === step ? make(usual!) : undefined),
    });
    expect(error.message).toContain(words);
  });

  it.each([0, 40, 63, 65, 128])('refuses a connection secret of %i bytes', async (length) => {
    const error = await failureOf({ connectionSecretLen: length });
    expect(error.message).toContain('reply.connection_secret');
  });

  it.each<[string, Uint8Array, string]>([
    ['the v1 port', text('ceph v027'), 'msgr v1 port'],
    ['a web server', text('HTTP/1.1 400 Bad Request\r\n'), 'does not speak msgr2'],
    ['another version', text('ceph v3\n'), 'does not speak msgr2'],
    ['a short banner', banner(4), 'it has 4 bytes'],
    ['a huge banner', banner(65_535), 'it has 65535 bytes'],
    ['msgr2.0', banner(16, 0n), 'msgr2.0 only'],
    ['unknown required features', banner(16, 1n, 32n), 'requires features 0x20'],
  ])('says what is wrong with %s', async (_, bytes, words) => {
    const error = await failureOf({ twist: (at) => (at === 'banner' ? bytes : undefined) });
    expect(error.message).toContain(words);
  });

  it.each<[string, number, readonly number[], string]>([
    ['64 KiB and a byte before authentication', 1, [65_537], 'segment 0 of 65537 bytes'],
    ['4 GiB', 1, [0xffffffff], 'segment 0 of 4294967295 bytes'],
    ['several segments before authentication', 2, [8, 8], 'segment 1 of 8 bytes, limit 0'],
    ['no segments', 0, [], '0 segments'],
    ['five segments', 5, [1, 1, 1, 1], '5 segments'],
    ['an empty last segment', 2, [8, 0], 'last segment is empty'],
    ['a segment that is not counted', 1, [8, 9], 'not counted'],
  ])('reads no frame of %s', async (_, count, lengths, words) => {
    const bytes = preamble(count, lengths);
    const error = await failureOf({ twist: (at) => (at === 'hello' ? bytes : undefined) });
    expect(error.message).toContain(words);
  });

  it('takes no more than 16 MiB a segment from an authenticated monitor', async () => {
    // Sealed by the monitor itself: the frame's lengths are true.
    const data = new Uint8Array(16_777_217);
    const error = await failureOf(
      {
        twist: (at) =>
          at === 'message' ? { tag: 17, segments: [new Uint8Array(41), data] } : undefined,
      },
      SLOW,
    );
    expect(error.message).toContain('segment 1 of 16777217 bytes');
  });

  it('takes nothing after a unit whose tag is wrong', async () => {
    const error = await failureOf({
      twist: (at) => (at === 'message' ? randomBytes(96) : undefined),
    });
    expect(error.message).toContain('tag is wrong');
    const [key, nonce] = [randomBytes(16), randomBytes(12)];
    const unit = new GcmStream(key, nonce, 1).seal(new Uint8Array(80));
    const stream = new GcmStream(key, nonce, 1);
    expect(() => stream.open(randomBytes(96))).toThrow('tag is wrong');
    expect(() => stream.open(unit)).toThrow('failed before');
  });

  it('gives no nonce twice', () => {
    for (const revision of [0, 1] as const) {
      const nonce = new Uint8Array(12).fill(0xff);
      const stream = new GcmStream(randomBytes(16), nonce, revision);
      const units = [0, 1, 2].map(() => stream.seal(new Uint8Array(16)).join());
      expect(new Set(units).size).toBe(3);
    }
  });

  it('offers cephx and secure mode only, whatever was answered before', async () => {
    const asked: string[] = [];
    const monitor = await kit.monitor({
      twist: (at) => (at === 'challenge' ? refusal([1], [1]) : undefined),
    });
    const client = kit.client([monitor], {
      timing: FAST,
      log: ({ event }) => void asked.push(String(event)),
    });
    await until(() => asked.filter((event) => event === 'mon_failed').length >= 4);
    await client.stop();
    expect(monitor.authRequests.length).toBeGreaterThanOrEqual(4);
    for (const { method, modes } of monitor.authRequests) expect([method, modes]).toEqual([2, [2]]);
  });

  it('asks for no secrets, and runs no command, over a connection in crc mode', async () => {
    const monitor = await kit.monitor({ mode: control.MODE_CRC, commands: { 'auth ls': '' } });
    const strict = kit.client([monitor], { timing: FAST });
    await expect(strict.fetchRotating()).rejects.toThrow('modes crc only');
    const client = kit.client([monitor], { timing: FAST, allowCrc: true });
    await expect(client.fetchRotating()).rejects.toThrow('not encrypted');
    await expect(client.command({ prefix: 'auth ls' })).rejects.toThrow('not encrypted');
    expect(client.monmap?.epoch).toBe(1);
    expect(monitor.fetched).toBe(0);
  });

  it('takes no map of another cluster', async () => {
    const foreign = new Uint8Array(16).fill(9);
    let fsid: Uint8Array | undefined;
    const monitor = await kit.monitor({
      monmap: (self) => encodeMonMap({ epoch: 5, monitors: [self], ...(fsid && { fsid }) }),
    });
    const client = kit.client([monitor]);
    await client.fetchRotating();
    fsid = foreign;
    monitor.pushMonMap();
    await until(() => client.lastError?.code === 'mon.cluster');
    expect(client.monmap?.fsid[0]).toBe(1);
    const other = kit.client([monitor], { fsid: '01020304-0506-0708-090a-0b0c0d0e0f10' });
    await until(() => other.lastError?.code === 'mon.cluster');
    expect(other.monmap).toBeUndefined();
  });
});

describe('a monitor that breaks off', () => {
  const STEPS: readonly FakeStep[] = ['banner', 'hello', 'challenge', 'done', 'signature', 'ident'];

  it.each(STEPS)('falls silent at %s: the deadline names what we waited for', async (step) => {
    const error = await failureOf({ twist: (at) => (at === step ? 'silence' : undefined) });
    expect(error).toMatchObject({ code: 'mon.timeout' });
    expect(error.message).toMatch(/the login took too long \(waiting for [A-Za-z_]+\)$/);
  });

  it.each(STEPS)('hangs up at %s', async (step) => {
    const error = await failureOf({ twist: (at) => (at === step ? 'close' : undefined) });
    expect(error).toMatchObject({ code: 'mon.closed' });
    expect(error.message).toContain('while we waited for');
  });

  it('gives no answer to a request', async () => {
    const error = await failureOf({ twist: (at) => (at === 'message' ? 'silence' : undefined) });
    expect(error.message).toContain('its map took too long');
  });
});

describe('a monitor that floods', () => {
  it('sends keepalives without end', async () => {
    const stamp = control.controlFrame(control.KEEPALIVE2, new Uint8Array(8));
    const errors: string[] = [];
    const isFull = (): boolean =>
      errors.some((message) => message.includes('more than 1000 keepalives'));
    const monitor = await kit.monitor({
      twist(at, _usual, peer) {
        if (at !== 'message' || isFull()) return undefined;
        const flood = (): void => {
          for (let i = 0; i < 2_000 && !peer.socket.destroyed; i++) peer.sendFrame(stamp);
          if (!peer.socket.destroyed) setTimeout(flood, 1);
        };
        flood();
        return undefined;
      },
    });
    const client = kit.client([monitor], {
      timing: { ...QUICK, loginMs: 20_000, requestMs: 20_000, keepaliveMs: 60_000 },
      log: ({ message }) => void errors.push(String(message)),
    });
    await until(isFull, 30_000);
    expect((await client.fetchRotating()).maxVersion).toBe(3n);
  });

  it(`breaks its frames in any way, seed ${seed}: an error each time, then a login`, async () => {
    const rng = new Rng(seed);
    const rounds = Number(process.env.RUNS ?? 60);
    let broken = 0;
    const monitor = await kit.monitor({
      twist(at, usual) {
        if (broken >= rounds || at === 'keepalive' || !rng.chance(0.2)) return undefined;
        broken++;
        return usual === undefined ? bytesOf(rng, 64) : mangled(rng, usual);
      },
    });
    const codes = new Set<string>();
    const client = kit.client([monitor], {
      timing: { ...FAST, loginMs: 60, backoffMs: 1, backoffMaxMs: 5 },
      log: ({ code }) => void (code && codes.add(String(code))),
    });
    while (broken < rounds) await client.fetchRotating().catch(() => undefined);
    await until(() => client.connectedTo !== undefined);
    expect((await client.fetchRotating()).maxVersion).toBe(3n);
    for (const code of codes) expect(code).toMatch(/^mon\./);
    expect(codes).toContain('mon.protocol');
  }, 60_000);
});

/** Why a login with such a monitor fails. */
async function failureOf(options: Partial<FakeOptions>, timing = FAST): Promise<Error> {
  const monitor = await kit.monitor(options);
  const client = kit.client([monitor], { timing });
  const answer = client.fetchRotating().catch(() => undefined);
  await until(() => client.lastError !== undefined);
  const error = client.lastError!;
  await client.stop();
  expect(await answer).toBeUndefined();
  expect(monitor.fetched).toBe(0);
  return error;
}

function flipped({ tag, segments }: Frame, at: number, bits: number): Frame {
  const bytes = segments[0]!.slice();
  bytes[at]! ^= bits;
  return { tag, segments: [bytes] };
}

function zeros({ tag, segments }: Frame): Frame {
  return { tag, segments: [new Uint8Array(segments[0]!.length)] };
}

function twoSegments({ tag, segments }: Frame): Frame {
  return { tag, segments: [...segments, new Uint8Array(8)] };
}

function done(mode: number): Frame {
  const payload = new Uint8Array(64);
  return control.controlFrame(control.AUTH_DONE, { globalId: 1n, mode, payload });
}

function refusal(methods: number[], modes: number[]): Frame {
  const answer = { method: 2, result: -95, methods, modes };
  return control.controlFrame(control.AUTH_BAD_METHOD, answer);
}

function features(mask: bigint): Frame {
  return control.controlFrame(control.IDENT_MISSING_FEATURES, mask);
}

function frameOf(tag: number): Frame {
  return { tag, segments: [new Uint8Array(16)] };
}

function mapFrame(seq: bigint): Frame {
  const empty = new Uint8Array(0);
  const numbers = { seq, ackSeq: 0n, tid: 0n, type: MSG_MON_MAP, priority: 196, flags: 3 };
  const front = new Writer().bl(encodeMonMap({ epoch: 9, monitors: [] })).finish();
  const body = { version: 1, compatVersion: 1, front, middle: empty, data: empty };
  return messageFrame({ ...numbers, ...body });
}

function banner(length: number, supported = 1n, required = 0n): Uint8Array {
  return new Writer().bytes(text('ceph v2\n')).u16(length).u64(supported).u64(required).finish();
}

/** A preamble with a right checksum, whatever it says. */
function preamble(count: number, lengths: readonly number[]): Uint8Array {
  const out = new Writer().u8(control.TAG_HELLO).u8(count);
  for (let i = 0; i < 4; i++) out.u32(lengths[i] ?? 0).u16(8);
  const bytes = out.u16(0).finish();
  return new Writer().bytes(bytes).u32(crc32c(bytes, 0)).finish();
}

function mangled(rng: Rng, usual: Frame): Twist {
  const kind = rng.int(7);
  const bytes = usual.segments[0]!.slice();
  if (kind === 0) return 'close';
  if (kind === 1) return { tag: rng.int(256), segments: usual.segments };
  if (kind === 2) return bytesOf(rng, 200);
  if (kind === 3) return preamble(rng.int(6), [rng.u32(), rng.int(100), rng.int(3), 0]);
  if (kind === 4) return { tag: usual.tag, segments: [bytes.subarray(0, rng.int(bytes.length))] };
  if (kind === 5) return 'silence';
  for (let i = rng.int(3); i >= 0; i--) bytes[rng.int(bytes.length)]! ^= 1 << rng.int(8);
  return { tag: usual.tag, segments: [bytes, ...usual.segments.slice(1)] };
}

function bytesOf(rng: Rng, lengthMax: number): Uint8Array {
  return Uint8Array.from({ length: rng.int(lengthMax) + 1 }, () => rng.int(256));
}

function text(words: string): Uint8Array {
  return new TextEncoder().encode(words);
}
