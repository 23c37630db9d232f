/**
 * HTTP session handles. A handle is 16 random bytes, valid for the caller that got it, never
 * reused; behind it lies a session of the core.
 */

import { encodeHex } from './codec.ts';

export interface Session {
  /** Handle of the session in the core. */
  readonly core: bigint;
  /** The caller that may use it. */
  readonly caller: string;
  /** Entity type of the service. */
  readonly service: number;
  /** Caps text of the ticket, for explanations. */
  readonly caps: string;
  /** When the challenge was answered (a session that came by receipt is as old as that). */
  readonly answeredNs: bigint;
}

export class Sessions {
  readonly #random: (n: number) => Uint8Array;
  readonly #max: number;
  /** In order of last use. */
  readonly #byHandle = new Map<string, Session>();

  constructor(random: (n: number) => Uint8Array, max: number) {
    this.#random = random;
    this.#max = max;
  }

  get size(): number {
    return this.#byHandle.size;
  }

  /** Keeps a session: its handle, and the core handle of the session that had to go for it. */
  add(session: Session): { handle: string; evicted: bigint | undefined } {
    let evicted: bigint | undefined;
    if (this.#byHandle.size >= this.#max) {
      const [oldest, held] = this.#byHandle.entries().next().value!;
      this.#byHandle.delete(oldest);
      evicted = held.core;
    }
    const handle = encodeHex(this.#random(HANDLE_LEN));
    this.#byHandle.set(handle, session);
    return { handle, evicted };
  }

  /** The session, if this caller owns it. */
  find(handle: string, caller: string): Session | undefined {
    const session = this.#byHandle.get(handle);
    if (session === undefined || session.caller !== caller) return undefined;
    this.#byHandle.delete(handle);
    this.#byHandle.set(handle, session);
    return session;
  }

  /** Forgets a handle; false if there was none. */
  remove(handle: string): boolean {
    return this.#byHandle.delete(handle);
  }
}

const HANDLE_LEN = 16;
