/**
 * The check, explain and caps-parse records: a session or compiled caps and one operation.
 */

import {
  CAPS_PARSE_TEXT,
  CAPS_TEXT_LEN_MAX,
  CHECK_LIMIT,
  CHECK_OK,
  CHECK_RECORD_FIELD,
  CONDITION_CLASS,
  CONDITION_NETWORK,
  ENTITY_TYPE_MDS,
  EXPLAIN_LEN,
  FLAG_KEEP,
  FLAG_TAIL,
  HOST_RELEASE,
  INFO_ALLOW_ALL,
  INFO_CAPS_DECODED,
  INFO_CAPS_PRESENT,
  INFO_DETAIL_CUT,
  KIND_EXPLAIN,
  MDS_PEER,
  MDS_PEER_FAMILY,
  OSD_PEER,
  OSD_PEER_FAMILY,
  REASON_CAPS_CLASS_NOT_ALLOWED,
  REASON_CAPS_NETWORK_MISMATCH,
  REASON_CAPS_NO_MATCHING_GRANT,
  REASON_CAPS_NONE,
  REASON_CAPS_UNPARSABLE,
  REASON_LIMIT_EXCEEDED,
  REASON_OK,
  REASON_SESSION_UNKNOWN,
  RECORD_FLAGS,
  RECORD_HANDLE,
  RECORD_KIND,
  RECORD_SERVICE,
  SOURCE_CAPS,
  SOURCE_SESSION,
  TAIL_CAPS,
  TAIL_DETAIL,
  TAIL_ENTITY,
  TAIL_ENTITY_TYPE,
  VERDICT_CONDITION,
  VERDICT_CREATED,
  VERDICT_EXPIRES,
  VERDICT_GLOBAL_ID,
  VERDICT_GRANT,
  VERDICT_HANDLE,
  VERDICT_INFO,
  VERDICT_SECRET_ID,
  VERDICT_SOURCE,
} from './abi';
import { gidScratch, grantScratch, HOST, spanScratch } from './arena';
import {
  CAPS_BAD,
  CAPS_COUNT,
  CAPS_GIDS,
  CAPS_GRANTS,
  CAPS_RELEASE,
  CAPS_SPANS,
  CAPS_STATE,
  CAPS_TEXT,
  CAPS_TOO_LARGE,
  CAPS_WRITTEN,
  capsCompile,
  capsFind,
  capsHandle,
  capsIntern,
  capsReady,
  capsService,
  compiledAllowAll,
  compiledNewMessage,
  compiledStop,
  compiledWritten,
  isCapsHandle,
} from './capstore';
import { osdCheck, osdExplain } from './grant';
import { mdscapPrint } from './mdscapprint';
import { mdsCheck, mdsExplain } from './mdsgrant';
import { checkCondition, checkGrant } from './nearest';
import { osdcapPrint } from './osdcapprint';
import {
  SESSION_CAPS,
  SESSION_CREATED,
  SESSION_ENTITY,
  SESSION_ENTITY_LEN,
  SESSION_ENTITY_TYPE,
  SESSION_EXPIRES,
  SESSION_GLOBAL_ID,
  SESSION_INFO,
  SESSION_PEER,
  SESSION_PEER_FAMILY,
  SESSION_SECRET_ID,
  sessionFind,
  sessionJudge,
  sessionRelease,
} from './sessions';
import {
  reasonOf,
  tailAt,
  tailCopy,
  tailPart,
  tailRoom,
  verdict,
  verdictSet,
  verdictTail,
} from './verdict';

/** Answers a check or explain record whose body was checked. */
export function checkRecord(record: usize): void {
  const service = load<u32>(record + RECORD_SERVICE);
  const handle = load<u64>(record + RECORD_HANDLE);
  const explain = load<u16>(record + RECORD_KIND) == KIND_EXPLAIN;
  const mds = service == ENTITY_TYPE_MDS;
  const family = load<u32>(record + (mds ? MDS_PEER_FAMILY : OSD_PEER_FAMILY));
  const peer = record + (mds ? MDS_PEER : OSD_PEER);
  if (explain || load<u16>(record + RECORD_FLAGS) & FLAG_TAIL) verdictTail();
  if (handle == PREVIOUS) return checkPrevious(record, family, peer, explain);
  if (isCapsHandle(handle)) {
    const index = capsFind(handle, service);
    store<u8>(verdict + VERDICT_SOURCE, SOURCE_CAPS);
    if (index < 0) return verdictSet(CHECK_OK, REASON_SESSION_UNKNOWN);
    return decide(index, record, family, peer, explain);
  }
  checkSession(handle, record, family, peer, explain);
}

