/** Mixed load on a sidecar, what its answers must be, how long they take, and what it holds. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FramesClient } from '../src/client/index.ts';
import { makeTicket, type TestTicket } from './authorizers.ts';
import { challengeOf, frames, OSD, PEER, split } from './frames-kit.ts';
import {
  AES_ID,
  AES256K_ID,
  aes256kSecret,
  aesSecret,
  b64,
  challengeIn,
  random,
} from './http-kit.ts';
import { pause } from './ops-kit.ts';
import { type SpawnedSidecar, send } from './spawn.ts';

/** Milliseconds by what was asked. */
export type Times = Map<string, number[]>;

/** What a prober saw, times in milliseconds, less waiting for a processor; `wall`: p99 with it. */
export interface Probed {
  readonly count: number;
  readonly wrong: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly wall: number;
}

const here = dirname(fileURLToPath(import.meta.url));
const OP = { pool: 'liverpool', object: 'o1', read: true };
const CHECKS = 50;
let connections = 0;

/** Answers that were wrong, in the order in which they came. */
export class Load {
  readonly times: Times = new Map();
  readonly errors: string[] = [];
  readonly #sidecar: SpawnedSidecar;
  readonly #framesPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });
  readonly #tickets: readonly TestTicket[];

  constructor(sidecar: SpawnedSidecar, framesPath: string) {
    this.#sidecar = sidecar;
    this.#framesPath = framesPath;
    const createdNs = BigInt(Date.now()) * 1_000_000n;
    this.#tickets = Array.from({ length: 32 }, (_, i) => {
      const [secret, secretId] = i % 2 ? [aesSecret, AES_ID] : [aes256kSecret, AES256K_ID];
      const validNs = 86_400_000_000_000n;
      return makeTicket(secret, random, {
        createdNs,
        validNs,
        secretId,
        globalId: BigInt(4_000 + i),
      });
    });
  }

  /** Asks all kinds of questions until then; a little rest in between leaves the machine usable. */
  async run(untilMs: number): Promise<void> {
    const tasks = [
      () => this.#session(),
      () => this.#session(),
      () => this.#frames(),
      () => this.#malformed(),
      () => this.#socket(untilMs),
    ];
    const loops = tasks.map(async (task) => {
      while (performance.now() < untilMs) {
        try {
          await task();
        } catch (error) {
          this.errors.push(String(error));
          await pause(100);
        }
        await pause(5);
      }
    });
    await Promise.all(loops);
  }

  close(): void {
    this.#agent.destroy();
  }

  /** The decision path alone, the first step of a verify, asked for some time by a process. */
  async probe(ms: number): Promise<Probed> {
    const authorizer = b64(this.#tickets[0]!.authorizer());
    const body = { service: 'osd', peer: '192.0.2.7', connection: 'probe', authorizer };
    const { socketPath, child: server } = this.#sidecar;
    const wanted = 'authorizer.challenge_required';
    const how = { pid: server.pid, socketPath, body: JSON.stringify(body), wanted, ms, pauseMs: 2 };
    const child = spawn(process.execPath, [join(here, 'soak-probe.mjs'), JSON.stringify(how)]);
    let out = '';
    child.stdout.on('data', (text) => {
      out += text;
    });
    await new Promise((resolve) => child.once('close', resolve));
    return JSON.parse(out) as Probed;
  }

  /** Both steps, checks by one and by fifty, the end of the session. */
  async #session(): Promise<void> {
    const ticket = this.#next();
    const base = { service: 'osd', peer: '192.0.2.7', connection: `soak-${connections++}` };
    const begin = b64(ticket.authorizer());
    const first = await this.#timed('verify, first', () =>
      this.#post('/v1/verify', { ...base, authorizer: begin }),
    );
    const authorizer = b64(ticket.authorizer(challengeIn(ticket, first as never)));
    const { challenge_state } = first.body;
    const final = await this.#timed('verify, final', () =>
      this.#post('/v1/verify', { ...base, authorizer, challenge_state }),
    );
    this.#expect(final.body.reason.code, 'ok');
    const { session } = final.body;
    const { service, peer } = base;
    for (const [write, code] of [
      [false, 'ok'],
      [true, 'ok'],
    ] as const) {
      const question = { service, session, peer, op: { ...OP, write } };
      const one = await this.#timed('check', () => this.#post('/v1/check', question));
      this.#expect(one.body.reason.code, code);
    }
    const items = Array.from({ length: CHECKS }, (_, i) =>
      i % 2 ? { op: OP } : { op: { ...OP, pool: 'x' } },
    );
    const many = { service, defaults: { session, peer }, items };
    const all = await this.#timed('50 checks', () => this.#post('/v1/checks', many));
    const codes = all.body.answers.map((each: { decision: boolean }) => each.decision);
    this.#expect(String(codes), String(items.map((_, i) => i % 2 === 1)));
    const released = await this.#post(`/v1/sessions/${session}/release`, '');
    this.#expect(released.body.released, true);
  }

  async #frames(): Promise<void> {
    const asked = frames((writer) => {
      for (let tag = 0; tag < CHECKS; tag++) {
        const authorizer = this.#next().authorizer();
        writer.verify({ service: OSD, authorizer, peer: PEER, connection: 'f', reply: true }, tag);
      }
    });
    const begun = performance.now();
    const url = `http://${this.#sidecar.host}:${this.#sidecar.port}/v1/frames`;
    const headers = { 'content-type': 'application/octet-stream' };
    const answer = await fetch(url, { method: 'POST', headers, body: asked.slice() });
    const bytes = new Uint8Array(await answer.arrayBuffer());
    this.#note('frames of 50', performance.now() - begun);
    // A caller with the right to verify alone gets no reply, and is told so record by record.
    this.#expect(split(bytes).length, CHECKS);
  }

  async #malformed(): Promise<void> {
    const garbage = b64(random(200));
    const denied = await this.#post('/v1/verify', { service: 'osd', authorizer: garbage });
    this.#expect(denied.status, 200);
    this.#expect(denied.body.decision, false);
    this.#expect((await this.#post('/v1/check', '{"service":')).status, 400);
    this.#expect((await this.#post('/v1/verify', { service: 'mon' })).status, 403);
    await pause(20);
  }

  /** A connection of frames, for a while: sessions end with it. */
  async #socket(untilMs: number): Promise<void> {
    const client = await FramesClient.connect(this.#framesPath);
    try {
      const ticket = this.#next();
      const connection = `frames-${connections++}`;
      const base = { service: OSD, peer: PEER, connection, reply: true };
      const first = await client.verify({ ...base, authorizer: ticket.authorizer() });
      const authorizer = ticket.authorizer(challengeOf(first.reply!, ticket));
      const state = { authorizer, challengeState: first.token, session: true };
      const final = await client.verify({ ...base, ...state });
      this.#expect(final.reason, 'ok');
      for (let n = 0; n < 20 && performance.now() < untilMs; n++) {
        const begun = performance.now();
        const asked = Array.from({ length: 200 }, () =>
          client.check({ service: OSD, session: final.handle, op: OP, peer: PEER }),
        );
        for (const { reason } of await Promise.all(asked)) this.#expect(reason, 'ok');
        this.#note('200 frames', performance.now() - begun);
        await pause(20);
      }
    } finally {
      client.close();
    }
  }

  #next(): TestTicket {
    return this.#tickets[connections++ % this.#tickets.length]!;
  }

  #post(path: string, body: unknown) {
    return send(
      { socketPath: this.#sidecar.socketPath, agent: this.#agent, method: 'POST' },
      path,
      body,
    );
  }

  async #timed<T>(name: string, act: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    const done = await act();
    this.#note(name, performance.now() - begun);
    return done;
  }

  #note(name: string, ms: number): void {
    const noted = this.times.get(name);
    if (noted === undefined) this.times.set(name, [ms]);
    else noted.push(ms);
  }

  #expect(got: unknown, wanted: unknown): void {
    if (got !== wanted) throw new Error(`expected ${wanted}, got ${got}`);
  }
}

/** Resident memory of a process in MiB. */
export function residentMib(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+([0-9]+) kB$/m.exec(text)?.[1]) / 1_024;
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** Median, p99 and number, in one line. */
export function summary(times: Times): string {
  return [...times]
    .map(([name, ms]) => {
      const [median, p99] = [0.5, 0.99].map((q) => quantile(ms, q).toFixed(1));
      return `${name}: ${ms.length} times, median ${median} ms, p99 ${p99} ms`;
    })
    .join('; ');
}
