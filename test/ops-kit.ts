/** A sidecar with listeners of one's own, and certificates made for the test. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { join } from 'node:path';
import type { HttpAnswer, Spawned } from './spawn.ts';
import { spawnCephgate } from './spawn.ts';

export const hasOpenssl: boolean = spawnSync('openssl', ['version']).status === 0;

/** A CA and what it signed, as files in one folder. */
export class Authority {
  readonly #folder: string;

  constructor(folder: string, name = 'ca') {
    this.#folder = folder;
    this.#run('req', '-x509', ...NEW_KEY, '-keyout', `${name}.key`, '-out', `${name}.pem`);
  }

  /** Makes NAME.pem and NAME.key; the extension says what the certificate is for. */
  issue(name: string, altNames: string, commonName: string = name, ca = 'ca'): void {
    writeFileSync(join(this.#folder, 'ext'), altNames === '' ? '' : `subjectAltName=${altNames}\n`);
    const subject = ['-subj', `/CN=${commonName}`];
    this.#run(
      'req',
      ...NEW_KEY.slice(0, -4),
      ...subject,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
    );
    const signer = ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial', '-days', '2'];
    this.#run(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      ...signer,
      '-extfile',
      'ext',
      '-out',
      `${name}.pem`,
    );
  }

  read(file: string): string {
    return readFileSync(join(this.#folder, file), 'utf8');
  }

  #run(...args: readonly string[]): void {
    const done = spawnSync('openssl', args, { cwd: this.#folder, encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`openssl ${args[0]}: ${done.stderr}`);
  }
}

/** Starts `cephgate serve ARGS` in the folder and waits for its first line. */
export async function startServe(
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Spawned & { readonly port: number; readonly line: string }> {
  const spawned = spawnCephgate(['serve', ...args], { cwd: folder, env });
  const ended = watched(spawned).ended.then(() => true);
  while (!spawned.out.includes('\n')) {
    if (await Promise.race([ended, pause(10)])) throw new Error(`it ended: ${spawned.err}`);
  }
  const line = spawned.out.split('\n')[0]!;
  return Object.assign(spawned, { line, port: Number(/https?:\S*:([0-9]+)/.exec(line)?.[1]) });
}

/** A process that stopLeft knows of. */
export function watched<S extends Spawned>(spawned: S): S {
  running.add(spawned);
  void spawned.ended.then(() => running.delete(spawned));
  return spawned;
}

/** Ends what a failed test has left running: `afterEach(stopLeft)`. */
export async function stopLeft(): Promise<void> {
  for (const spawned of running) {
    spawned.raise('SIGKILL');
    await spawned.ended;
  }
}

/** The next log line of the event after `act`, waited for. */
export async function logged(
  spawned: Spawned,
  event: string,
  act: () => void,
): Promise<Record<string, unknown>> {
  const before = linesOf(spawned, event).length;
  act();
  for (let waited = 0; waited < 10_000; waited += 10) {
    const lines = linesOf(spawned, event);
    if (lines.length > before) return lines[before]!;
    await pause(10);
  }
  throw new Error(`no event ${event}: ${spawned.err}`);
}

function linesOf(spawned: Spawned, event: string): Record<string, unknown>[] {
  const whole = spawned.err.slice(0, spawned.err.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .filter((record) => record.event === event);
}

/** One request over TLS, on a connection of its own. */
export function sendTls(
  options: RequestOptions,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<HttpAnswer> {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const all = { 'content-type': 'application/json', ...headers };
  const method = payload === undefined ? 'GET' : 'POST';
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      { method, host: '127.0.0.1', agent: false, ...options, path, headers: all },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => {
          const { statusCode, headers: got } = response;
          const parsed = text.startsWith('{') ? JSON.parse(text) : undefined;
          resolve({ status: statusCode ?? 0, headers: got, text, body: parsed });
        });
      },
    );
    request.on('error', reject);
    request.setTimeout(15_000, () => request.destroy(new Error('no answer')));
    request.end(payload);
  });
}

export function pause(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), ms));
}

const running = new Set<Spawned>();
const NEW_KEY = [
  ...['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
  ...['-days', '2', '-subj', '/CN=test CA'],
];
