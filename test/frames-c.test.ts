/** The example in C: compiled, and run against a sidecar as a storage daemon would. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openAuthorizeReply } from '../src/cephx/authorizer.ts';
import { formatSecrets } from '../src/http/secretsfile.ts';
import { makeTicket, type TestTicket } from './authorizers.ts';
import { challengeOf, nonceIn } from './frames-kit.ts';
import { AES256K_ID, aes256kSecret, SECRETS } from './http-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { type SpawnedSidecar, spawnSidecar, temporaryFolder } from './spawn.ts';
import { twinSealer } from './twin/sealer.ts';

const source = fileURLToPath(new URL('./c/frames.c', import.meta.url));
const installed = spawnSync('cc', ['--version']).status === 0;
const required = process.env.REQUIRE_SERVICES === '1';
const LINES_MAX = 100;

describe.skipIf(!installed && !required)('test/c/frames.c (apt-get install -y gcc)', () => {
  const folder = temporaryFolder('c');
  const program = join(folder.path, 'frames');
  const rng = new Rng(seedOf(43));
  let sidecar: SpawnedSidecar;
  beforeAll(async () => {
    writeFileSync(join(folder.path, 'secrets.json'), formatSecrets(SECRETS), { mode: 0o600 });
    const more = ['--frames-listen', 'unix:data/frames.sock', '--secrets', 'secrets.json'];
    sidecar = await spawnSidecar(folder.path, undefined, more);
  });
  afterAll(async () => {
    await sidecar?.stop();
    folder.remove();
  });

  it('compiles without a warning, and is short', () => {
    const strict = ['-std=c99', '-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Werror'];
    const { stderr, status } = spawnSync('cc', [...strict, '-o', program, source]);
    expect([status, String(stderr)]).toEqual([0, '']);
    const lines = readFileSync(source, 'utf8').trimEnd().split('\n');
    expect(lines.length).toBeLessThanOrEqual(LINES_MAX);
  });

  it('finds the socket that the sidecar names', () => {
    expect(sidecar.out).toContain(`listening for frames on unix:${socketPath()}\n`);
  });

  it('verifies a client in two steps and is told what it may', async () => {
    for (const [pool, answer] of [
      ['liverpool', 'yes 0'],
      ['everton', 'no 22'],
    ]) {
      const ticket = anyTicket();
      const daemon = start('connection-1', pool!);
      daemon.send(ticket.authorizer());
      const challenge = challengeOf(await daemon.hex('challenge'), ticket);
      const authorizer = ticket.authorizer(challenge);
      daemon.send(authorizer);
      const reply = await daemon.hex('reply');
      const nonce = nonceIn(authorizer, ticket);
      expect(openAuthorizeReply(twinSealer, ticket.sessionKey, nonce, reply)).toHaveLength(0);
      expect(await daemon.line()).toBe('client john');
      expect(await daemon.line()).toBe(answer);
      expect(await daemon.ended).toBe(0);
    }
  });

  it('refuses a client that answers wrongly', async () => {
    const ticket = anyTicket();
    const daemon = start('connection-2', 'liverpool');
    daemon.send(ticket.authorizer());
    const challenge = challengeOf(await daemon.hex('challenge'), ticket);
    daemon.send(ticket.authorizer(challenge + 1n));
    expect(await daemon.line()).toBe('refused 7');
    expect(await daemon.ended).toBe(2);
  });

  function socketPath(): string {
    return join(folder.path, 'data', 'frames.sock');
  }

  /** A ticket under a secret of the sidecar. */
  function anyTicket(): TestTicket {
    const createdNs = BigInt(Date.now()) * 1_000_000n;
    return makeTicket(aes256kSecret, rng.random, { secretId: AES256K_ID, createdNs });
  }

  function start(connection: string, pool: string): Daemon {
    return new Daemon(spawn(program, [socketPath(), connection, pool, 'o1']));
  }
});

/** The running example: lines in, lines out. */
class Daemon {
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;
  #out = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    this.ended = new Promise((resolve) => child.on('close', resolve));
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#out += text;
    });
  }

  send(authorizer: Uint8Array): void {
    this.#child.stdin!.write(`${Buffer.from(authorizer).toString('hex')}\n`);
  }

  async line(): Promise<string> {
    let over = false;
    void this.ended.then(() => {
      over = true;
    });
    while (!this.#out.includes('\n')) {
      if (over) throw new Error('the program has ended');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const end = this.#out.indexOf('\n');
    const line = this.#out.slice(0, end);
    this.#out = this.#out.slice(end + 1);
    return line;
  }

  async hex(name: string): Promise<Uint8Array> {
    const [first, second] = (await this.line()).split(' ');
    expect(first).toBe(name);
    return Uint8Array.from(Buffer.from(second!, 'hex'));
  }
}
