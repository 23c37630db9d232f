/**
 * A verdict record of the core, decoded on demand.
 */

import * as abi from '../../assembly/abi.ts';
import { CHECK_NAMES, type CheckName, REASON_CODES, type ReasonCode } from './codes.ts';
import type { KeyTypeName, Utime } from './types.ts';

/** One line of an explanation: how one written grant fared. */
export interface GrantDetail {
  readonly grant: number;
  /** CONDITION_* that failed first, 0 for the grant that allowed. */
  readonly condition: number;
  /** Byte span of the grant in the caps text. */
  readonly start: number;
  readonly end: number;
}

/** Key material that left the core for one record. */
export interface VerdictSecrets {
  readonly nonce: bigint;
  /** Encoded CryptoKey. */
  readonly sessionKey: Uint8Array;
  /** 64 bytes, or none. */
  readonly connectionSecret: Uint8Array | undefined;
}

const KEY_TYPE_NAMES: readonly KeyTypeName[] = ['none', 'aes', 'aes256k'];
const utf8 = new TextDecoder();

/**
 * A verdict. Its bytes are a copy that no later call changes; fields are decoded when asked for.
 * (Verdicts made in a row may share one buffer, as small Node buffers do.)
 */
export class Verdict {
  readonly secrets: VerdictSecrets | undefined;
  readonly #view: DataView;
  readonly #at: number;

  /** @param view a view in which a verdict record starts at `at` */
  constructor(view: DataView, at = 0, secrets?: VerdictSecrets) {
    this.#view = view;
    this.#at = at;
    this.secrets = secrets;
  }

