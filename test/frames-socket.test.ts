/** The frames socket: pipelining, backpressure, hostile clients, fair turns, and its client. */

import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FramesClient } from '../src/client/index.ts';
import { type FramesOptions, listenFrames, type OpenFrames } from '../src/frames/listen.ts';
import { openFramesSocket } from '../src/http/framesocket.ts';
import type { OpenListener } from '../src/http/listen.ts';
import { challengeOf, frames, OSD, PEER, split } from './frames-kit.ts';
import { Kit, newConnection, osdTicket } from './http-kit.ts';
import { temporaryFolder } from './spawn.ts';

const OP = { pool: 'liverpool', object: 'o1', read: true };
const folder = temporaryFolder('frames');
const path = join(folder.path, 'frames.sock');
let kit: Kit;
let socket: OpenListener;
beforeAll(async () => {
  kit = await Kit.create();
  socket = await openFramesSocket(kit.deps, path);
});
afterAll(async () => {
  await socket.close(1000);
  folder.remove();
});

async function accepted(client: FramesClient, caps = 'allow rw pool=liverpool'): Promise<bigint> {
  const ticket = osdTicket({ caps });
  const base = { service: OSD, peer: PEER, connection: newConnection(), reply: true };
  const first = await client.verify({ ...base, authorizer: ticket.authorizer() });
  const authorizer = ticket.authorizer(challengeOf(first.reply!, ticket));
  const state = { authorizer, challengeState: first.token, session: true };
  const final = await client.verify({ ...base, ...state });
  expect(final.reason).toBe('ok');
  return final.handle;
}

describe('a client', () => {
  it('asks many questions at once, each answered for itself', async () => {
    const client = await FramesClient.connect(path, { window: 300 });
    const sessions = [await accepted(client), await accepted(client, 'allow r'), 99n];
    const expected = ['ok', 'caps.no_matching_grant', 'session.unknown'];
    const asked = Array.from({ length: 5000 }, (_, i) =>
      client.check({ service: OSD, session: sessions[i % 3]!, op: { ...OP, write: true } }),
    );
    const peerless = await Promise.all(asked);
    expect(peerless.slice(0, 3).map((each) => each.reason)).toEqual(expected);
    expect(peerless.every((each, i) => each.reason === expected[i % 3])).toBe(true);
    expect(client.pending).toBe(0);
    client.close();
    await expect(client.check({ service: OSD, session: 1n, op: OP })).rejects.toThrow(/closed/);
  });

  it('decides on an authorizer and an operation at once', async () => {
    const client = await FramesClient.connect(path);
    const ticket = osdTicket();
    const base = { service: OSD, peer: PEER, connection: newConnection() };
    const first = await client.verify({ ...base, authorizer: ticket.authorizer(), reply: true });
    const authorizer = ticket.authorizer(challengeOf(first.reply!, ticket));
    const question = { ...base, authorizer, challengeState: first.token, op: OP };
    expect((await client.decide(question)).reason).toBe('ok');
    expect((await client.decide(question)).reason).toBe('authorizer.challenge_expired');
    client.close();
  });

  it('cannot use the session of another connection, nor leave one behind', async () => {
    const [mine, other] = [await FramesClient.connect(path), await FramesClient.connect(path)];
    const session = await accepted(mine);
    const asked = { service: OSD, session, op: OP, peer: PEER };
    expect((await mine.check(asked)).reason).toBe('ok');
    expect((await other.check(asked)).reason).toBe('session.unknown');
    mine.close();
    await until(() => !kit.deps.engine.sessionRelease(session));
    other.close();
  });

  it('refuses to send what is no frame', async () => {
    const client = await FramesClient.connect(path);
    const long = { ...OP, object: 'x'.repeat(1_048_576) };
    await expect(client.check({ service: OSD, session: 1n, op: long })).rejects.toThrow(RangeError);
    expect((await client.check({ service: OSD, session: 1n, op: OP })).reason).toBe(
      'session.unknown',
    );
    client.close();
  });
});

const QUESTION = frames((writer) => writer.check({ service: OSD, session: 1n, op: OP }, 7));