/** HANDLE_PREVIOUS in both halves. */
const PREVIOUS: u64 = <u64>-1;

/** The session that the record before this one opened, if that was a verify record that did. */
let previous: u64 = 0;

/** Said after each record: the handle of the session it opened, or 0. */
export function checkAfter(handle: u64): void {
  previous = handle;
}

/** One decision on an authorizer and an operation: the session ends here unless it is to stay. */
function checkPrevious(record: usize, family: u32, peer: usize, explain: bool): void {
  const handle = previous;
  checkSession(handle, record, family, peer, explain);
  if (load<u16>(record + RECORD_FLAGS) & FLAG_KEEP) return;
  sessionRelease(handle);
  store<u64>(verdict + VERDICT_HANDLE, 0);
}

function checkSession(handle: u64, record: usize, family: u32, peer: usize, explain: bool): void {
  const slot = sessionFind(handle);
  store<u8>(verdict + VERDICT_SOURCE, SOURCE_SESSION);
  const refusal = sessionJudge(slot, load<u32>(record + RECORD_SERVICE), family, peer);
  if (refusal != REASON_OK) return verdictSet(CHECK_OK, refusal);
  fillSession(slot, record, handle);
  const info = load<u32>(slot + SESSION_INFO);
  if (info & INFO_ALLOW_ALL) return verdictSet(CHECK_OK, REASON_OK);
  if ((info & INFO_CAPS_PRESENT) == 0) return verdictSet(CHECK_OK, REASON_CAPS_NONE);
  const caps = load<i32>(slot + SESSION_CAPS) - 1;
  if ((info & INFO_CAPS_DECODED) == 0 || caps < 0) {
    return verdictSet(CHECK_OK, REASON_CAPS_UNPARSABLE);
  }
  decide(caps, record, load<u32>(slot + SESSION_PEER_FAMILY), slot + SESSION_PEER, explain);
}

function fillSession(slot: usize, record: usize, handle: u64): void {
  store<u32>(verdict + VERDICT_INFO, load<u32>(slot + SESSION_INFO));
  store<u64>(verdict + VERDICT_SECRET_ID, load<u64>(slot + SESSION_SECRET_ID));
  store<u64>(verdict + VERDICT_GLOBAL_ID, load<u64>(slot + SESSION_GLOBAL_ID));
  store<u64>(verdict + VERDICT_CREATED, load<u64>(slot + SESSION_CREATED));
  store<u64>(verdict + VERDICT_EXPIRES, load<u64>(slot + SESSION_EXPIRES));
  store<u64>(verdict + VERDICT_HANDLE, handle);
  if (load<u16>(record + RECORD_FLAGS) & FLAG_TAIL) {
    store<u32>(verdict + TAIL_ENTITY_TYPE, load<u32>(slot + SESSION_ENTITY_TYPE));
    tailCopy(TAIL_ENTITY, slot + SESSION_ENTITY, load<i32>(slot + SESSION_ENTITY_LEN));
  }
}

