/** What would open our memory to others: refused at the start, or without effect. */

import { Buffer } from 'node:buffer';
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { hardenProcess, type ProcessFacts } from '../src/cli/hardening.ts';
import type { LogRecord } from '../src/http/deps.ts';
import { stopLeft, watched } from './ops-kit.ts';
import { send, spawnCephgate, spawnSidecar, temporaryFolder } from './spawn.ts';
import { storedSecrets } from './stored-secrets.ts';

const folder = temporaryFolder('hardening');
afterEach(stopLeft);
afterAll(() => folder.remove());
const onNode = !('Deno' in globalThis) && process.versions.bun === undefined;
const onLinux = process.platform === 'linux';

const SAFE: ProcessFacts = {
  execArgv: ['--max-old-space-size=512'],
  env: { NODE_OPTIONS: '--no-warnings --title="a --inspector name"' },
  inspectorUrl: undefined,
  coreLimit: '0',
  coresWithoutMemory: false,
};

function harden(facts: Partial<ProcessFacts>): LogRecord[] {
  const logged: LogRecord[] = [];
  hardenProcess((record) => logged.push(record), { ...SAFE, ...facts });
  return logged;
}

describe('a start', () => {
  it('is quiet where nothing is open', () => {
    expect(harden({})).toEqual([]);
    expect(harden({ coreLimit: undefined })).toEqual([]);
  });

  it.each([
    '--inspect',
    '--inspect-brk=0.0.0.0:9229',
    '--inspect_port=1',
    '--heapsnapshot-signal=SIGUSR2',
    '--heapsnapshot-near-heap-limit=2',
    '--report-on-signal',
    '--report-on-fatalerror',
    '--report-uncaught-exception',
    '--abort-on-uncaught-exception',
    '--tls-keylog=keys',
  ])('with %s is refused, wherever it stands', (option) => {
    const message = `refusing to start with ${option.split('=')[0]!.replaceAll('_', '-')}: `;
    expect(() => harden({ execArgv: [option] })).toThrow(message);
    const quoted = `--no-warnings "${option}"`;
    expect(() => harden({ env: { NODE_OPTIONS: quoted } })).toThrow(message);
  });

  it.each(['NODE_DEBUG', 'SSLKEYLOGFILE', 'BUN_INSPECT'])('with %s is refused', (name) => {
    expect(() => harden({ env: { [name]: 'x' } })).toThrow(`with ${name} set`);
    expect(harden({ env: { [name]: '' } })).toEqual([]);
  });

  it('under a debugger is refused, however that came to be', () => {
    expect(() => harden({ inspectorUrl: 'ws://127.0.0.1:9229/x' })).toThrow('under a debugger');
  });

  it('with core dumps is refused, unless they are made without memory', () => {
    expect(() => harden({ coreLimit: 'unlimited' })).toThrow('with RLIMIT_CORE unlimited');
    const [warning] = harden({ coreLimit: 'unlimited', coresWithoutMemory: true });
    expect(warning).toMatchObject({ level: 'warn', event: 'hardening' });
  });
});

describe.skipIf(!onNode)('a process of Node', () => {
  it.each([
    ['--inspect=127.0.0.1:0', 'with --inspect: a debugger can read all keys'],
    ['--heapsnapshot-signal=SIGUSR2', 'with --heapsnapshot-signal: a heap snapshot holds all keys'],
    ['--report-on-signal', 'with --report-on-signal: a diagnostic report tells'],
  ])('does not serve with NODE_OPTIONS=%s', async (option, message) => {
    const spawned = spawnCephgate(['serve', '--data', join(folder.path, 'no')], {
      env: { NODE_OPTIONS: option },
    });
    expect(await spawned.ended).toBe(2);
    expect(spawned.err).toContain(`cephgate serve: refusing to start ${message}`);
    expect(readdirSync(folder.path)).not.toContain('no');
  });

  it('opens no debugger on SIGUSR1, and serves on', async () => {
    const own = temporaryFolder('usr1');
    const sidecar = watched(await spawnSidecar(own.path));
    for (let i = 0; i < 3; i++) sidecar.raise('SIGUSR1');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await send(sidecar, '/livez')).status).toBe(200);
    expect(sidecar.err).not.toContain('Debugger');
    expect(await sidecar.stop()).toBe(0);
    own.remove();
  });
});

describe.skipIf(!onLinux)('a core dump', () => {
  const writable = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim() === 'core';

  it('holds no memory', async () => {
    const own = temporaryFolder('filter');
    const sidecar = watched(await spawnSidecar(own.path));
    const filter = readFileSync(`/proc/${sidecar.child.pid}/coredump_filter`, 'utf8');
    expect(filter.trim()).toMatch(/^0+$/);
    await sidecar.stop();
    own.remove();
  });

  // Where the kernel gives dumps to a program there is no file to look at.
  it.skipIf(!onNode || !writable)('is small and free of the keys in a real abort', async (test) => {
    const own = temporaryFolder('core');
    const sidecar = watched(await spawnSidecar(own.path));
    const { pid } = sidecar.child;
    if (spawnSync('prlimit', ['--pid', `${pid}`, '--core=unlimited']).status !== 0) test.skip();
    sidecar.raise('SIGABRT');
    expect(await sidecar.ended).toBe('SIGABRT');
    const dump = coreIn(own.path);
    if (dump === undefined) return test.skip();
    expect(dump.length).toBeLessThan(4_000_000);
    const secrets = await storedSecrets(join(own.path, 'data'));
    expect(secrets.length).toBeGreaterThan(0);
    for (const { key } of secrets) {
      expect(dump.includes(Buffer.from(key).toString('base64'))).toBe(false);
      // Behind type, time and length of the CryptoKey.
      expect(dump.includes(Buffer.from(key.subarray(12)))).toBe(false);
    }
    own.remove();
  });

  it.skipIf(!onNode || !writable)('would hold the keys without this', async (test) => {
    const own = temporaryFolder('plain');
    const script =
      "globalThis.k = Buffer.alloc(64, 'canary' + '-of-keys'); setTimeout(process.abort, 50)";
    const child = spawn(
      'sh',
      ['-c', `ulimit -c unlimited; exec "$0" -e "$1"`, process.execPath, script],
      {
        cwd: own.path,
      },
    );
    await new Promise((resolve) => child.on('close', resolve));
    const dump = coreIn(own.path);
    if (dump === undefined) return test.skip();
    expect(dump.includes('canary-of-keyscanary-of-keys')).toBe(true);
    own.remove();
  });

  function coreIn(path: string): Buffer | undefined {
    const [core] = readdirSync(path).filter((name) => name.startsWith('core'));
    return core === undefined ? undefined : readFileSync(join(path, core));
  }
});
