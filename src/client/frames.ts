/**
 * Frames as a client writes and reads them: questions to request records, verdict records to
 * answers. Layouts: assembly/abi.ts, and src/frames/layout.ts for what the sidecar adds.
 */

import * as abi from '../../assembly/abi.ts';
import { RecordTooLarge, RecordWriter } from '../engine/records.ts';
import type { Address, MdsOp, OsdOp, ServiceId } from '../engine/types.ts';
import { Verdict } from '../engine/verdict.ts';
import { FRAME_LEN_MAX, VERDICT_CONNECTION_SECRET, VERDICT_TOKEN } from '../frames/layout.ts';

/** "Who is this?" The two steps are those of POST /v1/verify. */
export interface VerifyQuestion {
  readonly service: ServiceId;
  /** CephXAuthorizer, parts a and b. */
  readonly authorizer: Uint8Array;
  readonly peer?: Address | undefined;
  /** 1 to 64 bytes of UTF-8 that the caller never uses for another connection. */
  readonly connection?: string | undefined;
  /** The token of the answer that required a challenge. */
  readonly challengeState?: string | undefined;
  /** The token of the answer that accepted the same authorizer before. */
  readonly receipt?: string | undefined;
  /** Give the sealed challenge or the reply for the client. */
  readonly reply?: boolean;
  /** With `reply`: a fresh connection secret in the reply, and for ourselves. */
  readonly secure?: boolean;
  /** Open a session, good for this connection. */
  readonly session?: boolean;
  /** Entity, caps and receipt in the answer. Default true. */
  readonly tail?: boolean;
}

/** "May it?" */
export interface CheckQuestion {
  readonly service: ServiceId;
  /** Handle of a session that was opened on this connection. */
  readonly session: bigint;
  readonly op: OsdOp | MdsOp;
  readonly peer?: Address | undefined;
  readonly explain?: boolean;
  /** The entity in the answer. Default false. */
  readonly tail?: boolean;
}

/** A verdict with what the sidecar adds. */
export class FrameVerdict extends Verdict {
  readonly #record: DataView;
  readonly #verify: boolean;

  /**
   * @param record one whole verdict record
   * @param verify it answers a verify record: only then does the sidecar add anything
   */
  constructor(record: Uint8Array, verify: boolean) {
    const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
    super(view);
    this.#record = view;
    this.#verify = verify && record.length >= abi.TAIL_END;
  }

  /** The sidecar does not see its store, so a revocation may be missing. */
  get stale(): boolean {
    return (this.info & abi.INFO_STALE) !== 0;
  }

  /** The challenge state or the receipt. */
  get token(): string | undefined {
    if (!this.#verify) return undefined;
    const at = this.#record.getUint32(VERDICT_TOKEN, true);
    const length = this.#record.getUint32(VERDICT_TOKEN + 4, true);
    return length === 0 ? undefined : utf8.decode(this.bytes.subarray(at, at + length));
  }

  /** 64 bytes, if asked for with `secure`. */
  get connectionSecret(): Uint8Array | undefined {
    if (!this.#verify) return undefined;
    const at = this.#record.getUint32(VERDICT_CONNECTION_SECRET, true);
    return at === 0 ? undefined : this.bytes.subarray(at, at + abi.CONNECTION_SECRET_LEN);
  }
}

/** Collects frames until they are sent. */
export class FrameWriter {
  #bytes = new Uint8Array(BUFFER_LEN);
  #writer = new RecordWriter(this.#bytes);

  get length(): number {
    return this.#writer.at;
  }

  /** @throws RangeError for a question that is longer than a frame */
  verify(question: VerifyQuestion, tag: number): void {
    this.#write((writer) => {
      const begin = writer.at;
      writer.verify({ ...question, challenge: { mode: 'off' } }, tag);
      this.#part(begin, abi.VERIFY_CONNECTION, question.connection);
      this.#part(begin, abi.VERIFY_CHALLENGE_STATE, question.challengeState);
      this.#part(begin, abi.VERIFY_RECEIPT, question.receipt);
    });
  }

  /** @throws RangeError for a question that is longer than a frame */
  check(question: CheckQuestion, tag: number): void {
    this.#write((writer) => writer.check({ ...question, handle: question.session }, tag));
  }

  /** What was written since the last time; the bytes are the caller's. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#writer.at);
    this.#writer.at = 0;
    return taken;
  }

  /** One frame as a whole, in a larger buffer if it has to be. */
  #write(write: (writer: RecordWriter) => void): void {
    const begin = this.#writer.at;
    for (;;) {
      try {
        write(this.#writer);
        break;
      } catch (error) {
        this.#writer.at = begin;
        const length = this.#bytes.length * 2;
        if (!(error instanceof RecordTooLarge) || length > BUFFER_LEN_MAX) throw error;
        const larger = new Uint8Array(length);
        larger.set(this.#bytes);
        this.#bytes = larger;
        this.#writer = new RecordWriter(larger);
        this.#writer.at = begin;
      }
    }
    if (this.#writer.at - begin <= FRAME_LEN_MAX) return;
    const length = this.#writer.at - begin;
    this.#writer.at = begin;
    throw new RangeError(`Cannot send a frame of ${length} bytes: at most ${FRAME_LEN_MAX}`);
  }

  /** Puts a text behind the record that starts at `begin` and ends where the writer stands. */
  #part(begin: number, field: number, text: string | undefined): void {
    if (text === undefined) return;
    const bytes = utf8Out.encode(text);
    const at = this.#writer.at;
    // The next record begins at a multiple of 8.
    const end = (at + bytes.length + 7) & ~7;
    if (end > this.#bytes.length) throw new RecordTooLarge('no room for a part');
    this.#bytes.set(bytes, at);
    this.#bytes.fill(0, at + bytes.length, end);
    const view = new DataView(this.#bytes.buffer);
    view.setUint32(begin + field, at - begin, true);
    view.setUint32(begin + field + 4, bytes.length, true);
    view.setUint32(begin + abi.RECORD_BYTES, end - begin, true);
    this.#writer.at = end;
  }
}

/** In a check: the session that the verify before it has opened. */
export const SESSION_BEFORE: bigint =
  (BigInt(abi.HANDLE_PREVIOUS) << 32n) | BigInt(abi.HANDLE_PREVIOUS);

const BUFFER_LEN = 65_536;
const BUFFER_LEN_MAX = 4_194_304;
const utf8 = new TextDecoder();
const utf8Out = new TextEncoder();
