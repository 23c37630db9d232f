/** The unit for systemd, and what a running sidecar tells systemd. */

import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, describe, expect, it } from 'vitest';
import { cephgate } from '../src/cli/cephgate.ts';
import { MALLOC_ENVIRONMENT, NODE_OPTIONS } from '../src/cli/memory.ts';
import { systemdUnit } from '../src/cli/systemd.ts';
import { logged, pause, startServe, stopLeft } from './ops-kit.ts';
import { temporaryFolder } from './spawn.ts';

afterEach(stopLeft);

const required = process.env.REQUIRE_SERVICES === '1';
const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0;
const LISTEN = ['--listen', 'unix:s'];
const PLAIN = { group: undefined, config: undefined };

async function printed(...argv: readonly string[]): Promise<{ code: number; text: string }> {
  let text = '';
  const out = (more: string): void => {
    text += more;
  };
  const io = { env: {}, out, err: out, readInput: async () => new Uint8Array() };
  return { code: await cephgate(['systemd', ...argv], io), text };
}

describe('the unit', () => {
  it('keeps memory to the process', async () => {
    const { code, text } = await printed();
    expect(code).toBe(0);
    const lines = text.split('\n');
    for (const line of [
      'Type=notify',
      'LimitCORE=0',
      'MemorySwapMax=0',
      'NoNewPrivileges=yes',
      'ProtectProc=invisible',
      'WatchdogSec=30',
      'DynamicUser=yes',
    ]) {
      expect(lines).toContain(line);
    }
  });

  it('says how the memory of bodies is kept', async () => {
    const { text } = await printed();
    const set = /^Environment=(MALLOC_.*)$/m.exec(text)![1]!.split(' ');
    expect(set).toEqual(Object.entries(MALLOC_ENVIRONMENT).map((pair) => pair.join('=')));
    expect(text).toContain(`\nEnvironment=NODE_OPTIONS=${NODE_OPTIONS}\n`);
  });

  it('starts this program with this runtime', async () => {
    const { text } = await printed();
    const command = /^ExecStart=(.*)$/m.exec(text)![1]!;
    expect(command.startsWith(`${process.execPath} `)).toBe(true);
    const main = command.split(' ').find((word) => /\/cli\/main\.[jt]s$/.test(word));
    expect(existsSync(main!)).toBe(true);
  });

  it('names group and config where they are given', async () => {
    const { text } = await printed('--group', 'ceph', '--config', '/etc/cephgate.json');
    expect(text).toContain('\nGroup=ceph\n');
    expect(text).toMatch(/^ExecStart=.* --config \/etc\/cephgate\.json$/m);
    expect((await printed('--group', 'a b')).code).toBe(2);
    expect((await printed('--config', 'relative')).code).toBe(2);
  });

  it('escapes what systemd would read otherwise', () => {
    const unit = systemdUnit(['/a b/n$de', '/50%/"m".js'], PLAIN);
    expect(unit).toContain(String.raw`ExecStart="/a b/n$$de" "/50%%/\"m\".js" serve `);
  });

  it('hides homes, unless the program is in one', () => {
    expect(systemdUnit(['/usr/bin/node', '/opt/m.js'], PLAIN)).toContain('\nProtectHome=yes\n');
    const own = systemdUnit(['/home/a/node', '/opt/m.js'], PLAIN);
    expect(own).toContain('\nProtectHome=read-only\n');
  });

  it.skipIf(!has('systemd-analyze') && !required)(
    'is taken by systemd-analyze verify',
    async () => {
      const own = temporaryFolder('unit');
      const path = join(own.path, 'cephgate.service');
      const verify = (text: string): string => {
        writeFileSync(path, text);
        const done = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' });
        return done.status === 0 ? done.stderr : `status ${done.status}: ${done.stderr}`;
      };
      const { text } = await printed('--group', 'daemon', '--config', '/etc/cephgate.json');
      expect(verify(text)).toBe('');
      // It would say so.
      expect(verify(text.replace('Type=notify', 'Type=notfy'))).toContain('service type');
      expect(verify(text.replace(/^ExecStart=\S+/m, 'ExecStart=/no/such'))).toContain('/no/such');
      own.remove();
    },
  );
});

