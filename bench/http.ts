/**
 * What HTTP costs beside the work itself: CPU time of the server's process for each item, asked
 * for before and after each slice of load. On Node, and on Deno where it is installed, with the
 * environment that the unit of `cephgate systemd` sets.
 */

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { withMemory } from '../src/cli/memory.ts';
import { type Ratio, withGoal } from './goals.ts';
import { HTTP_CORPUS, httpCorpus, ROUTE_NOOP, verifyRecords } from './http-items.ts';
import { framesLoad, httpLoad, type Load, postOf, type Target } from './http-load.ts';
import type { HttpPlaces } from './http-server.ts';
import { type Measured, ratio, type SlicedCase } from './measure.ts';
import { Remote } from './remote.ts';
import type { Result } from './report.ts';
import type { Bench, Section } from './section.ts';

export const httpSection: Section = {
  name: 'http',
  about: 'the sidecar over HTTP and on its frames socket, CPU time of the server',
  everywhere: false,
  async run(bench) {
    const results: Result[] = [];
    for (const runtime of RUNTIMES) {
      if (existsSync(runtime.program)) results.push(await onRuntime(bench, runtime));
      else bench.say(`\nno HTTP rows on ${runtime.name}: npm ci --prefix test/runtimes`);
    }
    return results;
  },
};

interface Runtime {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
}

async function onRuntime(bench: Bench, { name, program, args }: Runtime): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'cephgate-http-'));
  const remote = new Remote(program, [...args, folder], withMemory(process.env));
  try {
    const places = JSON.parse(await remote.ask('places')) as HttpPlaces;
    const cases = await casesOf(remote, places, bench.smoke);
    const title = `the sidecar, CPU time of its process, ${name}`;
    return await bench.table({ title, cases }, (rows) => ratiosOf(name, rows));
  } finally {
    remote.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function casesOf(remote: Remote, places: HttpPlaces, smoke: boolean): Promise<SlicedCase[]> {
  const corpus = httpCorpus();
  const connections = smoke ? 2 : CONNECTIONS;
  const questions = corpus.items.map(({ authorizer }) =>
    JSON.stringify({ service: 'osd', authorizer: base64(authorizer), peer: '192.0.2.7' }),
  );
  const json = (host: string, path: string, bodies: readonly string[]): Buffer[] =>
    bodies.map((body) => postOf(host, path, 'application/json', body));
  const noop = json(places.noop, ROUTE_NOOP, questions);
  const single = json(places.tcp, '/v1/verify', questions);
  const checks = corpus.items.map(({ op }) => ({ op }));
  const one = checks.map((each) => JSON.stringify({ ...CHECKED, ...each }));
  const all = JSON.stringify({ service: 'osd', items: checks.map((c) => ({ caps: CAPS, ...c })) });
  const records = verifyRecords(corpus, HTTP_CORPUS);
  const frames = postOf(places.tcp, '/v1/frames', 'application/octet-stream', records);
  const piece = { bytes: records, records: HTTP_CORPUS };
  const unix: Target = { path: places.unix };
  const least = smoke ? SMOKE_REQUESTS : REQUESTS;
  const each = (name: string, load: Load): SlicedCase => loaded(remote, name, load, least, 1);
  const many = (name: string, load: Load): SlicedCase =>
    loaded(remote, name, load, Math.ceil(least / REQUESTS_PER_BATCH), HTTP_CORPUS);
  return [
    each(NOOP, httpLoad(tcp(places.noop), noop, connections)),
    each(VERIFY, httpLoad(tcp(places.tcp), single, connections)),
    each(CHECK, httpLoad(unix, json('localhost', '/v1/check', one), connections)),
    many(CHECKS, httpLoad(unix, json('localhost', '/v1/checks', [all]), 1)),
    many(FRAMES, httpLoad(tcp(places.tcp), [frames], 1)),
    many(SOCKET, framesLoad({ path: places.frames }, [piece], 1)),
    {
      ...{ name: ENGINE, items: HTTP_CORPUS },
      slice: async (_, calls) => Number(await remote.ask(`engine ${calls}`)),
    },
  ];
}

/**
 * A slice of load, by what the server's CPU clock says of it. Connections are made anew for each,
 * so there are at least so many requests in one.
 */
function loaded(
  remote: Remote,
  name: string,
  load: Load,
  least: number,
  items: number,
): SlicedCase {
  return {
    ...{ name, items },
    async slice(_, calls) {
      const before = Number(await remote.ask('cpu'));
      const answered = await load(Math.max(calls, least));
      const micros = Number(await remote.ask('cpu')) - before;
      return (micros * calls) / answered;
    },
  };
}

function ratiosOf(runtime: string, rows: readonly Measured[]): Ratio[] {
  const row = (name: string): Measured => rows.find((each) => each.name === name) as Measured;
  const of = (slow: string, fast: string, name: string): Ratio =>
    withGoal(`http, ${runtime}: ${name}`, ratio(row(slow), row(fast)));
  return [
    of(NOOP, VERIFY, 'no-op / JSON verify'),
    of(ENGINE, FRAMES, 'in process / frames of 1000'),
    of(CHECK, CHECKS, 'JSON check / checks of 1000'),
    of(VERIFY, SOCKET, 'JSON verify / frames socket'),
  ];
}

function tcp(host: string): Target {
  const [name, port] = host.split(':');
  return { host: name!, port: Number(port) };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

const here = fileURLToPath(new URL('.', import.meta.url));
/** On Node the bench is built; Deno runs the sources. */
const RUNTIMES: readonly Runtime[] = [
  { name: 'node', program: process.execPath, args: [join(here, 'http-server.js')] },
  {
    name: 'deno',
    program: resolve('test/runtimes/node_modules/.bin/deno'),
    args: ['run', '-A', 'bench/http-server.ts'],
  },
];
const CONNECTIONS = 16;
/** Least requests in a slice; of those that hold a thousand items, one in so many. */
const REQUESTS = 1_000;
const SMOKE_REQUESTS = 20;
const REQUESTS_PER_BATCH = 40;
const CAPS = 'allow rw pool=liverpool namespace=ns1, allow r pool=other';
const CHECKED = { service: 'osd', caps: CAPS };
const NOOP = 'a route that does nothing';
const VERIFY = 'JSON verify';
const CHECK = 'JSON check';
const CHECKS = 'JSON checks of 1000';
const FRAMES = 'frames of 1000 over HTTP';
const SOCKET = 'frames socket, pipelined';
const ENGINE = 'the same records in process';
