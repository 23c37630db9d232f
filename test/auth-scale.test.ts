/**
 * Many users: 100,000 in `npm test`, USERS=1000000 in the long form. Times are those of a process
 * asked through its admin socket; the machine is shared, so each is the best or middle of several.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { post } from '../src/cli/request.ts';
import { type AdminSidecar, endStarted, spawnAdmin } from './auth-sidecar.ts';
import { send, spawnCephgate, temporaryFolder } from './spawn.ts';

const USERS = Number(process.env.USERS ?? 100_000);
/** What one import takes: the body of a command is at most 64 MiB. */
const PART = 250_000;
const TIMEOUT_MS = 120_000 + USERS * 2;
const folder = temporaryFolder('scale');
afterAll(async () => {
  await endStarted();
  folder.remove();
});

describe(`${USERS} users`, () => {
  const home = join(folder.path, 'home');
  mkdirSync(home, { mode: 0o700 });

  it(
    'are imported, listed, added to, and there after a restart',
    async () => {
      let sidecar = await spawnAdmin(home);
      const probe = probing(sidecar);
      report('imported', `${await importAll(home, sidecar)} ms`);
      const { answers, longestMs } = await probe.end();
      report('meanwhile', `${answers} answers to others, the longest after ${longestMs} ms`);
      // An import that is one piece of work leaves room for two or three.
      expect(answers).toBeGreaterThan(20);
      report('memory after the import', memoryOf(sidecar));

      const listing = await bestOf(3, () => listed(sidecar), sidecar);
      const took = `${listing.ms} ms, ${listing.cpuMs} ms of a processor`;
      report('auth ls -f json', `${took}, ${listing.value.length} bytes`);
      const { auth_dump: dump } = JSON.parse(listing.value);
      expect(dump).toHaveLength(USERS + 1);
      expect(dump[1]).toEqual({ entity: nameOf(0), key: KEY, caps: CAPS });
      expect(dump.at(-1)).toEqual({ entity: nameOf(USERS - 1), key: KEY, caps: CAPS });
      if (USERS <= 100_000) expect(leastOf(listing)).toBeLessThan(LS_MS);

      const added = await times(ADDED, (i) => getOrCreate(sidecar, i), sidecar);
      report('get-or-create, median', shown(added));
      const found = await times(ADDED, (i) => getOrCreate(sidecar, i), sidecar);
      report('get-or-create of one that is there, median', shown(found));
      expect(leastOf(added)).toBeLessThan(GET_OR_CREATE_MS);
      expect(leastOf(found)).toBeLessThan(GET_OR_CREATE_MS);

      expect(await sidecar.stop()).toBe(0);
      const begin = performance.now();
      sidecar = await spawnAdmin(home);
      report('started again', `${(performance.now() - begin).toFixed(0)} ms`);
      report('memory after the start', memoryOf(sidecar));
      expect(JSON.parse(await listed(sidecar)).auth_dump).toHaveLength(USERS + 1 + ADDED);
      report('memory after a listing', memoryOf(sidecar));
      expect(await sidecar.stop()).toBe(0);
    },
    TIMEOUT_MS,
  );
});

/** Somebody else, who asks all the time. */
function probing({ data }: AdminSidecar): {
  end(): Promise<{ answers: number; longestMs: number }>;
} {
  const socketPath = join(data, 'cephgate.sock');
  let over = false;
  const done = (async () => {
    let [answers, longestMs] = [0, 0];
    while (!over) {
      const begin = performance.now();
      // A new connection each: one that waits too long for its next request is closed.
      const { status } = await send({ socketPath, agent: false }, '/livez');
      expect(status).toBe(200);
      longestMs = Math.max(longestMs, Math.round(performance.now() - begin));
      answers++;
      await sleep(10);
    }
    return { answers, longestMs };
  })();
  return {
    end: () => {
      over = true;
      return done;
    },
  };
}

