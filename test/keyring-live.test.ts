/** Where a client looks for its keyring: our search against the installed `ceph-conf`. */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { describe, expect, it } from 'vitest';
import { formatEntityName, parseEntityName } from '../src/cephx/protocol.ts';
import { CephConf } from '../src/keyring/cephconf.ts';
import { Rng, seedOf } from './rng.ts';

const installed = spawnSync('ceph-conf', ['--version'], { encoding: 'utf8' });
const version = /^ceph version (\d+)\./.exec(installed.stdout ?? '')?.[1];
const required = process.env.REQUIRE_SERVICES === '1';
const RUNS = Number(process.env.RUNS ?? 100);
const TIMEOUT_MS = 60_000 + RUNS * 500;
const seed = seedOf(20261124);

describe.skipIf(version !== '16' && !required)(
  'ceph-conf 16 (apt-get install -y --no-install-recommends ceph-common)',
  () => {
    it('is installed', () => {
      expect(version).toBe('16');
    });

    it(
      `finds the same keyrings, seed ${seed}`,
      () => {
        const rng = new Rng(seed);
        const cwd = fs.mkdtempSync(join(tmpdir(), 'cephgate-keyring-'));
        try {
          for (let i = 0; i < RUNS; i++) compareSearch(rng, cwd);
        } finally {
          fs.rmSync(cwd, { recursive: true });
        }
      },
      TIMEOUT_MS,
    );
  },
);

function compareSearch(rng: Rng, cwd: string): void {
  const name = rng.pick(['client.a', 'client.', 'osd.3', 'mds.x', 'mon.a', 'mgr.y', 'auth.z']);
  const conf = rng.pick(['ceph.conf', 'q.conf', 'no,q.conf', 'c.foo', 'no;ceph.conf;q.conf']);
  const cluster = rng.chance(0.3) ? 'zz' : undefined;
  const keyring = rng.chance(0.2) ? path(rng) : undefined;
  const env = { HOME: '/home/x', ...(rng.chance(0.2) ? { CEPH_KEYRING: path(rng) } : {}) };
  const text = confText(rng);
  for (const file of ['ceph.conf', 'q.conf', 'c.foo']) fs.writeFileSync(join(cwd, file), text);
  const argv = ['--name', name, '-c', conf, '--show-config-value', 'keyring'];
  if (cluster !== undefined) argv.push('--cluster', cluster);
  if (keyring !== undefined) argv.push('--keyring', keyring);
  const { stdout } = spawnSync('ceph-conf', argv, {
    cwd,
    env: { ...env, PATH: process.env.PATH },
    encoding: 'utf8',
  });
  const found = new CephConf(
    {
      name: parseEntityName(name)!,
      conf,
      ...(cluster === undefined ? {} : { cluster }),
      ...(keyring === undefined ? {} : { keyring }),
    },
    { env, cwd, host: hostname() },
  );
  expect(formatEntityName(found.name)).toBe(name);
  expect({ text, env, argv, keyring: `${found.get('keyring')}\n` }).toEqual({
    text,
    env,
    argv,
    keyring: stdout,
  });
}

function confText(rng: Rng): string {
  let text = '';
  for (let left = rng.int(5); left > 0; left--) {
    text += `[${rng.pick(SECTIONS)}]\n`;
    for (let lines = rng.int(3); lines > 0; lines--) {
      const option = rng.pick([
        'keyring',
        'keyring',
        'mon host',
        'osd data',
        'mds_data',
        'keyfile',
      ]);
      text += `${option} = ${option === 'keyring' ? path(rng) : '/v/$id'}\n`;
    }
  }
  return `${text}\n`;
}

function path(rng: Rng): string {
  const part = () =>
    rng.pick([
      '/k',
      '.',
      ',',
      'x y',
      '$',
      '$cluster',
      '$type',
      '$id',
      '$name',
      '$host',
      '$home',
      '$nosuch',
      `\${id}`,
      `\${name}`,
      `\${id`,
      `\${no}`,
      '$osd_data',
      '$mds_data',
      '$mon_data',
      '$mon_host',
      '$keyfile',
      '$run_dir',
      '$id_x',
      '$$',
      '}',
      '{',
    ]);
  return Array.from({ length: 1 + rng.int(5) }, part).join('');
}

const SECTIONS = ['global', 'client', 'client.a', 'client.', 'osd', 'osd.3', 'mds', 'x'];