  /** The record itself, VERDICT_BYTES long. */
  get bytes(): Uint8Array {
    return this.#slice(0, this.#u32(abi.VERDICT_BYTES));
  }
  get decision(): boolean {
    return this.#view.getUint8(this.#at + abi.VERDICT_DECISION) === 1;
  }
  /** What a caller may see. */
  get reason(): ReasonCode {
    return REASON_CODES[this.#view.getUint16(this.#at + abi.VERDICT_REASON, true)] as ReasonCode;
  }
  /** The exact check, for the operator's log only. */
  get check(): CheckName {
    return CHECK_NAMES[this.checkNumber] as CheckName;
  }
  get checkNumber(): number {
    return this.#view.getUint16(this.#at + abi.VERDICT_CHECK, true);
  }
  get reasonNumber(): number {
    return this.#view.getUint16(this.#at + VERDICT_REASON, true);
  }
  get tag(): number {
    return this.#u32(abi.VERDICT_TAG);
  }
  get source(): number {
    return this.#view.getUint8(this.#at + abi.VERDICT_SOURCE);
  }
  /** CONDITION_* of the nearest miss. */
  get condition(): number {
    return this.#view.getUint16(this.#at + abi.VERDICT_CONDITION, true);
  }
  /** Index of the grant, as written, that allowed or missed nearest. */
  get grant(): number | undefined {
    const grant = this.#u32(abi.VERDICT_GRANT);
    return grant === 0xffffffff ? undefined : grant;
  }
  get info(): number {
    return this.#u32(abi.VERDICT_INFO);
  }
  get secretId(): bigint {
    return this.#view.getBigUint64(this.#at + abi.VERDICT_SECRET_ID, true);
  }
  get globalId(): bigint {
    return this.#view.getBigUint64(this.#at + abi.VERDICT_GLOBAL_ID, true);
  }
  get created(): Utime {
    return this.#utime(abi.VERDICT_CREATED);
  }
  get expires(): Utime {
    return this.#utime(abi.VERDICT_EXPIRES);
  }
  /** Handle of the session or caps, 0n for none. */
  get handle(): bigint {
    return this.#view.getBigUint64(this.#at + abi.VERDICT_HANDLE, true);
  }
  get allowAll(): boolean {
    return (this.info & abi.INFO_ALLOW_ALL) !== 0;
  }
  get expired(): boolean {
    return (this.info & abi.INFO_EXPIRED) !== 0;
  }
  get haveChallenge(): boolean {
    return (this.info & abi.INFO_HAVE_CHALLENGE) !== 0;
  }
  get proven(): boolean {
    return (this.info & abi.INFO_PROVEN) !== 0;
  }
  get challenged(): boolean {
    return (this.info & abi.INFO_CHALLENGED) !== 0;
  }
  get ticketKeyType(): KeyTypeName | undefined {
    return KEY_TYPE_NAMES[(this.info >>> abi.INFO_TICKET_TYPE_SHIFT) & abi.INFO_TYPE_MASK];
  }
  get sessionKeyType(): KeyTypeName | undefined {
    return KEY_TYPE_NAMES[(this.info >>> abi.INFO_SESSION_TYPE_SHIFT) & abi.INFO_TYPE_MASK];
  }
  /** `mac` for tickets sealed with aes256k, `none` for aes: those can be altered. */
  get integrity(): 'mac' | 'none' {
    return this.ticketKeyType === 'aes256k' ? 'mac' : 'none';
  }

  get entityType(): number {
    return this.#hasTail() ? this.#u32(abi.TAIL_ENTITY_TYPE) : 0;
  }
  /** The entity id, "john" of client.john. */
  get entityId(): string {
    return utf8.decode(this.#part(abi.TAIL_ENTITY));
  }
  get entityIdBytes(): Uint8Array {
    return this.#part(abi.TAIL_ENTITY);
  }
  /** The caps buffer of AuthCapsInfo, as in the ticket. */
  get capsRaw(): Uint8Array {
    return this.#part(abi.TAIL_CAPS_RAW);
  }
  /** Caps text of the ticket, or the canonical print after a parse. */
  get caps(): string {
    return utf8.decode(this.#part(abi.TAIL_CAPS));
  }
  /** CephXAuthorizeReply, or the sealed CephXAuthorizeChallenge, or a signature. */
  get reply(): Uint8Array | undefined {
    const reply = this.#part(abi.TAIL_REPLY);
    return reply.length === 0 ? undefined : reply;
  }

  /** Explanation per written grant, in order. */
  get detail(): readonly GrantDetail[] {
    const part = this.#part(abi.TAIL_DETAIL);
    const view = new DataView(part.buffer, part.byteOffset, part.byteLength);
    const details: GrantDetail[] = [];
    for (let at = 0; at + abi.EXPLAIN_LEN <= part.length; at += abi.EXPLAIN_LEN) {
      details.push({
        grant: view.getUint32(at + abi.EXPLAIN_GRANT, true),
        condition: view.getUint32(at + abi.EXPLAIN_CONDITION, true),
        start: view.getUint32(at + abi.EXPLAIN_SPAN_START, true),
        end: view.getUint32(at + abi.EXPLAIN_SPAN_END, true),
      });
    }
    return details;
  }

  /** Caps-parse: grants as written. */
  get grantsWritten(): number {
    return this.#u32(abi.VERDICT_SECRET_ID);
  }
  /** Caps-parse: entries after expansion of profiles. */
  get grantsCompiled(): number {
    return this.#u32(abi.VERDICT_SECRET_ID + 4);
  }
  /** Caps-parse: byte offset of REST, where the parser stopped. */
  get stop(): number {
    return this.#u32(abi.VERDICT_GLOBAL_ID);
  }

  #hasTail(): boolean {
    return this.#u32(abi.VERDICT_BYTES) >= abi.TAIL_END;
  }

  #part(field: number): Uint8Array {
    if (!this.#hasTail()) return new Uint8Array(0);
    return this.#slice(this.#u32(field), this.#u32(field + 4));
  }

  #slice(offset: number, length: number): Uint8Array {
    const { buffer, byteOffset } = this.#view;
    return new Uint8Array(buffer, byteOffset + this.#at + offset, length);
  }

  #u32(field: number): number {
    return this.#view.getUint32(this.#at + field, true);
  }

  #utime(field: number): Utime {
    return { seconds: this.#u32(field), nanoseconds: this.#u32(field + 4) };
  }
}

/** Bytes of one slab. */
const SLAB_LEN = 65536;
// By words; constants of this module, which an engine compiles into its code.
const BYTES = abi.VERDICT_BYTES / 4;
const DECISION = abi.VERDICT_DECISION / 4;
const INFO = abi.VERDICT_INFO / 4;
const INFO_SECRETS = abi.INFO_SECRETS;
const VERDICT_REASON = abi.VERDICT_REASON;

/**
 * Copies verdicts out of the core's memory. A buffer per verdict would cost more than the verdict
 * (allocating a few hundred bytes takes longer than copying them), so they share slabs.
 */
export class VerdictSlab {
  readonly #core: Int32Array;
  #words = new Int32Array(SLAB_LEN / 4);
  #view = new DataView(this.#words.buffer);
  #next = 0;