/** Through the command, as an administrator would; returns milliseconds. */
async function importAll(home: string, { adminPath }: AdminSidecar): Promise<number> {
  let ms = 0;
  for (let from = 0; from < USERS; from += PART) {
    const file = join(home, 'users.keyring');
    writeKeyring(file, from, Math.min(from + PART, USERS));
    const begin = performance.now();
    const env = { CEPHGATE_ADMIN_LISTEN: `unix:${adminPath}` };
    const cli = spawnCephgate(['auth', 'import', '-i', file], { cwd: home, env });
    expect([await cli.ended, cli.err]).toEqual([0, expect.any(String)]);
    ms += performance.now() - begin;
  }
  return Math.round(ms);
}

function writeKeyring(path: string, from: number, to: number): void {
  const caps = Object.entries(CAPS).map(([service, text]) => `\tcaps ${service} = "${text}"\n`);
  const rest = `\tkey = ${KEY}\n${caps.join('')}`;
  const sections = Array.from({ length: to - from }, (_, i) => `[${nameOf(from + i)}]\n${rest}`);
  writeFileSync(path, sections.join(''), { mode: 0o600 });
}

async function listed({ adminPath }: AdminSidecar): Promise<string> {
  const headers = { 'content-type': 'application/json' };
  const place = { socketPath: adminPath, path: '/v1/admin/command', headers, timeout: 600_000 };
  const { status, text } = await post(place, JSON.stringify({ prefix: 'auth ls', format: 'json' }));
  const { retcode, output } = JSON.parse(text);
  expect([status, retcode]).toEqual([200, 0]);
  return output;
}

async function getOrCreate(sidecar: AdminSidecar, i: number): Promise<void> {
  const entity = `client.added${i}`;
  const caps = Object.entries(CAPS).flat();
  const { body } = await sidecar.command({ prefix: 'auth get-or-create', entity, caps });
  expect(body.retcode).toBe(0);
}

/** What it takes on a machine that does nothing else: the processor's time is not shared. */
function leastOf({ ms, cpuMs }: { ms: number; cpuMs: number }): number {
  return Number.isNaN(cpuMs) ? ms : Math.min(ms, cpuMs);
}

/** The best time, and the least that the process worked for it. */
async function bestOf<T>(
  n: number,
  once: () => Promise<T>,
  sidecar: AdminSidecar,
): Promise<{ ms: number; cpuMs: number; value: T }> {
  let [ms, cpuMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  let value: T;
  for (let i = 0; i < n; i++) {
    const [begin, worked] = [performance.now(), workedMs(sidecar)];
    value = await once();
    ms = Math.min(ms, Math.round(performance.now() - begin));
    cpuMs = Math.min(cpuMs, workedMs(sidecar) - worked);
  }
  return { ms, cpuMs, value: value! };
}

/** Milliseconds of a processor so far, in ticks of ten; not a number where nobody tells. */
function workedMs({ child }: AdminSidecar): number {
  if (process.platform !== 'linux') return Number.NaN;
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** The median time of one, and what the process worked for one in the mean. */
async function times(
  n: number,
  once: (i: number) => Promise<void>,
  sidecar: AdminSidecar,
): Promise<{ ms: number; cpuMs: number }> {
  const all: number[] = [];
  const worked = workedMs(sidecar);
  for (let i = 0; i < n; i++) {
    const begin = performance.now();
    await once(i);
    all.push(performance.now() - begin);
  }
  return { ms: median(all), cpuMs: (workedMs(sidecar) - worked) / n };
}

function shown({ ms, cpuMs }: { ms: number; cpuMs: number }): string {
  return `${ms.toFixed(2)} ms, ${cpuMs.toFixed(2)} ms of a processor`;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

/** What the process holds in memory now, and the most it ever held; empty where nobody tells. */
function memoryOf({ child }: AdminSidecar): string {
  if (process.platform !== 'linux') return 'not known here';
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  const mb = (name: string): string =>
    `${Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024)} MiB`;
  return `${mb('VmRSS')}, at most ${mb('VmHWM')}`;
}

function report(what: string, value: string): void {
  console.log(`${USERS} users, ${what}: ${value}`);
}

function nameOf(i: number): string {
  return `client.u${String(i).padStart(7, '0')}`;
}

const ADDED = 201;
const LS_MS = 2_000;
const GET_OR_CREATE_MS = 10;
const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
const CAPS = { mon: 'allow r', osd: 'allow rw pool=liverpool' };
