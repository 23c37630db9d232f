/** Memory of answers that is used again: never while it is on its way, and never unwiped. */

import { Buffer } from 'node:buffer';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { RecordWriter } from '../src/engine/index.ts';
import { createApp } from '../src/http/app.ts';
import { makeDirect } from '../src/http/direct.ts';
import { listen } from '../src/http/listen.ts';
import { Slabs } from '../src/http/slabs.ts';
import { Kit, osdTicket } from './http-kit.ts';

const READERS = 12;
const CALLS = 10;
const RECORDS = 40;
const HOST = 'h.test:1';
const onDeno = 'Deno' in globalThis;

describe('a slab', () => {
  it('is used again, wiped', () => {
    const slabs = new Slabs();
    const first = slabs.copy(Uint8Array.of(1, 2, 3));
    const second = slabs.copy(Uint8Array.of(4));
    expect([...first, ...second]).toEqual([1, 2, 3, 4]);
    expect(second.buffer).not.toBe(first.buffer);
    slabs.giveBack(first);
    expect([...first]).toEqual([0, 0, 0]);
    const third = slabs.copy(Uint8Array.of(5, 6));
    expect(third.buffer).toBe(first.buffer);
    expect([...third]).toEqual([5, 6]);
    expect([...second]).toEqual([4]);
  });

  it('is none for what is too long, and few are kept', () => {
    const slabs = new Slabs();
    const long = slabs.copy(new Uint8Array(1_048_577).fill(7));
    expect(long.every((byte) => byte === 7)).toBe(true);
    slabs.giveBack(long);
    const copies = Array.from({ length: 20 }, (_, n) => slabs.copy(Uint8Array.of(n)));
    expect(copies.map(([byte]) => byte)).toEqual(copies.map((_, n) => n));
    // Whoever makes all of them wait gets no more memory than his answers take.
    const lengths = copies.map(({ buffer }) => buffer.byteLength);
    expect(lengths).toEqual([...Array(8).fill(1_048_576), ...Array(12).fill(1)]);
    for (const copy of copies) slabs.giveBack(copy);
    const again = Array.from({ length: 20 }, () => slabs.copy(new Uint8Array(1)).buffer);
    const old = again.filter((buffer) => copies.some((copy) => copy.buffer === buffer));
    expect(old).toHaveLength(8);
    expect(again).not.toContain(long.buffer);
  });
});

describe.skipIf(onDeno)('answers of frames', () => {
  it('come whole to many slow readers, each to its own', async () => {
    const kit = await Kit.create({});
    const app = createApp(kit.deps);
    // On TCP, where nothing is added to an answer: else it would be in memory of its own.
    const address = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
    const options = { allowHosts: [HOST], direct: makeDirect(kit.deps) };
    const [opened] = await listen(app.fetch.bind(app), [address], options);
    const { hostname: host, port } = new URL(opened!.name);
    const read = async (reader: number): Promise<void> => {
      const request = framesOf(reader);
      const socket = connect({ host, port: Number(port) });
      socket.on('error', () => undefined);
      // Nobody reads yet.
      for (let call = 0; call < CALLS; call++) {
        socket.write(request);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const pieces: Buffer[] = [];
      socket.on('data', (bytes) => pieces.push(bytes as Buffer));
      await expect.poll(() => answersIn(Buffer.concat(pieces)).length).toBe(CALLS);
      socket.destroy();
      for (const answer of answersIn(Buffer.concat(pieces))) {
        expect(tagsIn(answer)).toEqual(Array<number>(RECORDS).fill(reader));
      }
    };
    try {
      await Promise.all(Array.from({ length: READERS }, (_, reader) => read(reader)));
    } finally {
      await opened!.close(100);
    }
  });
});

/** A call with records that all have this tag. */
function framesOf(tag: number): Buffer {
  const records = new Uint8Array(RECORDS * 1_024);
  const writer = new RecordWriter(records);
  const authorizer = osdTicket({ aes: true }).authorizer();
  for (let at = 0; at < RECORDS; at++) {
    writer.verify({ service: 4, authorizer, challenge: { mode: 'off' }, tail: true }, tag);
  }
  const type = 'content-type: application/octet-stream';
  const head = `POST /v1/frames HTTP/1.1\r\nhost: ${HOST}\r\n${type}\r\n`;
  const length = `content-length: ${writer.at}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head + length), records.subarray(0, writer.at)]);
}

/** The bodies of the answers that are whole. */
function answersIn(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const bodyAt = bytes.indexOf('\r\n\r\n', at) + 4;
    if (bodyAt < 4) break;
    const head = bytes.toString('latin1', at, bodyAt);
    const end = bodyAt + Number(/content-length: *([0-9]+)/i.exec(head)?.[1]);
    if (end > bytes.length) break;
    found.push(bytes.subarray(bodyAt, end));
    at = end;
  }
  return found;
}

function tagsIn(answer: Buffer): number[] {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.length);
  const tags: number[] = [];
  for (let at = 0; at < answer.length; at += view.getUint32(at + abi.VERDICT_BYTES, true)) {
    if (view.getUint32(at + abi.VERDICT_BYTES, true) === 0) return [];
    tags.push(view.getUint32(at + abi.VERDICT_TAG, true));
  }
  return tags;
}
