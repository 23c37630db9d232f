/**
 * Tickets of a real cluster, new ones all the time and old ones kept, shown to a real OSD and to
 * two sidecars again and again: one that judges as Ceph's daemons do, and one for which tickets end
 * at their time.
 */

import type { ServiceAuthorizer } from '../src/cephx/client.ts';
import type { MonClient } from '../src/mon/monclient.ts';
import type { Cluster } from './ceph.ts';
import { OPERATIONS } from './ceph-operations.ts';
import { offerToDaemon, offerToSidecar, type Verdict } from './mon-offer.ts';
import type { ClusterSidecar } from './mon-sidecar.ts';
import type { Rng } from './rng.ts';

interface Kept {
  readonly authorizer: ServiceAuthorizer;
  readonly madeMs: number;
  /** As a sidecar says once it has accepted it. */
  expiresMs: number | undefined;
}

export interface RowsOptions {
  readonly osd: number;
  readonly ring: ClusterSidecar;
  readonly enforce: ClusterSidecar;
  readonly skewMs: number;
  readonly rng: Rng;
}

export class Rows {
  readonly tickets: Kept[] = [];
  /** Where the OSD and we differed and did not agree again soon. */
  readonly lasting: string[] = [];
  /** What must not be. */
  readonly wrong: string[] = [];
  readonly count = { rows: 0, accepted: 0, refused: 0, expired: 0, differed: 0, reads: 0 };
  readonly #options: RowsOptions;
  /** Until when no monitor runs: what one of us was late for before that, comes after it. */
  awayUntilMs = 0;
  #longestMs = 0;
  #isStopped = false;
  #sessions: readonly (readonly [ClusterSidecar, string])[] = [];

  constructor(options: RowsOptions) {
    this.#options = options;
  }

  /** Until `stop`; a monitor that does not answer is asked again. */
  async renew(client: MonClient): Promise<void> {
    while (!this.#isStopped) {
      try {
        const authorizer = (await client.tickets(OSD)).authorizer(OSD);
        if (!authorizer.ok) throw new Error(authorizer.reason);
        const madeMs = Date.now();
        this.tickets.push({ authorizer: authorizer.value, madeMs, expiresMs: undefined });
      } catch {
        // What counts is how many came in the end.
      }
      await sleep(300);
    }
  }

  /** A real client on one connection, whose every read has to do; until `stop`. */
  async read(cluster: Cluster, entity: string, pool: string): Promise<void> {
    const real = cluster.operations(OPERATIONS);
    const asked = { entity, pool, namespace: '', object: 'o' };
    await real.ask({ ...asked, kind: 'write' });
    while (!this.#isStopped) {
      const { rc } = (await real.ask({ ...asked, kind: 'read' })) as { rc: number };
      if (rc !== 0) this.wrong.push(`a read of the real client: ${rc}`);
      this.count.reads++;
      await sleep(300);
    }
    await real.end();
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Rows until a time: the newest ticket and three of the last ones. */
  async run(untilMs: number): Promise<void> {
    const { rng } = this.#options;
    while (this.tickets.length === 0) await sleep(50);
    if (this.#sessions.length === 0) await this.#openSessions();
    while (Date.now() < untilMs) {
      const tickets = this.tickets.slice(-TICKETS);
      const some = [tickets.at(-1)!, ...[1, 2, 3].map(() => rng.pick(tickets))];
      for (const kept of some) await this.#row(kept);
      await this.#checkSessions();
      await sleep(150);
    }
  }

  summary(): string {
    const parts = Object.entries(this.count).map(([name, n]) => `${n} ${name}`);
    return `${this.tickets.length} tickets: ${parts.join(', ')}, at most ${this.#longestMs} ms`;
  }

  async #row(kept: Kept): Promise<void> {
    const { osd, ring } = this.#options;
    const ours = await offerToSidecar(ring, kept.authorizer);
    const theirs = await offerToDaemon(osd, kept.authorizer);
    this.count.rows++;
    this.count[theirs.accepted ? 'accepted' : 'refused']++;
    if (ours.accepted) kept.expiresMs ??= Date.parse(ours.body.expires);
    if (ours.accepted !== theirs.accepted) await this.#settle(kept, ours, theirs);
    if (kept.expiresMs !== undefined) await this.#enforced(kept, kept.expiresMs, theirs);
  }

  /** A secret comes to one of us before it comes to the other: soon both have it, or neither. */
  async #settle(kept: Kept, ours: Verdict, theirs: Verdict): Promise<void> {
    const { osd, ring } = this.#options;
    const startMs = Date.now();
    this.count.differed++;
    for (let [a, b] = [ours, theirs]; a.accepted !== b.accepted; ) {
      if (Date.now() - Math.max(startMs, this.awayUntilMs) > SETTLE_MS) {
        const ageMs = startMs - kept.madeMs;
        this.lasting.push(`${ageMs} ms old: ${a.why}, the OSD ${b.why}`);
        return;
      }
      await sleep(100);
      a = await offerToSidecar(ring, kept.authorizer);
      b = await offerToDaemon(osd, kept.authorizer);
    }
    this.#longestMs = Math.max(this.#longestMs, Date.now() - startMs);
  }

  /** None after its time and the skew; before its time every one that the OSD takes. */
  async #enforced(kept: Kept, expiresMs: number, theirs: Verdict): Promise<void> {
    const { enforce, skewMs } = this.#options;
    const askedMs = Date.now();
    for (;;) {
      const startMs = Date.now();
      const verdict = await offerToSidecar(enforce, kept.authorizer);
      if (verdict.accepted) {
        const lateMs = startMs - expiresMs;
        if (lateMs >= skewMs) this.wrong.push(`accepted ${lateMs} ms after it expired`);
        return;
      }
      if (verdict.why === 'ticket.expired') {
        this.count.expired++;
        if (Date.now() < expiresMs) this.wrong.push('"ticket.expired" before its time');
        return;
      }
      if (verdict.why !== 'authorizer.secret_unknown') this.wrong.push(verdict.why);
      if (!theirs.accepted) return;
      if (Date.now() >= expiresMs) {
        const validMs = expiresMs - askedMs;
        if (validMs > LEAST_VALID_MS) this.wrong.push(`refused, and valid for ${validMs} ms`);
        return;
      }
      await sleep(100);
    }
  }

  async #openSessions(): Promise<void> {
    const { ring, enforce } = this.#options;
    const { authorizer } = this.tickets.at(-1)!;
    const opened: [ClusterSidecar, string][] = [];
    for (const sidecar of [ring, enforce]) {
      const { body, why } = await offerToSidecar(sidecar, authorizer);
      if (body.session === undefined) throw new Error(`no session: ${why}`);
      opened.push([sidecar, body.session]);
    }
    this.#sessions = opened;
  }

  /** A connection is never cut, however old its ticket. */
  async #checkSessions(): Promise<void> {
    for (const [sidecar, session] of this.#sessions) {
      const op = { pool: 'p', object: 'o', read: true };
      const { decision, reason } = await sidecar.call('/v1/check', { service: 'osd', session, op });
      if (decision !== true) this.wrong.push(`a session was cut: ${reason.code}`);
    }
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const OSD = 4;
/** The secrets of older ones are gone for long. */
const TICKETS = 100;
/** Each of us fetches within some seconds of a rotation; a busy machine takes longer. */
const SETTLE_MS = 15_000;
/** In this time a secret that we have not yet must have come. */
const LEAST_VALID_MS = 3_000;