describe('a running sidecar', () => {
  it('says when it is ready, alive, reloading and stopping', async () => {
    const own = temporaryFolder('notify');
    const heard = join(own.path, 'heard');
    const program = join(own.path, 'systemd-notify');
    writeFileSync(program, `#!/bin/sh\necho "$NOTIFY_SOCKET $*" >> ${heard}\n`);
    chmodSync(program, 0o755);
    const said = (): string[] =>
      existsSync(heard) ? readFileSync(heard, 'utf8').trim().split('\n') : [];
    const sidecar = await startServe(own.path, LISTEN, {
      PATH: `${own.path}:${process.env.PATH}`,
      NOTIFY_SOCKET: '/the/socket',
      WATCHDOG_USEC: '300000',
    });
    for (let waited = 0; said().length < 4 && waited < 5_000; waited += 50) await pause(50);
    expect(said()[0]).toBe('/the/socket READY=1 STATUS=serving');
    expect(said()[2]).toBe('/the/socket WATCHDOG=1');
    await logged(sidecar, 'reload', () => sidecar.raise('SIGHUP'));
    sidecar.raise('SIGTERM');
    expect(await sidecar.ended).toBe(0);
    const order = said().filter((line) => !line.includes('WATCHDOG'));
    expect(order.map((line) => line.split(' ')[1])).toEqual([
      'READY=1',
      'RELOADING=1',
      'READY=1',
      'STOPPING=1',
    ]);
    expect(order[1]).toMatch(/ MONOTONIC_USEC=[0-9]+$/);
    own.remove();
  });

  it('says nothing without NOTIFY_SOCKET, and to another process no watchdog', async () => {
    const own = temporaryFolder('silent');
    const heard = join(own.path, 'heard');
    const program = join(own.path, 'systemd-notify');
    writeFileSync(program, `#!/bin/sh\necho "$*" >> ${heard}\n`);
    chmodSync(program, 0o755);
    const PATH = `${own.path}:${process.env.PATH}`;
    const watchdog = { WATCHDOG_USEC: '60000', WATCHDOG_PID: '1' };
    const silent = await startServe(own.path, LISTEN, { PATH, ...watchdog, NOTIFY_SOCKET: '' });
    await pause(200);
    silent.raise('SIGTERM');
    expect(await silent.ended).toBe(0);
    expect(existsSync(heard)).toBe(false);
    const other = await startServe(own.path, LISTEN, { PATH, ...watchdog, NOTIFY_SOCKET: '/x' });
    await pause(200);
    other.raise('SIGTERM');
    expect(await other.ended).toBe(0);
    expect(readFileSync(heard, 'utf8')).not.toContain('WATCHDOG');
    own.remove();
  });

  it('serves on where there is no systemd-notify', async () => {
    const own = temporaryFolder('missing');
    const env = { PATH: own.path, NOTIFY_SOCKET: '/x', WATCHDOG_USEC: '60000' };
    const sidecar = await startServe(own.path, LISTEN, env);
    await pause(300);
    sidecar.raise('SIGTERM');
    expect(await sidecar.ended).toBe(0);
    const warnings = sidecar.err.split('\n').filter((line) => line.includes('"systemd"'));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('cannot run systemd-notify: ENOENT');
    own.remove();
  });

  const real = has('systemd-notify') && has('python3');
  it.skipIf(!real && !required)('is heard on a real socket by the real program', async () => {
    const own = temporaryFolder('real');
    const socket = join(own.path, 'notify');
    const script =
      'import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\n' +
      's.bind(sys.argv[1])\nprint("bound",flush=True)\n' +
      'while True: print(s.recv(4096).decode().replace("\\n"," "),flush=True)\n';
    const listener = spawn('python3', ['-c', script, socket]);
    let heard = '';
    listener.stdout.setEncoding('utf8').on('data', (text: string) => {
      heard += text;
    });
    const hears = async (text: string): Promise<void> => {
      for (let waited = 0; !heard.includes(text) && waited < 10_000; waited += 20) await pause(20);
      expect(heard).toContain(text);
    };
    try {
      await hears('bound');
      const sidecar = await startServe(own.path, LISTEN, { NOTIFY_SOCKET: socket });
      await hears('READY=1');
      sidecar.raise('SIGTERM');
      expect(await sidecar.ended).toBe(0);
      await hears('STOPPING=1');
    } finally {
      listener.kill('SIGKILL');
      own.remove();
    }
  });
});
