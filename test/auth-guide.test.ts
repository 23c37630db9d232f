/**
 * The examples of Ceph's guides to user management, step by step: through the admin socket of a
 * sidecar, and beside it with the real programs where they are installed.
 */

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, describe, expect, it } from 'vitest';
import { cephgate } from '../src/cli/cephgate.ts';
import { GUIDE, type GuideStep } from './auth-guide.ts';
import { AS_CEPH_16, endStarted, spawnAdmin } from './auth-sidecar.ts';
import { CEPH_INSTALL, Cluster, cephMissing } from './ceph.ts';
import { temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('guide');
afterAll(async () => {
  await endStarted();
  folder.remove();
});

describe('the guides', () => {
  it('cephgate does every example as written down', async () => {
    const sidecar = await spawnAdmin(folderOf('sidecar'), AS_CEPH_16);
    try {
      const side = new Side('ours', (argv, cwd) => ours(argv, cwd, sidecar.adminPath));
      expect(await side.takeAll(GUIDE)).toEqual(GUIDE.map(expected));
    } finally {
      expect(await sidecar.stop()).toBe(0);
    }
  });

  it.skipIf(cephMissing('ceph', 'ceph-mon', 'ceph-authtool'))(
    `and so do the programs of Ceph 16 (${CEPH_INSTALL})`,
    async () => {
      const cluster = await Cluster.start();
      try {
        await removeBootstrap(cluster);
        const conf = clientConf(cluster);
        const side = new Side('real', (argv, cwd) => real(argv, cwd, conf));
        expect(await side.takeAll(GUIDE)).toEqual(GUIDE.map(expected));
      } finally {
        await cluster.stop();
      }
    },
  );
});

interface Ended {
  readonly code: number | string;
  readonly out: string;
  readonly err: string;
}

/** A step and all that it did, keys as their numbers. */
interface Taken extends Ended {
  readonly argv: readonly string[];
  readonly files: Readonly<Record<string, string>>;
}

function expected({ argv, code = 0, out = '', err = '', files = {} }: GuideStep): Taken {
  return { argv, code, out, err, files };
}

/** One who works through the guides, in a folder of his own. */
class Side {
  readonly #folder: string;
  readonly #run: (argv: readonly string[], cwd: string) => Promise<Ended>;
  /** Keys in the order in which they were first seen. */
  readonly #keys: string[] = [];

  constructor(name: string, run: (argv: readonly string[], cwd: string) => Promise<Ended>) {
    this.#folder = folderOf(name);
    this.#run = run;
  }

  async takeAll(steps: readonly GuideStep[]): Promise<Taken[]> {
    const taken: Taken[] = [];
    for (const step of steps) taken.push(await this.#take(step));
    return taken;
  }

  async #take({ argv, files = {} }: GuideStep): Promise<Taken> {
    const { code, out, err } = await this.#run(argv, this.#folder);
    const shown = (text: string): string => this.#withNumbers(text);
    const texts = { out: shown(out), err: shown(err) };
    const found = Object.keys(files).map((name) => [name, shown(this.#read(name))]);
    return { argv, code, ...texts, files: Object.fromEntries(found) };
  }

  #read(name: string): string {
    const path = join(this.#folder, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '(no file)';
  }

  #withNumbers(text: string): string {
    return text.replace(KEY, (key) => {
      if (!this.#keys.includes(key)) this.#keys.push(key);
      return `K${this.#keys.indexOf(key) + 1}`;
    });
  }
}

function folderOf(name: string): string {
  const path = join(folder.path, name);
  mkdirSync(path, { mode: 0o700 });
  return path;
}

/** A monitor of 16 makes these users by itself; with us they are not there. */
async function removeBootstrap(cluster: Cluster): Promise<void> {
  for (const each of ['mds', 'mgr', 'osd', 'rbd', 'rbd-mirror', 'rgw']) {
    await cluster.command({ prefix: 'auth rm', entity: `client.bootstrap-${each}` });
  }
}

/** As a machine of a user has it: the cluster's own file is for daemons. */
function clientConf(cluster: Cluster): string {
  const path = join(folder.path, 'ceph.conf');
  const hosts = cluster.monPorts.map(({ v2, v1 }) => `[v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]`);
  const lines = ['[global]', `mon_host = ${hosts.join(',')}`, `keyring = ${cluster.keyring}`, ''];
  writeFileSync(path, lines.join('\n'));
  return path;
}

/** The command in this process: a process for each step would take ten times as long. */
async function ours([program, ...argv]: readonly string[], cwd: string, socket: string) {
  const texts = { out: '', err: '' };
  const code = await cephgate(program === 'ceph-authtool' ? ['authtool', ...argv] : argv, {
    cwd,
    env: { ...AS_CEPH_16, CEPHGATE_ADMIN_LISTEN: `unix:${socket}` },
    out: (text) => {
      texts.out += text;
    },
    err: (text) => {
      texts.err += text;
    },
    readInput: async () => new Uint8Array(0),
  });
  return { code, ...texts };
}

async function real([program, ...argv]: readonly string[], cwd: string, conf: string) {
  const child = spawn(program!, argv, { cwd, env: { ...process.env, CEPH_CONF: conf } });
  const texts = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    texts.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    texts.err += text;
  });
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject).on('close', (ended) => resolve(ended ?? -1));
  });
  return { code, ...texts };
}

const KEY = /\bAQ[A-Za-z0-9+/]{36}==/g;