describe('a connection', () => {
  it('is answered however its bytes arrive', async () => {
    const raw = await open(path);
    for (const byte of QUESTION) {
      raw.socket.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => raw.bytes().length >= 64);
    const [verdict] = split(raw.bytes());
    expect(verdict![8]).toBe(7);
    raw.socket.destroy();
  });

  it('ends at a bad length, after the answers that are due', async () => {
    const answers = [0, 23, 2 ** 20 + 1, 2 ** 31, 2 ** 32 - 1].map(async (length) => {
      const bad = QUESTION.slice();
      new DataView(bad.buffer).setUint32(0, length, true);
      const raw = await open(path);
      raw.socket.write(Buffer.concat([QUESTION, QUESTION, bad, QUESTION]));
      await raw.closed;
      return split(raw.bytes()).length;
    });
    expect(await Promise.all(answers)).toEqual([2, 2, 2, 2, 2]);
  });

  it('that is half closed gets its answers', async () => {
    const raw = await open(path);
    raw.socket.end(Buffer.concat(new Array(1000).fill(QUESTION)));
    await raw.closed;
    expect(split(raw.bytes())).toHaveLength(1000);
  });

  it('survives no nonsense, and others do not notice', async () => {
    const client = await FramesClient.connect(path);
    const raws: Raw[] = [];
    for (let i = 0; i < 50; i++) {
      const raw = await open(path);
      raws.push(raw);
      raw.socket.write(crypto.getRandomValues(new Uint8Array(1000)));
      if (i % 2 === 0) raw.socket.destroy();
      const verdict = await client.check({ service: OSD, session: 1n, op: OP });
      expect(verdict.reason).toBe('session.unknown');
    }
    await Promise.all(raws.map((raw) => raw.closed));
    const verdict = await client.check({ service: OSD, session: 1n, op: OP });
    expect(verdict.reason).toBe('session.unknown');
    client.close();
  });
});

