/**
 * kill -9 of a sidecar in the middle of changes: many connections write and read, and whatever was
 * acknowledged is there afterwards, whole. CRASH_ROUNDS=100 is the long form.
 */

import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { type Listed, manyUsers, Writers } from './auth-crash-kit.ts';
import { type AdminSidecar, endStarted, spawnAdmin, startAdmin } from './auth-sidecar.ts';
import { Rng, seedOf } from './rng.ts';
import { type Spawned, spawnCephgate, temporaryFolder } from './spawn.ts';

const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 15);
const TIMEOUT_MS = 60_000 + ROUNDS * 6_000;
const seed = seedOf(20261124);
const folder = temporaryFolder('crash');

describe(`kill -9, ${ROUNDS} rounds, seed ${seed}`, () => {
  it(
    'loses nothing that was acknowledged and shows nothing half',
    async () => {
      const rng = new Rng(seed);
      const home = made('store');
      const writers = new Writers();
      for (let round = 0; round < ROUNDS; round++) {
        // Also in the middle of a start, which may have an import to finish.
        if (round % 3 === 2) await killedAtStart(home, rng.int(400));
        const sidecar = await spawnAdmin(home, ENV);
        if (round > 0) writers.checkAfterCrash(await listed(sidecar));
        const working = writers.work(sidecar);
        // First something must have been done; then at any moment, not just after an answer.
        await writers.haveDone({ changes: 5, readings: 1, imports: round % 3 === 0 ? 1 : 0 });
        await sleep(rng.int(500));
        expect(await sidecar.stop('SIGKILL')).toBe('SIGKILL');
        await working;
        expect(writers.complaints).toEqual([]);
      }
      const sidecar = await spawnAdmin(home, ENV);
      writers.checkAfterCrash(await listed(sidecar));
      expect(await sidecar.stop()).toBe(0);
    },
    TIMEOUT_MS,
  );

  it(
    'leaves the file of -o as it was, or as it is to be',
    async () => {
      const rng = new Rng(seed + 1);
      const home = made('file');
      let sidecar = await spawnAdmin(home, ENV);
      await sidecar.command({ prefix: 'auth import', input: btoa(manyUsers(2_000)) });
      const path = join(home, 'out.keyring');
      expect(await exported(home, sidecar).ended).toBe(0);
      let interrupted = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const before = readFileSync(path, 'utf8');
        const caps = ['mon', `allow command n${round}`];
        await sidecar.command({ prefix: 'auth caps', entity: 'client.u0', caps });
        const { body } = await sidecar.command({ prefix: 'auth export' });
        const cli = exported(home, sidecar);
        const seen = contentsUntilEnd(path, cli);
        if (round % 5 === 4) {
          // The other end of the socket dies: the CLI says so, and keeps the file.
          await sleep(rng.int(250));
          await sidecar.stop('SIGKILL');
          expect(await cli.ended).not.toBe('SIGKILL');
          sidecar = await spawnAdmin(home, ENV);
        } else {
          await (round % 5 < 3 ? written(home, cli) : sleep(rng.int(300)));
          await sleep(rng.int(8));
          killIfThere(cli);
          if ((await cli.ended) === 'SIGKILL') interrupted++;
        }
        for (const content of await seen) expect([before, body.output]).toContain(content);
      }
      expect(interrupted).toBeGreaterThan(ROUNDS / 5);
      expect(await exported(home, sidecar).ended).toBe(0);
      expect(await sidecar.stop()).toBe(0);
    },
    TIMEOUT_MS,
  );
});

const mounted = mount(join(folder.path, 'small'), '4m');
afterAll(async () => {
  await endStarted();
  if (mounted !== undefined) spawnSync('umount', [mounted]);
  folder.remove();
});

