/**
 * Sessions of administrators over TCP. A session's key stays in the core, where revocation and the
 * end of the ticket act on it; here are its handle, its owner and what it has seen. Known to this
 * process only.
 */

import { ENTITY_TYPE_MON } from '../../assembly/abi.ts';
import type { EntityName } from '../cephx/protocol.ts';
import type { Engine } from '../engine/engine.ts';
import type { Policy } from '../engine/types.ts';
import { encodeHex } from './codec.ts';
import { keyLabel } from './signature.ts';

export interface AdminSession {
  readonly handle: string;
  /** Handle of the session in the core. */
  readonly core: bigint;
  readonly name: EntityName;
  /** End of the ticket, nanoseconds since 1970. */
  readonly expiresNs: bigint;
  readonly seen: SequenceWindow;
  usedNs: bigint;
}

/** The keys of both directions. */
export interface AdminKeys {
  readonly request: Uint8Array;
  readonly response: Uint8Array;
}

export class AdminSessions {
  readonly #engine: Pick<Engine, 'sign' | 'sessionRelease'>;
  readonly #policy: () => Partial<Policy>;
  readonly #random: (n: number) => Uint8Array;
  /** In order of last use. */
  readonly #byHandle = new Map<string, AdminSession>();

  constructor(
    engine: Pick<Engine, 'sign' | 'sessionRelease'>,
    policy: () => Partial<Policy>,
    random: (n: number) => Uint8Array,
  ) {
    this.#engine = engine;
    this.#policy = policy;
    this.#random = random;
  }

  /** Keeps a session of the core. One entity cannot drive out the sessions of others. */
  add(core: bigint, name: EntityName, expiresNs: bigint, nowNs: bigint): AdminSession {
    this.#sweep(nowNs);
    const own = [...this.#byHandle.values()].filter((each) => sameName(each.name, name));
    if (own.length >= SESSIONS_PER_ENTITY_MAX) this.#drop(own[0]!);
    if (this.#byHandle.size >= SESSIONS_MAX) this.#drop(this.#byHandle.values().next().value!);
    const handle = encodeHex(this.#random(HANDLE_LEN));
    const session = {
      ...{ handle, core, name, expiresNs },
      seen: new SequenceWindow(),
      usedNs: nowNs,
    };
    this.#byHandle.set(handle, session);
    return session;
  }

  /** The session and its keys, unless it has ended: idle, ticket over, or revoked. */
  find(
    handle: string,
    nowNs: bigint,
  ): { readonly session: AdminSession; readonly keys: AdminKeys } | undefined {
    const session = this.#byHandle.get(handle);
    if (session === undefined) return undefined;
    const request = this.#key(session, 'req', nowNs);
    const response = this.#key(session, 'resp', nowNs);
    const over = nowNs >= session.expiresNs || nowNs - session.usedNs >= IDLE_NS;
    if (request !== undefined && response !== undefined && !over) {
      return { session, keys: { request, response } };
    }
    this.#drop(session);
    return undefined;
  }

  /** Somebody who holds the keys has used it. */
  used(session: AdminSession, nowNs: bigint): void {
    session.usedNs = nowNs;
    this.#byHandle.delete(session.handle);
    this.#byHandle.set(session.handle, session);
  }

  /** Ends all. */
  close(): void {
    for (const session of [...this.#byHandle.values()]) this.#drop(session);
  }

  /** Undefined if the core does not stand by the session any more. */
  #key(
    { core, handle }: AdminSession,
    direction: 'req' | 'resp',
    nowNs: bigint,
  ): Uint8Array | undefined {
    const host = { nowNs, policy: this.#policy() };
    const label = keyLabel(direction, handle);
    // This scheme is HMAC-SHA256 under the session key.
    const verdict = this.#engine.sign(ENTITY_TYPE_MON, core, 'msgr2-auth', label, host);
    return verdict.decision ? verdict.reply : undefined;
  }

  #sweep(nowNs: bigint): void {
    for (const session of this.#byHandle.values()) {
      if (nowNs - session.usedNs < IDLE_NS) return;
      this.#drop(session);
    }
  }

  #drop(session: AdminSession): void {
    this.#byHandle.delete(session.handle);
    this.#engine.sessionRelease(session.core);
  }
}

/** Which sequence numbers were there: each once, and none that is older than the newest by 64. */
export class SequenceWindow {
  #newest = -1n;
  /** Bit i: the newest less i was there. */
  #bits = 0n;

  /** Takes a number; false if it was there or is too old. */
  take(seq: bigint): boolean {
    if (seq > this.#newest) {
      const ahead = seq - this.#newest;
      this.#bits = ahead >= WINDOW ? 1n : ((this.#bits << ahead) | 1n) & WINDOW_MASK;
      this.#newest = seq;
      return true;
    }
    const behind = this.#newest - seq;
    if (behind >= WINDOW) return false;
    const bit = 1n << behind;
    if ((this.#bits & bit) !== 0n) return false;
    this.#bits |= bit;
    return true;
  }
}

function sameName(a: EntityName, b: EntityName): boolean {
  return a.type === b.type && a.id === b.id;
}

const HANDLE_LEN = 16;
const SESSIONS_MAX = 1_024;
const SESSIONS_PER_ENTITY_MAX = 64;
const IDLE_NS = 900_000_000_000n;
const WINDOW = 64n;
const WINDOW_MASK = (1n << WINDOW) - 1n;
