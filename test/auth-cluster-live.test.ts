/**
 * `cephgate auth --cluster`: the same command lines as the installed `ceph`, at the same monitors,
 * with the same words, files and exit codes. And never over a connection that is not encrypted.
 */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cephgate } from '../src/cli/cephgate.ts';
import { commandLine, filesIn, lastIfLogged, type Ran, USERS } from './auth-lines.ts';
import { CEPH_INSTALL, Cluster, cephMissing } from './ceph.ts';
import { monHostOf } from './mon-sidecar.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(Date.now() & 0x7fffffff);
const RUNS = Number(process.env.AUTH_RUNS ?? 8);
const MISSING = cephMissing('ceph-mon', 'ceph');

describe.skipIf(MISSING)(`auth on a real cluster (${CEPH_INSTALL})`, () => {
  let cluster: Cluster;
  let conf: string;
  let keyring: string;

  beforeAll(async () => {
    cluster = await Cluster.start();
    conf = clientConf(cluster);
    keyring = join(cluster.dir, 'users.keyring');
    fs.writeFileSync(keyring, USERS);
    expect(real(['auth', 'import', '-i', keyring]).code).toBe(0);
  }, 120_000);

  afterAll(async () => {
    await cluster?.stop();
  });

  it(`takes ${RUNS} command lines as ceph does (seed ${seed})`, { timeout: 300_000 }, async () => {
    const rng = new Rng(seed);
    for (let run = 0; run < RUNS; run++) {
      const argv = [...commandLine(rng, keyring), '--cluster', 'ceph'];
      const theirs = real(argv);
      // Where the real program crashes, as with -o and a wrong command, ours says what is wrong.
      if (theirs.err.includes('Traceback')) continue;
      expect({ argv, ...(await ours(argv)) }).toEqual({ argv, ...theirs });
    }
  });

  it('makes, changes and removes users as ceph does', { timeout: 120_000 }, async () => {
    const file = join(cluster.dir, 'one.keyring');
    const key = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
    fs.writeFileSync(file, `[client.y]\n\tkey = ${key}\n\tcaps mon = "allow r"\n`);
    const caps = ['mon', 'allow r', 'osd', 'allow rw pool=p'];
    const lines = [
      ['get-or-create', 'client.x', ...caps, '-o', 'x.keyring'],
      ['get-or-create', 'client.x', ...caps],
      ['get-or-create', 'client.x', 'mon', 'allow *'],
      ['get-or-create-key', 'client.x', ...caps, '-f', 'json'],
      ['caps', 'client.x', 'mon', 'allow nonsense'],
      ['caps', 'client.x', 'mon', 'allow rw', 'mds', 'allow'],
      ['get', 'client.x', '-f', 'json-pretty'],
      ['import', '-i', file],
      ['add', 'client.y', '-i', file],
      ['add', 'client.z', 'mon', 'allow r', 'osd'],
      ['export', 'client.y'],
      ['rm', 'client.y'],
      ['rm', 'client.y'],
      ['ls'],
      ['del', 'client.x'],
      ['get', 'client.x'],
    ];
    const both = [];
    for (const run of [real, ours]) {
      const ran = [];
      for (const words of lines)
        ran.push(withoutKeys(await run(['auth', ...words, '-m', monHost()])));
      both.push(ran);
    }
    const [theirs, mine] = both as [Ran[], Ran[]];
    lines.forEach((words, i) => {
      expect({ words, ...mine[i] }).toEqual({ words, ...theirs[i] });
    });
  });

  it('says that it cannot connect: no monitors, none that answers, a wrong key', async () => {
    const nowhere = join(cluster.dir, 'nowhere.conf');
    fs.writeFileSync(nowhere, '[global]\nmon_dns_srv_name = none_invalid\n');
    const key = ['--key', 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw=='];
    for (const argv of [
      ['auth', 'ls', '--cluster', 'ceph', '-c', nowhere, ...key],
      ['auth', 'ls', '-m', '127.0.0.1:1', '--connect-timeout', '2', '-c', nowhere, ...key],
      ['auth', 'ls', '-m', monHost(), '-n', 'client.a', ...key.slice(0, 1), OTHER_KEY],
    ]) {
      const [theirs, mine] = [real(argv), await ours(argv)];
      const last = (text: string): string => text.trimEnd().split('\n').at(-1)!;
      expect([mine.code, last(mine.err), mine.out]).toEqual([
        ...[theirs.code, last(theirs.err), theirs.out],
      ]);
    }
  }, 120_000);

  it('goes to no cluster where a store is named', async () => {
    const { code, err } = await ours(['auth', 'ls', '--cluster', 'ceph', '--store', 'memory:']);
    expect([code, err]).toEqual([13, expect.stringContaining('[errno 13]')]);
  });

  function monHost(): string {
    return monHostOf(cluster);
  }

  function real(argv: readonly string[]): Ran {
    const cwd = fs.mkdtempSync(join(cluster.dir, 'run-'));
    const { status, stdout, stderr } = spawnSync('ceph', argv, {
      ...{ cwd, encoding: 'utf8', input: '', timeout: 60_000 },
      env: { PATH: process.env.PATH ?? '', LC_ALL: 'C.UTF-8', HOME: cwd, CEPH_CONF: conf },
    });
    return ended(cwd, status, stdout, stderr);
  }

  async function ours(argv: readonly string[]): Promise<Ran> {
    const cwd = fs.mkdtempSync(join(cluster.dir, 'run-'));
    const env = { HOME: cwd, CEPH_CONF: conf, CEPHGATE_GUARD: 'off' };
    return await runIn(cwd, env, ['ceph', ...argv]);
  }
});

describe.skipIf(MISSING)(`monitors that allow crc only (${CEPH_INSTALL})`, () => {
  let cluster: Cluster;

  beforeAll(async () => {
    const modes = ['mon_cluster', 'mon_service', 'mon_client', 'cluster', 'service', 'client'];
    cluster = await Cluster.start({ conf: modes.map((each) => `ms_${each}_mode = crc`) });
  }, 120_000);

  afterAll(async () => {
    await cluster?.stop();
  });

  it('are asked for nothing: no command, no secrets, and of the status what is no secret', async () => {
    const env = { HOME: cluster.dir, CEPH_CONF: clientConf(cluster) };
    const run = (...argv: string[]) => runIn(fs.mkdtempSync(join(cluster.dir, 'r-')), env, argv);
    const refused = await run('auth', 'ls', '--cluster', 'ceph');
    expect([refused.code === 0, refused.out]).toEqual([false, '']);
    const caps = ['mon', 'allow profile osd'];
    const made = { prefix: 'auth get-or-create', entity: 'osd.0', caps };
    fs.appendFileSync(cluster.keyring, (await cluster.command(made)).out);
    const where = ['--mon-host', monHostOf(cluster), '--keyring', cluster.keyring];
    const why = 'allows connection modes crc only';
    for (const argv of [
      ['secrets', 'fetch', '--name', 'osd.0', '--reveal-keys', ...where],
      ['ceph', 'status', '--name', 'osd.0', ...where],
    ]) {
      const { code, out, err } = await run(...argv);
      expect([argv[0], code, out, err.includes(why)]).toEqual([argv[0], 3, '', true]);
    }
    const status = ['ceph', 'status', '--allow-crc', '--json', '--name', 'osd.0'];
    const seen = await run(...status, ...where);
    expect(JSON.parse(seen.out)).toMatchObject([{ encrypted: false, secrets: [] }]);
  }, 60_000);
});

/** Two programs at once cannot have the same admin socket, and say so. */
function clientConf(cluster: Cluster): string {
  const lines = fs.readFileSync(cluster.conf, 'utf8').split('\n');
  const conf = join(cluster.dir, 'client.conf');
  fs.writeFileSync(conf, lines.filter((line) => !/^admin.socket/.test(line)).join('\n'));
  return conf;
}

async function runIn(
  cwd: string,
  env: Readonly<Record<string, string>>,
  argv: readonly string[],
): Promise<Ran> {
  let [out, err] = ['', ''];
  const code = await cephgate(argv, {
    ...{ env, cwd, readInput: async () => new Uint8Array(0) },
    out(text) {
      out += text;
    },
    err(text) {
      err += text;
    },
  });
  return ended(cwd, code, out, err);
}

function ended(cwd: string, code: number | null, out: string, err: string): Ran {
  const files = filesIn(cwd);
  fs.rmSync(cwd, { recursive: true });
  return { code, out, err: lastIfLogged(err), files };
}

/** Keys that were made by chance, alike. */
function withoutKeys(ran: Ran): Ran {
  return JSON.parse(JSON.stringify(ran).replaceAll(/AQ[A-Za-z0-9+/]{36}==/g, 'KEY')) as Ran;
}

const OTHER_KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0OEA==';
