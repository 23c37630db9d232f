/**
 * The server of the HTTP ratios, a process of its own so that its CPU time is its own: the sidecar
 * on TCP, on a unix socket and on the frames socket, and beside it a Hono app with one route that
 * reads the body and answers fixed JSON. It answers lines:
 *
 *   places -> where they are
 *   cpu -> CPU microseconds so far
 *   engine CALLS -> CPU microseconds of so many calls of the engine without HTTP
 */

import { openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Hono } from 'hono';
import { randomSource } from '../src/cli/randomness.ts';
import { createApp } from '../src/http/app.ts';
import { type AppDeps, BODY_LIMITS } from '../src/http/deps.ts';
import { makeDirect } from '../src/http/direct.ts';
import { openFramesSocket } from '../src/http/framesocket.ts';
import { listen } from '../src/http/listen.ts';
import { StaticRing } from '../src/http/ring.ts';
import { State } from '../src/http/state.ts';
import { createLogger, SidecarObserver } from '../src/observe/index.ts';
import { makeEngine } from './contenders.ts';
import { HTTP_CORPUS, httpCorpus, ROUTE_NOOP, verifyRecords } from './http-items.ts';
import { type Corpus, NOW_NS } from './items.ts';

/** Where the parts of the server are. */
export interface HttpPlaces {
  readonly runtime: string;
  /** `HOST:PORT` of the route that does nothing, and of the sidecar. */
  readonly noop: string;
  readonly tcp: string;
  readonly unix: string;
  readonly frames: string;
}

async function main(folder: string): Promise<void> {
  const corpus = httpCorpus();
  const deps = await depsOf(corpus, folder);
  const app = createApp(deps);
  const bare = new Hono();
  bare.post(ROUTE_NOOP, async (c) => {
    await c.req.raw.arrayBuffer();
    return c.json({ decision: false });
  });
  const tcp = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
  const unix = `${folder}/http.sock`;
  const frames = `${folder}/frames.sock`;
  const options = { allowHosts: [] };
  const noop = await listen(bare.fetch.bind(bare), [tcp], options);
  const ways = { ...options, direct: makeDirect(deps) };
  const open = await listen(app.fetch.bind(app), [tcp, { kind: 'unix', path: unix }], ways);
  await openFramesSocket(deps, frames);
  const hosts = [noop, open].map(([first]) => new URL(first!.name).host);
  const places: HttpPlaces = {
    ...{ runtime: runtime(), noop: hosts[0]!, tcp: hosts[1]! },
    ...{ unix, frames },
  };
  const records = verifyRecords(corpus, HTTP_CORPUS);
  const challenges = corpus.items.map(() => ({ mode: 'off' as const }));
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, calls = '0'] = line.split(' ');
    const before = cpuMicros();
    for (let i = 0; command === 'engine' && i < Number(calls); i++) {
      const host = { nowNs: deps.clock(), policy: deps.policy };
      kept = deps.engine.run(records, host, challenges).slice();
    }
    const micros = command === 'cpu' ? before : cpuMicros() - before;
    process.stdout.write(`${command === 'places' ? JSON.stringify(places) : micros}\n`);
  }
  process.exit(0);
}

/** As `serve` has them, the decision log in a file included. */
async function depsOf(corpus: Corpus, folder: string): Promise<AppDeps> {
  const engine = await makeEngine([corpus]);
  const started = Date.now();
  const clock = (): bigint => NOW_NS + BigInt(Date.now() - started) * 1_000_000n;
  const random = randomSource();
  const secrets = corpus.secrets.map(({ secretId, key }) => ({
    ...{ service: 'osd' as const, secretId, key, expiresNs: undefined },
  }));
  const ring = new StaticRing(engine, secrets, NOW_NS, false);
  const state = new State({ keys: { current: random(32), previous: undefined }, random });
  const file = openSync(`${folder}/log`, 'w');
  const log = createLogger({ write: (line) => void writeSync(file, line), clock });
  const shared = { engine, ring, state, policy: {}, clock, random, log };
  const logged = { path: `${folder}/decisions`, sample: 1, lenMax: 67_108_864, keep: 1 };
  return {
    ...{ ...shared, observe: new SidecarObserver(shared, { decisionLog: logged }) },
    ...{ body: BODY_LIMITS, sign: false, allowUnchallengedVerdict: false },
  };
}

function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function runtime(): string {
  const { deno, node } = process.versions;
  return deno === undefined ? `node ${node}` : `deno ${deno}`;
}

/** Where results go. */
export let kept: unknown;

await main(process.argv[2] ?? '.');
