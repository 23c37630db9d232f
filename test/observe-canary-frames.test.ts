/**
 * Canary secrets through the frames socket: good records, damaged ones, secrets in their place,
 * lengths that lie, cut anywhere, and a core that fails. None comes back in an answer, a log, the
 * decision log or the metrics. CANARY_CONNECTIONS sets another number of connections.
 */

import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { Engine } from '../src/engine/index.ts';
import { openFramesSocket } from '../src/http/framesocket.ts';
import { createLogger, SidecarObserver } from '../src/observe/index.ts';
import { Canaries } from './canary.ts';
import { frames, OSD, PEER } from './frames-kit.ts';
import { aes256kSecret, aesSecret, Kit, osdTicket, random } from './http-kit.ts';
import { parse } from './observe-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { temporaryFolder } from './spawn.ts';

const CONNECTIONS = Number(process.env.CANARY_CONNECTIONS ?? 600);
/** After a wrong length a connection may stay for a second: they wait together. */
const AT_A_TIME = 50;
const SEED = seedOf(85);
const folder = temporaryFolder('canary-frames');
afterAll(() => folder.remove());
const tickets = [osdTicket(), osdTicket({ aes: true, sessionType: 'aes', caps: 'allow *' })];
const keys = { current: random(32), previous: random(32) };
const hashKey = random(32);
const canaries = new Canaries();
for (const [name, bytes] of Object.entries({
  ...{ aes256k: aes256kSecret.secret, aes: aesSecret.secret, hashKey },
  ...{ state: keys.current, former: keys.previous },
  ...{ session0: tickets[0]!.sessionKey.secret, session1: tickets[1]!.sessionKey.secret },
})) {
  canaries.add(name, bytes);
}

it(`${CONNECTIONS} connections bring no secret back (seed ${SEED})`, async () => {
  const lines: string[] = [];
  const kit = await Kit.create({ keys, sign: true });
  const log = createLogger({ write: (line) => void lines.push(line), clock: () => kit.nowNs });
  Object.assign(kit.deps, { log });
  const { engine } = kit.deps;
  const decisionLog = { path: join(folder.path, 'log'), sample: 1, lenMax: 1e9, keep: 1, hashKey };
  const observer = new SidecarObserver(kit.deps, { decisionLog });
  Object.assign(kit.deps, { observe: observer });
  const failing = faulty(engine);
  Object.assign(kit.deps, { engine: failing.engine });
  const path = join(folder.path, 'frames.sock');
  const socket = await openFramesSocket(kit.deps, path);
  const rng = new Rng(SEED);
  let answered = 0;
  for (let i = 0; i < CONNECTIONS; i += AT_A_TIME) {
    failing.set(i % (4 * AT_A_TIME) === AT_A_TIME);
    const streams = Array.from({ length: AT_A_TIME }, () => cut(streamOf(rng), rng));
    for (const answer of await Promise.all(streams.map((pieces) => talk(path, pieces)))) {
      answered += answer.length;
      expect(canaries.in(answer.toString('latin1')), `connections from ${i}`).toEqual([]);
    }
    kit.nowNs += 1_000_000_000n;
  }
  await socket.close(1_000);
  // The server is told of the last connection's end before we are.
  const open = async (): Promise<number | undefined> =>
    parse((await observer.metrics()).text).get('cephgate_frames_connections');
  await expect.poll(open).toBe(0);
  const { text } = await observer.metrics();
  await observer.close();
  const decisions = readFileSync(decisionLog.path, 'utf8');
  const seen = parse(text);
  const ended = (why: string): number =>
    seen.get(`cephgate_frames_connections_ended_total{why="${why}"}`) ?? 0;
  // All ways were gone: answers, lies about lengths, a core that fails.
  expect(answered).toBeGreaterThan(CONNECTIONS * 100);
  expect(ended('length')).toBeGreaterThan(CONNECTIONS / 20);
  expect(ended('error')).toBeGreaterThan(0);
  expect(decisions.split('\n').length).toBeGreaterThan(CONNECTIONS);
  expect(lines.length).toBeGreaterThan(1);
  for (const out of [text, lines.join(''), decisions]) expect(canaries.in(out)).toEqual([]);
});

/** What one client sends: records, each of which may be damaged or a secret, and what is none. */
function streamOf(rng: Rng): Buffer {
  const parts: Uint8Array[] = [];
  for (let count = 1 + rng.int(4); count > 0; count--) {
    const records = recordsOf(rng);
    if (rng.chance(0.3)) records[4 + rng.int(records.length - 4)]! ^= 1 << rng.int(8);
    if (rng.chance(0.2)) {
      // A secret where anything else belongs, the length apart.
      const secret = secretOf(rng);
      records.set(secret.subarray(0, records.length - 4), 4 + rng.int(20));
    }
    parts.push(records);
    if (rng.chance(0.1)) parts.push(secretOf(rng));
  }
  const whole = Buffer.concat(parts);
  return rng.chance(0.2) ? whole.subarray(0, rng.int(whole.length)) : whole;
}

function recordsOf(rng: Rng): Uint8Array {
  const authorizer = rng.pick(tickets).authorizer(rng.chance(0.5) ? rng.u64() : undefined);
  const op = { pool: 'liverpool', object: 'o', read: true };
  const verify = { service: OSD, authorizer, peer: PEER, connection: 'c', session: true };
  return frames((writer) => {
    if (rng.chance(0.3)) writer.check({ service: OSD, session: 1n, op, peer: PEER }, 1);
    writer.verify({ ...verify, reply: true, secure: rng.chance(0.5) } as never, 2);
  });
}

function secretOf(rng: Rng): Uint8Array {
  const key = rng.pick([aes256kSecret, aesSecret, ...tickets.map(({ sessionKey }) => sessionKey)]);
  const bytes = rng.chance(0.5) ? key.secret : key.encode();
  return rng.chance(0.5) ? Uint8Array.from(bytes) : Buffer.from(Buffer.from(bytes).toString('hex'));
}

function cut(bytes: Buffer, rng: Rng): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + rng.int(2 * bytes.length);
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}

/** Sends the pieces and gives what was answered until the end. */
function talk(path: string, pieces: readonly Buffer[]): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const chunks: Uint8Array[] = [];
    socket.on('data', (chunk: Uint8Array) => void chunks.push(chunk));
    // A connection that was cut is an answer too.
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(Buffer.concat(chunks)));
    socket.on('connect', () => {
      for (const piece of pieces) socket.write(piece);
      socket.end();
    });
  });
}

/** An engine whose calls fail while it is set. */
function faulty(engine: Engine): { engine: Engine; set: (on: boolean) => void } {
  let failing = false;
  const proxy = new Proxy(engine, {
    get(target, name) {
      if (failing && name === 'run') {
        return () => {
          throw new Error('fault');
        };
      }
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const set = (on: boolean): void => {
    failing = on;
  };
  return { engine: proxy, set };
}