describe('limits', () => {
  const opened: OpenFrames[] = [];
  const why: string[] = [];
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.close(0)));
    why.length = 0;
  });
  let turns: string[] = [];

  /** A server that answers each record with as many bytes as it is asked for. */
  async function serve(options: Partial<FramesOptions>, answerLen = 64): Promise<string> {
    turns = [];
    let count = 0;
    const name = join(folder.path, `limits-${opened.length}.sock`);
    const server = await listenFrames(name, {
      open: () => {
        const id = String(count++);
        return {
          answer: (records) => {
            turns.push(id);
            return split(records).map(() => new Uint8Array(answerLen));
          },
          close: () => undefined,
        };
      },
      ended: (each) => void why.push(each),
      ...options,
    });
    opened.push(server);
    return name;
  }

  it('stop reading while answers are not taken, and end who takes none', async () => {
    const name = await serve({ limits: { stalledMs: 700 } }, 100_000);
    const raw = await open(name);
    raw.socket.pause();
    const more = (): boolean => raw.socket.write(Buffer.concat(new Array(1000).fill(QUESTION)));
    for (let i = 0; i < 20; i++) more();
    await until(() => turns.length > 0 && raw.socket.writableLength > 0);
    // What had been read is answered; then nothing more is taken until the connection ends.
    await new Promise((resolve) => setTimeout(resolve, 200));
    const before = turns.length;
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(turns.length).toBe(before);
    expect(before).toBeLessThan(10);
    raw.socket.on('error', () => undefined);
    await until(() => why.length > 0);
    expect(why).toEqual(['stalled']);
    raw.socket.destroy();
  });

  it('go on when a slow reader takes its answers', async () => {
    const name = await serve({}, 100_000);
    const raw = await open(name);
    raw.socket.pause();
    raw.socket.write(Buffer.concat(new Array(2000).fill(QUESTION)));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(turns.length).toBeLessThan(4);
    raw.socket.resume();
    await until(() => raw.length() === 200_000_000, 100_000);
    raw.socket.destroy();
  });

  it('end a half frame', async () => {
    const name = await serve({ limits: { halfFrameMs: 300 } });
    const raw = await open(name);
    const idle = await open(name);
    raw.socket.write(QUESTION.subarray(0, 10));
    await raw.closed;
    expect(why).toEqual(['half frame']);
    idle.socket.write(QUESTION);
    await until(() => idle.bytes().length === 64);
    idle.socket.destroy();
  });

  it('bound what half frames may take together, and the connections', async () => {
    const name = await serve({ heldMax: 2_000_000, connectionsMax: 10 });
    const half = new Uint8Array(900_000);
    new DataView(half.buffer).setUint32(0, 1_000_000, true);
    const raws: Raw[] = [];
    for (let i = 0; i < 4; i++) {
      const raw = await open(name);
      raws.push(raw);
      raw.socket.write(half);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await until(() => why.length >= 2);
    expect(new Set(why)).toEqual(new Set(['memory']));
    for (let i = 0; i < 20; i++) raws.push(await open(name));
    await until(() => opened[0]!.connections === 10);
    await until(() => why.filter((each) => each === 'connections').length >= 10);
    for (const raw of raws) raw.socket.destroy();
  });

  it('say once why a wrong length ends a connection, and nothing of one that ends itself', async () => {
    let closed = 0;
    const name = await serve({ closed: () => (closed += 1) });
    const raw = await open(name);
    raw.socket.write(Buffer.concat([QUESTION, Uint8Array.of(1, 0, 0, 0, 9, 9, 9)]));
    raw.socket.write(QUESTION);
    await raw.closed;
    expect(raw.bytes().length).toBe(64);
    const other = await open(name);
    other.socket.write(QUESTION);
    await until(() => other.bytes().length === 64);
    expect(closed).toBe(1);
    other.socket.end();
    await other.closed;
    await until(() => closed === 2);
    expect(why).toEqual(['length']);
  });

  it('close a wrong length after a second, for as many as 64', async () => {
    const name = await serve({});
    const begun = performance.now();
    const raws: Raw[] = [];
    for (let i = 0; i < 70; i++) {
      const raw = await open(name);
      raw.socket.write(Buffer.concat([QUESTION, new Uint8Array(4)]));
      raws.push(raw);
    }
    await until(() => raws.every((raw) => raw.bytes().length === 64));
    await Promise.all(raws.slice(64).map((raw) => raw.closed));
    if (performance.now() < begun + 900) expect(opened[0]!.connections).toBe(64);
    await Promise.all(raws.map((raw) => raw.closed));
    expect(performance.now()).toBeGreaterThan(begun + 900);
    // Their places are free again.
    const again = await open(name);
    again.socket.write(new Uint8Array(4));
    const asked = performance.now();
    await again.closed;
    expect(performance.now()).toBeGreaterThan(asked + 900);
    expect(why).toEqual(new Array(71).fill('length'));
  });

  it('let answers wait for what they need, and nothing is lost', async () => {
    let waits = true;
    const name = await serve({ waits: () => waits });
    const raw = await open(name);
    raw.socket.write(Buffer.concat(new Array(500).fill(QUESTION)));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(turns).toEqual([]);
    waits = false;
    await until(() => raw.bytes().length === 500 * 64);
    raw.socket.destroy();
  });

  it('give each connection its turn', async () => {
    const name = await serve({});
    const busy = await open(name);
    const segment = Buffer.concat(new Array(20_000).fill(QUESTION));
    busy.socket.write(segment);
    await until(() => turns.length > 0);
    const other = await open(name);
    other.socket.write(QUESTION);
    await until(() => other.bytes().length === 64);
    expect(turns.lastIndexOf('0')).toBeGreaterThan(turns.indexOf('1'));
    busy.socket.destroy();
    other.socket.destroy();
  });
});

interface Raw {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  bytes(): Uint8Array;
  length(): number;
}

async function open(name: string): Promise<Raw> {
  const socket = connect({ path: name });
  const chunks: Uint8Array[] = [];
  let length = 0;
  socket.on('data', (bytes) => {
    if (length < 1_000_000) chunks.push(bytes);
    length += bytes.length;
  });
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  await new Promise<void>((resolve) => socket.on('connect', () => resolve()));
  return {
    socket,
    closed,
    bytes: () => Uint8Array.from(Buffer.concat(chunks)),
    length: () => length,
  };
}

async function until(done: () => boolean, timeoutMs = 20_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!done()) {
    if (performance.now() > end) throw new Error('it did not come to pass');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
