/**
 * The frames socket of the sidecar: connecting is the proof, as on its unix socket, and a session
 * is good for the connection that opened it and ends with it.
 */

import { rmSync } from 'node:fs';
import { type Ended, type FramePeer, listenFrames } from '../frames/listen.ts';
import { callerOf } from './callers.ts';
import type { AppDeps } from './deps.ts';
import { FrameHost } from './framehost.ts';
import { FrameOwner } from './frameowners.ts';
import { bindUnix, type OpenListener } from './listen.ts';

/** Opens the socket. Throws ListenError. */
export async function openFramesSocket(deps: AppDeps, path: string): Promise<OpenListener> {
  const host = new FrameHost(deps);
  const caller = callerOf(new Headers(), { kind: 'unix' });
  let count = 0;
  const open = (): FramePeer => {
    count += 1;
    const owner = new FrameOwner(caller, `frames-${count}`);
    deps.observe?.framesOpened();
    return {
      answer: (records) => {
        try {
          return host.answer(owner, records);
        } catch (error) {
          const { name, message } = error instanceof Error ? error : UNKNOWN_ERROR;
          deps.log({ level: 'error', event: 'error', owner: owner.name, name, message });
          throw error;
        }
      },
      close: () => host.close(owner),
    };
  };
  const endings = new Endings(deps);
  const ended = (why: Ended): void => {
    endings.add(why);
    deps.observe?.framesEnded(why);
  };
  const closed = (): void => deps.observe?.framesClosed();
  const waits = (): boolean => deps.observe?.behind() === true;
  const opened = await bindUnix(path, () => listenFrames(path, { open, ended, closed, waits }));
  return {
    name: `unix:${path}`,
    async close(timeoutMs) {
      await opened.close(timeoutMs);
      rmSync(path, { force: true });
    },
  };
}

/** Clients cause these lines: each reason has one a second, with how many it stands for. */
class Endings {
  readonly #deps: Pick<AppDeps, 'log'>;
  #counts = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(deps: Pick<AppDeps, 'log'>) {
    this.#deps = deps;
  }

  add(why: string): void {
    this.#counts.set(why, (this.#counts.get(why) ?? 0) + 1);
    if (this.#timer === undefined) this.#tell();
  }

  #tell(): void {
    this.#timer = undefined;
    if (this.#counts.size === 0) return;
    for (const [why, count] of this.#counts) {
      const message = 'connections ended';
      this.#deps.log({ level: 'info', event: 'frames', message, why, count });
    }
    this.#counts = new Map();
    this.#timer = setTimeout(() => this.#tell(), TELL_MS);
    this.#timer.unref?.();
  }
}

const TELL_MS = 1_000;
const UNKNOWN_ERROR = { name: 'unknown', message: '' };