/** Matches the record against the caps in slot `index`. */
function decide(index: i32, record: usize, family: u32, peer: usize, explain: bool): void {
  const caps = capsReady(index);
  if (caps == 0) return verdictSet(CHECK_LIMIT, REASON_LIMIT_EXCEEDED);
  if (load<u32>(caps + CAPS_STATE) == CAPS_BAD) return verdictSet(CHECK_OK, REASON_CAPS_UNPARSABLE);
  const mds = load<u32>(record + RECORD_SERVICE) == ENTITY_TYPE_MDS;
  const text = load<u32>(caps + CAPS_TEXT);
  const grants = load<u32>(caps + CAPS_GRANTS);
  const count = load<i32>(caps + CAPS_COUNT);
  const gids = load<u32>(caps + CAPS_GIDS);
  const release = load<i32>(caps + CAPS_RELEASE);
  const yes = mds
    ? mdsCheck(text, grants, count, gids, record, release, family, peer)
    : osdCheck(text, grants, count, record, family, peer);
  store<i32>(verdict + VERDICT_GRANT, checkGrant());
  if (yes) verdictSet(CHECK_OK, REASON_OK);
  else {
    const condition = checkCondition();
    store<u16>(verdict + VERDICT_CONDITION, condition as u16);
    verdictSet(CHECK_OK, reasonOfCondition(condition));
  }
  if (!explain) return;
  const spans = load<u32>(caps + CAPS_SPANS);
  const written = load<i32>(caps + CAPS_WRITTEN);
  const fits = tailRoom() / EXPLAIN_LEN;
  const lines = mds
    ? mdsExplain(
        text,
        grants,
        count,
        gids,
        spans,
        written,
        record,
        release,
        family,
        peer,
        tailAt(),
        fits,
      )
    : osdExplain(text, grants, count, spans, written, record, family, peer, tailAt(), fits);
  tailPart(TAIL_DETAIL, lines * EXPLAIN_LEN);
  if (lines < written) {
    store<u32>(verdict + VERDICT_INFO, load<u32>(verdict + VERDICT_INFO) | INFO_DETAIL_CUT);
  }
}

function reasonOfCondition(condition: i32): i32 {
  if (condition == CONDITION_NETWORK) return REASON_CAPS_NETWORK_MISMATCH;
  if (condition == CONDITION_CLASS) return REASON_CAPS_CLASS_NOT_ALLOWED;
  return REASON_CAPS_NO_MATCHING_GRANT;
}

/** Answers a caps-parse record whose body was checked. */
export function capsParseRecord(record: usize): void {
  const service = load<u32>(record + RECORD_SERVICE);
  const flags: u32 = load<u16>(record + RECORD_FLAGS);
  const text = record + load<u32>(record + CAPS_PARSE_TEXT);
  const len = load<i32>(record + CAPS_PARSE_TEXT + 4);
  if (flags & FLAG_TAIL) verdictTail();
  if (!capsService(service)) return verdictSet(CHECK_RECORD_FIELD, reasonOf(CHECK_RECORD_FIELD));
  if (len > CAPS_TEXT_LEN_MAX) return verdictSet(CHECK_LIMIT, REASON_LIMIT_EXCEEDED);
  const release = load<u32>(HOST + HOST_RELEASE);
  const count = capsCompile(service, release, text, len);
  if (count == CAPS_TOO_LARGE) return verdictSet(CHECK_LIMIT, REASON_LIMIT_EXCEEDED);
  store<u32>(verdict + VERDICT_GLOBAL_ID, compiledStop);
  store<u32>(verdict + VERDICT_GLOBAL_ID + 4, compiledNewMessage);
  if (count < 0) return verdictSet(CHECK_OK, REASON_CAPS_UNPARSABLE);
  store<u32>(verdict + VERDICT_SECRET_ID, compiledWritten);
  store<u32>(verdict + VERDICT_SECRET_ID + 4, count);
  store<u32>(verdict + VERDICT_INFO, compiledAllowAll ? INFO_ALLOW_ALL : 0);
  verdictSet(CHECK_OK, REASON_OK);
  if (flags & FLAG_TAIL) {
    const printed =
      service == ENTITY_TYPE_MDS
        ? mdscapPrint(text, grantScratch, count, gidScratch, spanScratch, tailAt(), tailRoom())
        : osdcapPrint(text, grantScratch, count, spanScratch, tailAt(), tailRoom());
    if (printed < 0) return verdictSet(CHECK_LIMIT, REASON_LIMIT_EXCEEDED);
    tailPart(TAIL_CAPS, printed);
  }
  if (flags & FLAG_KEEP) {
    const index = capsIntern(service, release, text, len);
    if (index < 0 || capsReady(index) == 0) {
      return verdictSet(CHECK_LIMIT, REASON_LIMIT_EXCEEDED);
    }
    store<u64>(verdict + VERDICT_HANDLE, capsHandle(index));
  }
}
