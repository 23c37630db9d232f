/** Seeded command lines: `cephgate ceph` on a store against the installed `ceph` on a monitor. */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cephCommand } from '../src/cli/auth.ts';
import { storeBackend } from '../src/cli/authbackend.ts';
import { MemoryStore } from '../src/store/memory.ts';
import { load, monKeyring } from './auth-kit.ts';
import { commandLine, filesIn, lastIfLogged, type Ran, USERS } from './auth-lines.ts';
import { CEPH_INSTALL, Cluster, cephMissing } from './ceph.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(Date.now() & 0x7fffffff);
const RUNS = Number(process.env.AUTH_RUNS ?? 40);
describe.skipIf(cephMissing('ceph-mon', 'ceph'))(`ceph of Ceph 16 (${CEPH_INSTALL})`, () => {
  let cluster: Cluster;
  let conf: string;
  let monKey: string;
  let start: string;

  beforeAll(async () => {
    cluster = await Cluster.start();
    // Two programs at once cannot have the same admin socket, and say so.
    const lines = fs.readFileSync(cluster.conf, 'utf8').split('\n');
    conf = join(cluster.dir, 'client.conf');
    fs.writeFileSync(conf, lines.filter((line) => !/^admin.socket/.test(line)).join('\n'));
    monKey = (await cluster.command({ prefix: 'auth get-key', entity: 'mon.' })).out;
    const file = join(cluster.dir, 'users');
    fs.writeFileSync(file, USERS);
    real(['auth', 'import', '-i', file]);
    start = (await cluster.command({ prefix: 'auth export' })).out;
    fs.writeFileSync(join(cluster.dir, 'users.keyring'), USERS);
  }, 120_000);

  afterAll(async () => {
    await cluster?.stop();
  });

  it(`takes ${RUNS} command lines alike (seed ${seed})`, { timeout: 600_000 }, async () => {
    const rng = new Rng(seed);
    for (let run = 0; run < RUNS; run++) {
      const argv = commandLine(rng, join(cluster.dir, 'users.keyring'));
      const theirs = real(argv);
      // Where the real program crashes, as with -o and a wrong command, ours says what is wrong.
      if (theirs.err.includes('Traceback')) continue;
      expect({ argv, ...(await ours(argv)) }).toEqual({ argv, ...theirs });
    }
  });

  function real(argv: readonly string[]): Ran {
    return inFolder((cwd) => {
      const { status, stdout, stderr } = spawnSync('ceph', argv, {
        cwd,
        env: {
          PATH: process.env.PATH ?? '',
          LC_ALL: 'C.UTF-8',
          HOME: cwd,
          CEPH_CONF: conf,
        },
        encoding: 'utf8',
        input: '',
      });
      return { code: status, out: stdout, err: lastIfLogged(stderr), files: filesIn(cwd) };
    });
  }

  async function ours(argv: readonly string[]): Promise<Ran> {
    const store = new MemoryStore();
    await load(store, start);
    const cwd = fs.mkdtempSync(join(cluster.dir, 'run-'));
    let [out, err] = ['', ''];
    const env = { HOME: cwd, CEPH_CONF: conf };
    const io = {
      env: { ...env, CEPHGATE_RELEASE: '16', CEPHGATE_GUARD: 'off' },
      cwd,
      out: (text: string) => {
        out += text;
      },
      err: (text: string) => {
        err += text;
      },
      readInput: async () => new Uint8Array(0),
    };
    const code = await cephCommand(argv, io, (line, like, around) =>
      storeBackend(store, monKeyring(monKey), line, like, around),
    );
    const files = filesIn(cwd);
    fs.rmSync(cwd, { recursive: true });
    return { code, out, err: lastIfLogged(err), files };
  }

  function inFolder<T>(use: (cwd: string) => T): T {
    const cwd = fs.mkdtempSync(join(cluster.dir, 'run-'));
    try {
      return use(cwd);
    } finally {
      fs.rmSync(cwd, { recursive: true });
    }
  }
});
