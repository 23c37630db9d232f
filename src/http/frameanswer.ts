/**
 * The verdicts of one call of the core on their way out: what no caller may see is blanked, what
 * only the host knows is added, who owns which session is written down, and the log is told.
 */

import * as abi from '../../assembly/abi.ts';
import { entityTypeName } from '../cephx/protocol.ts';
import { CHECK_NAMES, REASON_CODES, type ReasonCode } from '../engine/codes.ts';
import { readSecrets, Verdict } from '../engine/verdict.ts';
import { VERDICT_CONNECTION_SECRET, VERDICT_TOKEN } from '../frames/layout.ts';
import { type FrameCall, meansPrevious, type Prepared } from './framerecord.ts';
import { isStale, STALE_CHECK } from './staleness.ts';
import { receiptOf } from './verify.ts';

/** Bytes that the host puts behind a verdict. */
interface Addition {
  /** Where the verdict starts in the response. */
  readonly at: number;
  /** Base64, or empty. */
  readonly token: string;
  readonly secret: Uint8Array;
}

/** The place of a record and of its verdict. */
interface Place {
  readonly index: number;
  readonly record: number;
  readonly verdict: number;
}

/**
 * Finishes the verdicts in `bytes`, a copy of the core's response.
 *
 * @param carried the session that the first record means by "the record before", or 0
 */
export function answerOf(
  call: FrameCall,
  prepared: readonly Prepared[],
  bytes: Uint8Array,
  carried: bigint,
): Uint8Array {
  const answer = new Answer(call, bytes, carried);
  let record = 0;
  let verdict = 0;
  for (let index = 0; index < prepared.length; index++) {
    // Were a record left without its verdict, every later one would be taken for another's.
    if (verdict >= bytes.length) throw new Error('the core left records unanswered');
    const length = answer.lengthAt(verdict);
    answer.finish({ index, record, verdict }, prepared[index]!);
    record += call.view.getUint32(record + abi.RECORD_BYTES, true);
    verdict += length;
  }
  return answer.end(prepared.length);
}

class Answer {
  readonly #call: FrameCall;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #additions: Addition[] = [];
  /** The session that the record before has opened, or 0. */
  #opened: bigint;
  readonly #carried: bigint;
  /** The store is out of sight. */
  readonly #isStale: boolean;
  /** Decisions that have no line of their own in the log: all, and by service but the last ones. */
  #quiet = 0;
  readonly #quietBy = new Map<number, number>();
  /** The service of the last ones and how many they are: mostly all are of one. */
  #lastService = 0;
  #lastQuiet = 0;

  constructor(call: FrameCall, bytes: Uint8Array, carried: bigint) {
    this.#call = call;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#opened = carried;
    this.#carried = carried;
    this.#isStale = isStale(call.deps);
  }

  lengthAt(at: number): number {
    return this.#view.getUint32(at + abi.VERDICT_BYTES, true);
  }

