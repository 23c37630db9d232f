/**
 * The proof that a watch misses nothing. About each second its instance asks etcd, linearizably,
 * for the revision of the key that every transaction writes. Once the watch has come that far,
 * nothing from before the question was missed, however slow the stream is. If nobody has written
 * for a second the question itself writes (a beat), so a healthy stream is never silent, and a
 * silent one is given up.
 */

import { Deadline } from './client.ts';
import { type Json, modIs, putOp, rangeOp, rangesOf, revisionOf } from './codec.ts';
import type { EtcdContext } from './etcd.ts';
import { LAST_BEAT } from './layout.ts';

export class WatchProof {
  /** The revision of `last` that the watch has told. */
  lastSeen = 0n;
  readonly #context: EtcdContext;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #heardMs = 0;
  #provenMs = Number.NEGATIVE_INFINITY;
  /** Revisions to be reached, and when they were asked for, oldest first. */
  #asked: { readonly revision: bigint; readonly askedMs: number }[] = [];

  constructor(context: EtcdContext) {
    this.#context = context;
  }

  ageMs(): number {
    return performance.now() - this.#provenMs;
  }

  /** From now on the stream must go on; `giveUp` is called once if it does not. */
  start(generation: string, giveUp: () => void): void {
    this.stop();
    this.#heardMs = performance.now();
    this.#asked = [];
    const round = async (): Promise<void> => {
      if (this.#isDead()) return giveUp();
      try {
        await this.#question(generation);
      } catch {
        // No proof: the age tells it.
      }
      if (this.#timer === timer) schedule();
    };
    let timer: ReturnType<typeof setTimeout>;
    const schedule = (): void => {
      // Not all instances at once: one beat is enough for all.
      timer = setTimeout(() => void round(), ROUND_MS * (0.8 + 0.4 * Math.random()));
      this.#timer = timer;
    };
    schedule();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Something came. */
  heard(): void {
    this.#heardMs = performance.now();
  }

  /** At that moment the newest was `revision`. */
  ask(revision: bigint, askedMs: number): void {
    this.#asked.push({ revision, askedMs });
  }

  /** The watch has told all up to there. */
  reached(revision: bigint): void {
    while (this.#asked[0] !== undefined && this.#asked[0].revision <= revision) {
      this.#provenMs = this.#asked.shift()!.askedMs;
    }
    this.#reached = revision;
  }
  #reached = 0n;

  #isDead(): boolean {
    const now = performance.now();
    const oldest = this.#asked[0];
    return (
      now - this.#heardMs > SILENT_MAX_MS ||
      (oldest !== undefined && now - oldest.askedMs > BEHIND_MAX_MS)
    );
  }

  async #question(generation: string): Promise<void> {
    const { client, layout } = this.#context;
    const last = layout.last(generation);
    const askedMs = performance.now();
    const read = [rangeOp(last)];
    const isQuiet = askedMs - this.#heardMs > QUIET_MS;
    const beat: Json = {
      compare: [modIs(last, this.lastSeen)],
      success: [putOp(last, LAST_BEAT)],
      failure: read,
    };
    const request = isQuiet && this.lastSeen > 0n ? beat : { success: read };
    const answer = await client.call('/v3/kv/txn', request, new Deadline(QUESTION_TIMEOUT_MS));
    const found = rangesOf(answer)[0]?.kvs[0];
    const isBeat = request === beat && answer.succeeded === true;
    if (isBeat) this.ask(revisionOf(answer), askedMs);
    else if (found !== undefined) {
      this.lastSeen = found.modRevision;
      this.ask(found.modRevision, askedMs);
    }
    this.reached(this.#reached);
  }
}

const ROUND_MS = 1_000;
/** Without news for so long, the next question writes. */
const QUIET_MS = 700;
/** A stream that brings nothing, or has not brought what was asked for, is dead. */
const SILENT_MAX_MS = 3_000;
const BEHIND_MAX_MS = 1_500;
const QUESTION_TIMEOUT_MS = 2_000;
