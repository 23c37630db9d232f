/** A sidecar with a store of users, as a process of its own, and commands through its socket. */

import { join } from 'node:path';
import process from 'node:process';
import { type HttpAnswer, type Spawned, send, spawnCephgate } from './spawn.ts';

export interface AdminSidecar extends Spawned {
  /** Its data folder, with the store `cephgate.db` and the keyrings. */
  readonly data: string;
  readonly adminPath: string;
  /** A command in the words of its JSON form; rejects with the system's error. */
  command(body: Readonly<Record<string, unknown>>): Promise<HttpAnswer>;
  /** Sends the signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
}

/** Starts `cephgate serve` on the store in `folder`, and waits until it can be administered. */
export async function spawnAdmin(
  folder: string,
  env: Readonly<Record<string, string>> = {},
): Promise<AdminSidecar> {
  const data = join(folder, 'data');
  const spawned = startAdmin(folder, env);
  let over = false;
  spawned.ended.finally(() => {
    over = true;
  });
  while (!spawned.out.includes('administration') && !over) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  if (over) throw new Error(`the sidecar does not serve: ${spawned.out}${spawned.err}`);
  const adminPath = join(data, 'admin.sock');
  return Object.assign(spawned, {
    data,
    adminPath,
    command: (body: Readonly<Record<string, unknown>>) =>
      send({ socketPath: adminPath }, '/v1/admin/command', body),
    stop(signal: NodeJS.Signals = 'SIGTERM') {
      // Not by child.kill: Deno then reports the signal as the end, whatever the end was.
      process.kill(spawned.child.pid!, signal);
      return spawned.ended;
    },
  });
}

/** The same without the wait. */
export function startAdmin(folder: string, env: Readonly<Record<string, string>> = {}): Spawned {
  const spawned = spawnCephgate(['serve', ...SERVE], { cwd: folder, env });
  started.add(spawned);
  spawned.ended.finally(() => started.delete(spawned));
  return spawned;
}

/** Ends what a failed test left running. */
export async function endStarted(): Promise<void> {
  for (const spawned of started) spawned.raise('SIGKILL');
  await Promise.all([...started].map(({ ended }) => ended));
}

const started = new Set<Spawned>();

/** What commands imitate: the release that the real programs on this machine have. */
export const AS_CEPH_16: Readonly<Record<string, string>> = {
  CEPHGATE_RELEASE: '16',
  CEPHGATE_GUARD: 'off',
};

const SERVE = ['--listen', 'unix:data/cephgate.sock', '--store', 'sqlite:data/cephgate.db'];
