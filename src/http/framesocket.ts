/**
 * The frames socket of the sidecar: connecting is the proof, as on its unix socket, and a session
 * is good for the connection that opened it and ends with it.
 */

import { rmSync } from 'node:fs';
import { type FramePeer, listenFrames } from '../frames/listen.ts';
import { callerOf } from './callers.ts';
import type { AppDeps } from './deps.ts';
import { FrameHost } from './framehost.ts';
import { FrameOwner } from './frameowners.ts';
import { bindUnix, type OpenListener } from './listen.ts';

/** Opens the socket. Throws ListenError. */
export async function openFramesSocket(deps: AppDeps, path: string): Promise<OpenListener> {
  const host = new FrameHost(deps);
  const caller = callerOf(new Request('http://localhost/'), { kind: 'unix' });
  let count = 0;
  const open = (): FramePeer => {
    count += 1;
    const owner = new FrameOwner(caller, `frames-${count}`);
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
  const ended = (why: string): void =>
    deps.log({ level: 'info', event: 'frames', message: 'connection ended', why });
  const opened = await bindUnix(path, () => listenFrames(path, { open, ended }));
  return {
    name: `unix:${path}`,
    async close(timeoutMs) {
      await opened.close(timeoutMs);
      rmSync(path, { force: true });
    },
  };
}

const UNKNOWN_ERROR = { name: 'unknown', message: '' };
