/**
 * The command as a process of its own, under the runtime that runs the tests: Node runs what
 * `npm test` built, Deno and Bun the sources.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest, type RequestOptions } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** A process and what it has said so far. */
export interface Spawned {
  readonly child: ChildProcess;
  raise(signal: NodeJS.Signals): void;
  out: string;
  err: string;
  /** Exit code, or the name of the signal. */
  readonly ended: Promise<number | string>;
}

export interface SpawnOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Another file of src instead of the command: `cli/demo`. */
  readonly module?: string;
  /** A file that takes what goes out. */
  readonly stdout?: string;
}

/** Starts `cephgate ARGS`. The environment holds no setting of ours but those given. */
export function spawnCephgate(args: readonly string[], options: SpawnOptions = {}): Spawned {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('CEPHGATE_'));
  const env = { ...Object.fromEntries(inherited), ...options.env };
  const argv = [process.execPath, ...runtimeArgs(options.module ?? 'cli/main'), ...args];
  if (options.stdout !== undefined) {
    argv.unshift('sh', '-c', 'exec "$@" > "$0"', options.stdout);
  }
  const child = spawn(argv[0]!, argv.slice(1), { cwd: options.cwd ?? root, env });
  const ended = new Promise<number | string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  const spawned: Spawned = {
    child,
    out: '',
    err: '',
    ended,
    // Not by child.kill: Deno then reports the signal as the end, whatever the end was.
    raise: (signal) => void process.kill(child.pid!, signal),
  };
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    spawned.out += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    spawned.err += text;
  });
  return spawned;
}

function runtimeArgs(module: string): string[] {
  const source = join(root, 'src', `${module}.ts`);
  if ('Deno' in globalThis) return ['run', '-A', source];
  if (process.versions.bun !== undefined) return [source];
  // A build of one's own, for those who may not touch dist/.
  const dist = process.env.CEPHGATE_TEST_DIST ?? join(root, 'dist');
  return [join(dist, 'src', `${module}.js`)];
}

/** A sidecar that listens. */
export interface SpawnedSidecar extends Spawned {
  readonly socketPath: string;
  readonly host: string;
  readonly port: number;
  /** Sends the signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
}

/** Starts `cephgate serve` in `folder` on a free port and `data/cephgate.sock`, and waits. */
export async function spawnSidecar(
  folder: string,
  args: readonly string[] = ['--listen', 'unix:data/cephgate.sock', '--listen', 'tcp:127.0.0.1:0'],
  more: readonly string[] = [],
): Promise<SpawnedSidecar> {
  const spawned = spawnCephgate(['serve', ...args, ...more], { cwd: folder });
  const line = await firstLine(spawned);
  const names = /^listening on http:\/\/([0-9.]+):([0-9]+), unix:(.+)$/.exec(line);
  if (names === null) throw new Error(`the sidecar does not listen: ${line} ${spawned.err}`);
  return Object.assign(spawned, {
    host: names[1]!,
    port: Number(names[2]),
    socketPath: names[3]!,
    stop(signal: NodeJS.Signals = 'SIGTERM') {
      spawned.raise(signal);
      return spawned.ended;
    },
  });
}

async function firstLine(spawned: Spawned): Promise<string> {
  let over = false;
  spawned.ended.finally(() => {
    over = true;
  });
  while (!spawned.out.includes('\n') && !over) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return spawned.out.split('\n')[0]!;
}

/** An answer over a real connection. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects to be there
  readonly body: any;
}

/** One request with node:http; a body is POSTed as JSON. Text is sent as it is. */
export function send(
  where: RequestOptions,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<HttpAnswer> {
  const payload = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const all = { 'content-type': 'application/json', ...headers };
  const options = { method: payload === undefined ? 'GET' : 'POST', ...where, path, headers: all };
  return new Promise((resolve, reject) => {
    const request = httpRequest(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode, headers: got } = response;
        resolve({ status: statusCode ?? 0, headers: got, text, body: parsed(text) });
      });
    });
    request.on('error', reject);
    // An answer can come while we still write; what fails after it is nobody's affair.
    request.on('socket', (socket) => {
      if (!guarded.has(socket)) socket.on('error', () => undefined);
      guarded.add(socket);
    });
    const late = Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' });
    request.setTimeout(ANSWER_MS, () => request.destroy(late));
    request.end(payload);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Deno answers a request that it refuses and leaves the closing to the client. */
export function hangUpOnDeno(socket: Socket): void {
  if ('Deno' in globalThis) setTimeout(() => socket.destroy(), 200);
}

/** A folder that goes away with the test file: `afterAll(folder.remove)`. */
export function temporaryFolder(name: string): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `cephgate-${name}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

const guarded = new WeakSet<Socket>();
const ANSWER_MS = 15_000;