  constructor(memory: ArrayBufferLike) {
    this.#core = new Int32Array(memory);
  }

  /** Address of the verdict record behind the one at `at`. */
  after(at: number): number {
    return at + (this.#core[(at >>> 2) + BYTES] as number);
  }

  /** Whether the verdict record at `at` says yes. */
  allowed(at: number): boolean {
    return ((this.#core[(at >>> 2) + DECISION] as number) & 0xff) === 1;
  }

  /** Gives the verdict record at `to` the source of the one at `from`. */
  copySource(from: number, to: number): void {
    const source = (this.#core[(from >>> 2) + DECISION] as number) & 0xff00;
    const word = (to >>> 2) + DECISION;
    this.#core[word] = ((this.#core[word] as number) & ~0xff00) | source;
  }

  /** Whether the secret block holds an entry for the verdict record at `at`. */
  hasSecrets(at: number): boolean {
    return ((this.#core[(at >>> 2) + INFO] as number) & INFO_SECRETS) !== 0;
  }

  /** Copies the verdict record at address `at`. Records are multiples of 8 bytes. */
  take(at: number, secrets: VerdictSecrets | undefined): Verdict {
    const core = this.#core;
    const from = at >>> 2;
    const length = core[from + BYTES] as number;
    if (length > SLAB_LEN - this.#next) this.#renew(length);
    const words = this.#words;
    const to = this.#next >>> 2;
    for (let i = 0; i < length >>> 2; i++) words[to + i] = core[from + i] as number;
    const verdict = new Verdict(this.#view, this.#next, secrets);
    this.#next += length;
    return verdict;
  }

  /** Another slab, with room for a verdict of this length whatever it is. */
  #renew(length: number): void {
    this.#words = new Int32Array(Math.max(SLAB_LEN, length) / 4);
    this.#view = new DataView(this.#words.buffer);
    this.#next = 0;
  }
}

/** The entry of the secret block for record `index`, if there is one. */
export function readSecrets(
  memory: ArrayBufferLike,
  block: number,
  index: number,
): VerdictSecrets | undefined {
  const view = new DataView(memory, block);
  const count = view.getUint32(abi.SECRET_COUNT, true);
  for (let i = 0, at = abi.SECRET_FIRST; i < count; i++) {
    if (view.getUint32(at + abi.SECRET_ENTRY_RECORD, true) === index) {
      const keyAt = block + at + abi.SECRET_ENTRY_DATA;
      const keyLen = view.getUint32(at + abi.SECRET_ENTRY_KEY_LEN, true);
      const connectionLen = view.getUint32(at + abi.SECRET_ENTRY_CONNECTION_LEN, true);
      return {
        nonce: view.getBigUint64(at + abi.SECRET_ENTRY_NONCE, true),
        sessionKey: new Uint8Array(memory, keyAt, keyLen).slice(),
        connectionSecret:
          connectionLen === 0
            ? undefined
            : new Uint8Array(memory, keyAt + keyLen, connectionLen).slice(),
      };
    }
    at += view.getUint32(at + abi.SECRET_ENTRY_BYTES, true);
  }
  return undefined;
}
