/**
 * Tells systemd how the service is (sd_notify(3)), where it asks for that: NOTIFY_SOCKET. Node has
 * no datagrams on unix sockets, so the program systemd-notify sends them: one short process at
 * start, reload and end, and three in each time of the watchdog.
 */

import { execFile } from 'node:child_process';
import process from 'node:process';
import type { LogRecord } from '../http/deps.ts';

export class SystemdNotifier {
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #log: (record: LogRecord) => void;
  /** One after the other: READY must not overtake RELOADING. */
  #last: Promise<void> = Promise.resolve();
  #failed = false;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(env: Readonly<Record<string, string | undefined>>, log: (record: LogRecord) => void) {
    this.#env = env;
    this.#log = log;
  }

  /** Ready, and from now on alive. The watchdog hears of us as long as the event loop turns. */
  ready(): Promise<void> {
    const periodMs = watchdogMs(this.#env);
    if (periodMs !== undefined && this.#timer === undefined) {
      this.#timer = setInterval(() => void this.#notify('WATCHDOG=1'), periodMs / 3);
    }
    return this.#notify('READY=1', 'STATUS=serving');
  }

  reloading(): Promise<void> {
    return this.#notify('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`);
  }

  stopping(): Promise<void> {
    return this.#notify('STOPPING=1', 'STATUS=draining');
  }

  /** Sends what is under way, and nothing more. */
  close(): Promise<void> {
    clearInterval(this.#timer);
    return this.#last;
  }

  #notify(...state: readonly string[]): Promise<void> {
    if ((this.#env.NOTIFY_SOCKET ?? '') === '') return Promise.resolve();
    this.#last = this.#last.then(() => this.#send(state));
    return this.#last;
  }

  #send(state: readonly string[]): Promise<void> {
    const options = { env: definedOf(this.#env), timeout: SEND_MS };
    return new Promise((resolve) => {
      execFile('systemd-notify', state, options, (error) => {
        if (error !== null && !this.#failed) {
          const message = `cannot run systemd-notify: ${error.code ?? 'failed'}`;
          this.#log({ level: 'warn', event: 'systemd', message });
        }
        // Once is enough: it will be the same at the next beat.
        this.#failed = error !== null;
        resolve();
      });
    });
  }
}

/** Undefined: no watchdog waits for this process. */
function watchdogMs(env: Readonly<Record<string, string | undefined>>): number | undefined {
  const { WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = env;
  if (usec === undefined || !/^[1-9][0-9]{3,14}$/.test(usec)) return undefined;
  return pid === undefined || pid === String(process.pid) ? Number(usec) / 1_000 : undefined;
}

function definedOf(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const entries = Object.entries(env).filter((entry): entry is [string, string] => !!entry[1]);
  return Object.fromEntries(entries);
}

const SEND_MS = 5_000;