  finish(place: Place, prepared: Prepared): void {
    const { record, verdict } = place;
    const kind = this.#call.view.getUint16(record + abi.RECORD_KIND, true);
    const allowed = this.#view.getUint8(verdict + abi.VERDICT_DECISION) === 1;
    const check = this.#view.getUint16(verdict + abi.VERDICT_CHECK, true);
    let why: string = CHECK_NAMES[check] ?? 'unassigned';
    if (prepared.expired && this.#reason(verdict) === abi.REASON_SESSION_UNKNOWN) {
      this.#view.setUint16(verdict + abi.VERDICT_REASON, abi.REASON_SESSION_EXPIRED, true);
    }
    if (prepared.stale === true) {
      this.#view.setUint16(verdict + abi.VERDICT_REASON, abi.REASON_STORE_STALE, true);
      this.#view.setUint16(verdict + abi.VERDICT_CHECK, 0, true);
      why = STALE_CHECK;
    }
    if (kind === abi.KIND_VERIFY) why = this.#verify(place, prepared, allowed) ?? why;
    else this.#endPrevious(place, check);
    if (kind === abi.KIND_CAPS_PARSE && allowed) this.#keepCaps(verdict);
    this.#log(place, kind, allowed, why, prepared);
    // Which rule exactly was broken is the operator's to know: with key type aes it tells an
    // attacker how to go on. What is wrong with the frame itself is the sender's.
    if (check >= abi.CHECK_LIMIT) this.#view.setUint16(verdict + abi.VERDICT_CHECK, 0, true);
    if (kind === abi.KIND_VERIFY && !allowed) this.#blank(verdict);
    if (this.#isStale) this.#setInfo(verdict, abi.INFO_STALE);
    this.#opened = kind === abi.KIND_VERIFY && allowed ? this.#handle(verdict) : 0n;
  }

  /** The whole answer, with what was added. */
  end(count: number): Uint8Array {
    const { deps, owner } = this.#call;
    owner.previous = this.#opened;
    this.#countLast();
    for (const [service, n] of this.#quietBy) {
      deps.observe?.allowed('frames', entityTypeName(service) ?? 'unknown', n);
    }
    if (this.#quiet > 0) {
      const more = { call: 'frames', caller: owner.caller.id, owner: owner.name };
      const counts = { records: count, decisions: this.#quiet };
      deps.log({ level: 'info', event: 'decisions', ...more, decision: true, ...counts });
    }
    if (this.#additions.length === 0) return this.#bytes;
    return this.#grown();
  }

  /** Tokens and sessions of a verify record. Returns the host's own reason, for the log. */
  #verify(place: Place, prepared: Prepared, allowed: boolean): string | undefined {
    const { verify } = prepared;
    if (verify === undefined) return undefined;
    const { verdict } = place;
    const { freshness, request } = verify;
    if (this.#reason(verdict) === abi.REASON_AUTHORIZER_SECRET_UNKNOWN) {
      // Who waits here keeps all others waiting: this one is refused, the next try finds it.
      void this.#call.deps.ring.catchUp?.(request.authorizer.slice());
    }
    const required = this.#reason(verdict) === abi.REASON_AUTHORIZER_CHALLENGE_REQUIRED;
    if (!allowed) {
      if (freshness.kind === 'refused' && required) {
        const reason = REASON_CODES.indexOf(freshness.reason);
        this.#view.setUint16(verdict + abi.VERDICT_REASON, reason, true);
        return `sidecar.${freshness.why}`;
      }
      if (freshness.kind !== 'required' || !required || !this.#hasReply(verdict)) return undefined;
      this.#additions.push({ at: verdict, token: freshness.state, secret: NONE });
      return undefined;
    }
    // Fail closed should core and sidecar ever disagree on what a challenge is.
    if (freshness.kind !== 'issued' && freshness.kind !== 'receipt') {
      throw new Error('accepted without a challenge');
    }
    const { deps, owner, owners, view, nowNs } = this.#call;
    const answeredNs = freshness.kind === 'receipt' ? freshness.answeredNs : nowNs;
    const handle = this.#handle(verdict);
    if (handle !== 0n) owners.add(owner, handle, answeredNs);
    if (this.lengthAt(verdict) < abi.TAIL_END) return undefined;
    const service = view.getUint32(place.record + abi.RECORD_SERVICE, true);
    const token = receiptOf(deps, owner.caller, service, request, freshness, answeredNs) ?? '';
    const secret = this.#connectionSecret(place);
    if (token.length + secret.length > 0) this.#additions.push({ at: verdict, token, secret });
    return undefined;
  }

  #connectionSecret({ index, verdict }: Place): Uint8Array {
    const info = this.#view.getUint32(verdict + abi.VERDICT_INFO, true);
    if ((info & abi.INFO_SECRETS) === 0) return NONE;
    const { engine } = this.#call.deps;
    const block = engine.layout.getUint32(abi.LAYOUT_SECRET, true);
    const secrets = readSecrets(engine.memory, block, index);
    secrets?.sessionKey.fill(0);
    return secrets?.connectionSecret ?? NONE;
  }

  /** A check of "the record before" has ended that session unless it was to stay. */
  #endPrevious({ index, record, verdict }: Place, check: number): void {
    const { deps, owner, owners, view } = this.#call;
    const carried = index === 0 && this.#carried !== 0n;
    if (!carried && !meansPrevious(view, record)) return;
    const flags = view.getUint16(record + abi.RECORD_FLAGS, true);
    if (this.#opened === 0n || check !== abi.CHECK_OK || (flags & abi.FLAG_KEEP) !== 0) return;
    owners.forget(owner, this.#opened);
    if (!carried) return;
    deps.engine.sessionRelease(this.#opened);
    this.#view.setBigUint64(verdict + abi.VERDICT_HANDLE, 0n, true);
  }

  #keepCaps(verdict: number): void {
    const handle = this.#handle(verdict);
    if (handle !== 0n) this.#call.owner.addCaps(handle);
  }

  /**
   * Refusals and what was handed out have a line each, the rest one for all: a line per check
   * would cost many times what the check does.
   */
  #log(place: Place, kind: number, allowed: boolean, check: string, prepared: Prepared): void {
    const { deps, owner } = this.#call;
    const service = this.#call.view.getUint32(place.record + abi.RECORD_SERVICE, true);
    if (allowed && prepared.verify === undefined) {
      this.#quiet += 1;
      if (service !== this.#lastService) this.#countLast();
      this.#lastService = service;
      this.#lastQuiet += 1;
      return;
    }
    const view = this.#view;
    const at = place.verdict;
    const reason = REASON_CODES[this.#reason(at)] as ReasonCode;
    const told = deps.observe?.decision({
      id: deps.state.ids.next(),
      item: undefined,
      requestId: owner.caller.requestId,
      call: 'frames',
      caller: owner.caller.id,
      service: entityTypeName(service) ?? 'unknown',
      decision: allowed,
      reason,
      check,
      verdict: new Verdict(view, at),
      authorizer: prepared.verify?.request.authorizer,
      op: undefined,
    });
    if (told === true) return;
    const proven = (view.getUint32(at + abi.VERDICT_INFO, true) & abi.INFO_PROVEN) !== 0;
    const idOf = (field: number): string | undefined =>
      proven ? view.getBigUint64(at + field, true).toString() : undefined;
    deps.log({
      level: 'info',
      event: 'decision',
      call: 'frames',
      caller: owner.caller.id,
      owner: owner.name,
      kind,
      tag: view.getUint32(at + abi.VERDICT_TAG, true),
      request_id: owner.caller.requestId,
      service,
      decision: allowed,
      reason,
      check,
      global_id: idOf(abi.VERDICT_GLOBAL_ID),
      secret_id: idOf(abi.VERDICT_SECRET_ID),
    });
  }

  #countLast(): void {
    const service = this.#lastService;
    const count = this.#lastQuiet;
    if (count > 0) this.#quietBy.set(service, (this.#quietBy.get(service) ?? 0) + count);
    this.#lastQuiet = 0;
  }

  /** A refused authorizer says why, and nothing of what its ticket holds. */
  #blank(verdict: number): void {
    this.#bytes.fill(0, verdict + abi.VERDICT_DECISION, verdict + abi.VERDICT_LEN);
    this.#view.setUint32(verdict + abi.VERDICT_GRANT, NO_GRANT, true);
  }

  #grown(): Uint8Array {
    const extra = this.#additions.reduce((sum, each) => sum + roomOf(each), 0);
    const out = new Uint8Array(this.#bytes.length + extra);
    const view = new DataView(out.buffer);
    let from = 0;
    let to = 0;
    for (const addition of this.#additions) {
      const length = this.lengthAt(addition.at);
      const at = addition.at + to - from;
      out.set(this.#bytes.subarray(from, addition.at + length), to);
      from = addition.at + length;
      to = at + length;
      utf8.encodeInto(addition.token, out.subarray(to));
      out.set(addition.secret, to + addition.token.length);
      addition.secret.fill(0);
      if (addition.token.length > 0) {
        view.setUint32(at + VERDICT_TOKEN, length, true);
        view.setUint32(at + VERDICT_TOKEN + 4, addition.token.length, true);
      }
      if (addition.secret.length > 0) {
        view.setUint32(at + VERDICT_CONNECTION_SECRET, length + addition.token.length, true);
      }
      to += roomOf(addition);
      view.setUint32(at + abi.VERDICT_BYTES, to - at, true);
    }
    out.set(this.#bytes.subarray(from), to);
    return out;
  }

  #setInfo(verdict: number, bit: number): void {
    const info = this.#view.getUint32(verdict + abi.VERDICT_INFO, true);
    this.#view.setUint32(verdict + abi.VERDICT_INFO, info | bit, true);
  }

  #reason(verdict: number): number {
    return this.#view.getUint16(verdict + abi.VERDICT_REASON, true);
  }

  #handle(verdict: number): bigint {
    const low = this.#view.getUint32(verdict + abi.VERDICT_HANDLE, true);
    const high = this.#view.getUint32(verdict + abi.VERDICT_HANDLE + 4, true);
    // Mostly there is none, and a BigInt costs as much as the rest of a verdict here.
    return low === 0 && high === 0 ? 0n : (BigInt(high) << 32n) | BigInt(low);
  }

  #hasReply(verdict: number): boolean {
    if (this.lengthAt(verdict) < abi.TAIL_END) return false;
    return this.#view.getUint32(verdict + abi.TAIL_REPLY + 4, true) > 0;
  }
}

/** Verdicts are multiples of 8 bytes. */
function roomOf({ token, secret }: Addition): number {
  return (token.length + secret.length + 7) & ~7;
}

const NO_GRANT = 0xffff_ffff;
const NONE = new Uint8Array(0);
const utf8 = new TextEncoder();
