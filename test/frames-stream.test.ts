/** A frames connection without its socket: framing, lengths, turns, and every time limit. */

import { describe, expect, it } from 'vitest';
import { FrameStream, STREAM_LIMITS } from '../src/frames/stream.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(41);
const LIMITS = { ...STREAM_LIMITS, turnMax: 1000 };

function frame(length: number, fill = 0): Uint8Array {
  const bytes = new Uint8Array(length).fill(fill);
  new DataView(bytes.buffer).setUint32(0, length, true);
  return bytes;
}

function drain(stream: FrameStream): Uint8Array[] {
  const turns: Uint8Array[] = [];
  while (stream.ready) turns.push(Uint8Array.from(stream.take()));
  return turns;
}

describe('framing', () => {
  it(`gives whole frames however the stream is cut (seed ${seed})`, () => {
    const rng = new Rng(seed);
    for (let run = 0; run < 200; run++) {
      const sent = Array.from({ length: rng.int(20) }, (_, i) =>
        frame(rng.chance(0.1) ? 24 + rng.int(30_000) : 24 + rng.int(400), i),
      );
      const all = Buffer.concat(sent);
      const stream = new FrameStream(LIMITS);
      const got: Uint8Array[] = [];
      for (let at = 0; at < all.length; ) {
        const end = at + 1 + rng.int(rng.pick([1, 10, 5000]));
        stream.receive(Uint8Array.from(all.subarray(at, end)), 0);
        at = end;
        // Sometimes a few turns later.
        if (rng.chance(0.7)) got.push(...drain(stream));
      }
      got.push(...drain(stream));
      expect(Buffer.concat(got).equals(all)).toBe(true);
      expect([stream.held, stream.ready, stream.broken]).toEqual([0, false, false]);
      for (const turn of got) {
        const first = new DataView(turn.buffer).getUint32(0, true);
        expect(turn.length <= LIMITS.turnMax || turn.length === first).toBe(true);
      }
    }
  });

  it('gives so many records a turn, and forgets what it is told to', () => {
    const stream = new FrameStream({ ...STREAM_LIMITS, turnRecordsMax: 10 });
    stream.receive(Uint8Array.from(Buffer.concat(new Array(25).fill(frame(30)))), 0);
    expect([stream.take().length, stream.take().length]).toEqual([300, 300]);
    stream.drop();
    expect([stream.held, stream.ready, stream.reading]).toEqual([0, false, false]);
    expect(stream.expired(1e9)).toBeUndefined();
  });

  it('is split at every byte', () => {
    const all = Buffer.concat([frame(24, 1), frame(100, 2), frame(25, 3)]);
    for (let cut = 0; cut <= all.length; cut++) {
      const stream = new FrameStream();
      stream.receive(Uint8Array.from(all.subarray(0, cut)), 0);
      const before = drain(stream);
      stream.receive(Uint8Array.from(all.subarray(cut)), 0);
      expect(Buffer.concat([...before, ...drain(stream)]).equals(all)).toBe(true);
    }
  });

  it('ends at a length that cannot be right, after what precedes it', () => {
    for (const length of [0, 1, 23, 2 ** 20 + 1, 2 ** 31, 2 ** 32 - 1]) {
      const bad = frame(24);
      new DataView(bad.buffer).setUint32(0, length, true);
      const stream = new FrameStream();
      stream.receive(Uint8Array.from(Buffer.concat([frame(30), bad, frame(24)])), 0);
      expect([stream.broken, stream.reading]).toEqual([true, false]);
      expect(drain(stream).map((turn) => turn.length)).toEqual([30]);
      stream.receive(frame(24), 0);
      expect(stream.ready).toBe(false);
    }
  });

  it('keeps nothing for a length that is only announced', () => {
    const stream = new FrameStream();
    const head = frame(2 ** 20).subarray(0, 8);
    stream.receive(Uint8Array.from(head), 0);
    expect(stream.held).toBe(8);
    stream.receive(new Uint8Array(8), 0);
    expect(stream.held).toBeLessThan(8192);
    stream.receive(new Uint8Array(2 ** 20 - 16), 0);
    expect(stream.held).toBe(2 ** 20);
    expect(drain(stream).map((turn) => turn.length)).toEqual([2 ** 20]);
    expect(stream.held).toBe(0);
  });
});

describe('times', () => {
  it('end a frame that is not finished in ten seconds', () => {
    const stream = new FrameStream();
    expect(stream.expired(1e9)).toBeUndefined();
    stream.receive(frame(100).slice(0, 50), 1000);
    stream.receive(new Uint8Array(10), 10_000);
    expect(stream.expired(10_999)).toBeUndefined();
    expect(stream.expired(11_000)).toBe('half frame');
    stream.receive(new Uint8Array(40), 10_999);
    drain(stream);
    expect(stream.expired(1e9)).toBeUndefined();
  });

  it('begin anew with each frame', () => {
    const stream = new FrameStream();
    stream.receive(frame(100).slice(0, 50), 0);
    stream.receive(Uint8Array.from(Buffer.concat([new Uint8Array(50), Uint8Array.of(24)])), 9000);
    drain(stream);
    expect(stream.expired(18_999)).toBeUndefined();
    expect(stream.expired(19_000)).toBe('half frame');
  });

  it('stop for a frame that we do not read on', () => {
    const stream = new FrameStream();
    stream.receive(frame(100).slice(0, 50), 0);
    stream.sending(2 ** 20 + 1, 0);
    expect([stream.reading, stream.writable]).toEqual([false, false]);
    stream.sent(1000, 20_000);
    expect(stream.expired(20_000)).toBeUndefined();
    expect([stream.reading, stream.writable]).toEqual([true, true]);
    expect(stream.expired(29_999)).toBeUndefined();
    expect(stream.expired(30_000)).toBe('half frame');
  });

  it('end a connection that takes no answer for thirty seconds', () => {
    const stream = new FrameStream();
    stream.sending(1000, 5000);
    stream.sending(1000, 30_000);
    expect(stream.expired(34_999)).toBeUndefined();
    stream.sent(500, 34_999);
    expect(stream.expired(64_998)).toBeUndefined();
    expect(stream.expired(64_999)).toBe('stalled');
    stream.sent(1500, 64_999);
    expect([stream.expired(1e9), stream.unsent]).toEqual([undefined, 0]);
  });
});