describe.skipIf(mounted === undefined)('a disk (needs the right to mount)', () => {
  it('that is full: says so, loses nothing, and goes on when there is room', async () => {
    const home = join(mounted!, 'full');
    mkdirSync(home, { mode: 0o700 });
    const sidecar = await spawnAdmin(home, ENV);
    const add = (entity: string) => sidecar.command({ prefix: 'auth add', entity });
    expect((await add('client.first')).body).toMatchObject({ retcode: 0 });
    expect(await exported(home, sidecar).ended).toBe(0);
    const old = readFileSync(join(home, 'out.keyring'), 'utf8');
    fill(join(mounted!, 'filler'));
    let [count, answer] = [0, await add('client.u0')];
    while (answer.status === 200 && count < 5_000) answer = await add(`client.u${++count}`);
    expect(answer.body).toMatchObject({ status: 503, code: 'store.unavailable' });
    expect(answer.body.detail).toBe('cannot change the store: its disk is full');
    expect(sidecar.err).toContain('database or disk is full');
    const users = Array.from({ length: count }, (_, i) => `client.u${i}`);
    const there = async () => (await listed(sidecar)).map(({ entity }) => entity);
    const held = ['client.admin', 'client.first', ...users].sort();
    expect((await there()).sort()).toEqual(held);

    const words = 'cannot write out.keyring: (28) No space left on device; the command was run\n';
    const cli = exported(home, sidecar);
    expect([await cli.ended, cli.err]).toEqual([1, words]);
    expect(readFileSync(join(home, 'out.keyring'), 'utf8')).toBe(old);
    expect(readdirSync(home).sort()).toEqual(['data', 'out.keyring']);

    rmSync(join(mounted!, 'filler'));
    expect((await add(`client.u${count}`)).body).toMatchObject({ retcode: 0 });
    await sidecar.stop();
    const again = await spawnAdmin(home, ENV);
    expect((await listed(again)).map(({ entity }) => entity).sort()).toEqual(
      [...held, `client.u${count}`].sort(),
    );
    expect(await again.stop()).toBe(0);
  });

  it('that takes no writing: says so before anything is done', async () => {
    const home = join(mounted!, 'full');
    spawnSync('mount', ['-o', 'remount,ro', mounted!]);
    const elsewhere = await spawnAdmin(made('elsewhere'), ENV);
    try {
      const refused = startAdmin(home, ENV);
      expect(await refused.ended).toBe(3);
      expect(refused.err).toMatch(
        /^cephgate serve: cannot lock store ".*": attempt to write a readonly/,
      );
      const env = { ...ENV, CEPHGATE_ADMIN_LISTEN: `unix:${elsewhere.adminPath}` };
      const add = ['auth', 'get-or-create', 'client.late', '-o', 'late.keyring'];
      const cli = spawnCephgate(add, { cwd: home, env });
      expect(await cli.ended).toBe(1);
      expect(cli.err).toBe(
        "Can't open output file late.keyring: [Errno 30] Read-only file system: 'late.keyring'\n",
      );
      expect((await listed(elsewhere)).map(({ entity }) => entity)).toEqual(['client.admin']);
    } finally {
      spawnSync('mount', ['-o', 'remount,rw', mounted!]);
      await elsewhere.stop();
    }
  });
});

/** Mounts a disk in memory where we may; undefined elsewhere. */
function mount(path: string, size: string): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined;
  mkdirSync(path);
  const done = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'tmpfs', path]);
  return done.status === 0 ? path : undefined;
}

/** Takes all the room that is left. */
function fill(path: string): void {
  const fd = openSync(path, 'w');
  try {
    for (const chunk = new Uint8Array(4096); ; ) writeSync(fd, chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(fd);
  }
}

function made(name: string): string {
  const path = join(folder.path, name);
  mkdirSync(path, { mode: 0o700 });
  return path;
}

async function killedAtStart(home: string, afterMs: number): Promise<void> {
  const starting = startAdmin(home, ENV);
  await sleep(afterMs);
  starting.raise('SIGKILL');
  await starting.ended;
}

async function listed(sidecar: AdminSidecar): Promise<Listed[]> {
  const { body } = await sidecar.command({ prefix: 'auth ls', format: 'json' });
  return JSON.parse(body.output).auth_dump;
}

function exported(home: string, { adminPath }: AdminSidecar): Spawned {
  const env = { ...ENV, CEPHGATE_ADMIN_LISTEN: `unix:${adminPath}` };
  return spawnCephgate(['auth', 'export', '-o', 'out.keyring'], { cwd: home, env });
}

/** All that a reader of the file sees until the command has ended, and then. */
async function contentsUntilEnd(path: string, cli: Spawned): Promise<Set<string>> {
  const seen = new Set<string>();
  let over = false;
  cli.ended.finally(() => {
    over = true;
  });
  while (!over) {
    seen.add(readFileSync(path, 'utf8'));
    await turn();
  }
  return seen.add(readFileSync(path, 'utf8'));
}

function killIfThere(cli: Spawned): void {
  try {
    cli.raise('SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Waits until the command has begun a new file, or has ended. */
async function written(home: string, cli: Spawned): Promise<void> {
  const begun = `.out.keyring.${cli.child.pid}.new`;
  const path = join(home, begun);
  while (cli.child.exitCode === null && !existsSync(path)) await turn();
}

const ENV = { CEPHGATE_GUARD: 'on' };
