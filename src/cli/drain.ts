/** How the sidecar ends: asked once it drains, asked again it hurries. */

import process from 'node:process';
import type { OpenListener } from '../http/listen.ts';

/** The signals that end us. */
export interface Ending {
  /** SIGTERM or SIGINT has come. */
  readonly asked: Promise<void>;
  /** It has come once more. */
  readonly hurried: Promise<void>;
  /** The signals do again what they do by default. */
  release(): void;
}

export function endingBySignal(): Ending {
  const resolves: (() => void)[] = [];
  const [asked, hurried] = [0, 1].map(() => new Promise<void>((resolve) => resolves.push(resolve)));
  let times = 0;
  const count = (): void => resolves[Math.min(times++, 1)]!();
  for (const name of SIGNALS) process.on(name, count);
  return {
    asked: asked!,
    hurried: hurried!,
    release: () => {
      for (const name of SIGNALS) process.off(name, count);
    },
  };
}

/**
 * Serves on for the delay, so that whoever watches `/readyz` sends its requests elsewhere; then
 * takes no new connections and gives running requests the time until the deadline.
 */
export async function drain(
  listeners: readonly Pick<OpenListener, 'close'>[],
  times: { readonly drainDelayMs: number; readonly drainDeadlineMs: number },
  hurried: Promise<void>,
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const delay = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, times.drainDelayMs);
  });
  await Promise.race([delay, hurried]);
  clearTimeout(timer);
  const close = (timeoutMs: number): Promise<unknown> =>
    Promise.all(listeners.map((each) => each.close(timeoutMs)));
  await Promise.race([close(times.drainDeadlineMs), hurried.then(() => close(0))]);
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
