/** The loop over request records: what is common to all kinds is checked here, once. */

import {
  BATCH_RECORDS_MAX,
  CAPS_PARSE_LEN,
  CAPS_PARSE_TEXT,
  CHECK_LIMIT,
  CHECK_OK,
  CHECK_RECORD_FIELD,
  CHECK_RECORD_FLAGS,
  CHECK_RECORD_KIND,
  CHECK_RECORD_LENGTH,
  ENTITY_TYPE_MDS,
  ENTITY_TYPE_OSD,
  FLAGS_ALL,
  HOST_FLAGS,
  KIND_CAPS_PARSE,
  KIND_CHECK,
  KIND_EXPLAIN,
  KIND_SIGN,
  KIND_SIGN_VERIFY,
  KIND_VERIFY,
  RECORD_BYTES,
  RECORD_FLAGS,
  RECORD_HEADER_LEN,
  RECORD_KIND,
  RECORD_SERVICE,
  SIGN_BLOCK,
  SIGN_LEN,
  SIGN_RESERVED,
  SIGN_SIGNATURE,
  TAIL_END,
  VERDICT_HANDLE,
  VERDICT_LEN,
  VERIFY_AUTHORIZER,
  VERIFY_CHALLENGE_STATE,
  VERIFY_CONNECTION,
  VERIFY_LEN,
  VERIFY_PEER_FAMILY,
  VERIFY_RECEIPT,
  VERIFY_RESERVED,
} from './abi';
import { HOST, request, requestLen, response, responseLen } from './arena';
import { capsParseRecord, checkAfter, checkRecord } from './check';
import { mdsRecordCheck } from './mdsrecord';
import { osdRecordCheck } from './osdrecord';
import { secretBlockWipe } from './reply';
import { signRecord } from './signature';
import { ticketsBegin } from './tickets';
import { reasonOf, verdict, verdictBegin, verdictEnd, verdictSet } from './verdict';
import { verifyRecord } from './verify';

/** What a verdict may take besides what its record gives back: head, tail, reply, signature. */
const VERDICT_ROOM: i32 = 512;
/** Heads that the response keeps free for the records still to come. */
const HEADS_LEN: i32 = BATCH_RECORDS_MAX * VERDICT_LEN;

/** Answers the records in the first `bytes` of the request region; returns the response's bytes. */
export function runRecords(bytes: i32): i32 {
  secretBlockWipe();
  ticketsBegin();
  checkAfter(0);
  if (bytes < 0 || bytes > requestLen) return 0;
  let at = 0;
  let out = 0;
  for (let index = 0; at < bytes; index++) {
    const record = request + at;
    const left = bytes - at;
    // A record that does not say how long it is ends the call: the next one cannot be found.
    const lost = left < RECORD_HEADER_LEN || !fits(load<u32>(record + RECORD_BYTES), left);
    if (out + VERDICT_ROOM > responseLen || index > BATCH_RECORDS_MAX) break;
    verdictBegin(response + out, responseLen - out - HEADS_LEN, record);
    if (lost) verdictSet(CHECK_RECORD_LENGTH, reasonOf(CHECK_RECORD_LENGTH));
    else if (index == BATCH_RECORDS_MAX) verdictSet(CHECK_LIMIT, reasonOf(CHECK_LIMIT));
    else answer(record, index, responseLen - out - HEADS_LEN);
    checkAfter(opened(record));
    out += verdictEnd();
    if (lost) break;
    at += load<i32>(record + RECORD_BYTES);
  }
  return out;
}

/** The handle of the session that a verify record has just opened, 0 for anything else. */
function opened(record: usize): u64 {
  return load<u16>(record + RECORD_KIND) == KIND_VERIFY ? load<u64>(verdict + VERDICT_HANDLE) : 0;
}

function fits(bytes: u32, left: i32): bool {
  return bytes >= (RECORD_HEADER_LEN as u32) && bytes <= (left as u32);
}

function answer(record: usize, index: i32, room: i32): void {
  const check = recordCheck(record, room);
  if (check != CHECK_OK) return verdictSet(check, reasonOf(check));
  const kind: u32 = load<u16>(record + RECORD_KIND);
  if (kind == KIND_VERIFY) verifyRecord(record, index);
  else if (kind == KIND_CHECK || kind == KIND_EXPLAIN) checkRecord(record);
  else if (kind == KIND_CAPS_PARSE) capsParseRecord(record);
  else signRecord(record);
}

/** Kind, flags, lengths and the fixed fields of a record. */
function recordCheck(record: usize, room: i32): i32 {
  const kind: i32 = load<u16>(record + RECORD_KIND);
  const flags: u32 = load<u16>(record + RECORD_FLAGS);
  const bytes = load<i32>(record + RECORD_BYTES);
  if (kind < KIND_VERIFY || kind > KIND_EXPLAIN) return CHECK_RECORD_KIND;
  if ((flags & ~FLAGS_ALL) != 0) return CHECK_RECORD_FLAGS;
  if ((flags & ~load<u32>(HOST + HOST_FLAGS)) != 0) return CHECK_RECORD_FLAGS;
  // Entity, caps and canonical print are at most a few times what the record holds.
  if (kind != KIND_CAPS_PARSE && room < bytes + VERDICT_ROOM) return CHECK_LIMIT;
  if (room < TAIL_END) return CHECK_LIMIT;
  if (kind == KIND_VERIFY) return verifyCheck(record, bytes);
  if (kind == KIND_CAPS_PARSE) {
    if (bytes < CAPS_PARSE_LEN) return CHECK_RECORD_LENGTH;
    return part(record, CAPS_PARSE_TEXT, CAPS_PARSE_LEN, bytes);
  }
  if (kind == KIND_SIGN || kind == KIND_SIGN_VERIFY) return signCheck(record, bytes);
  const service = load<u32>(record + RECORD_SERVICE);
  if (service == ENTITY_TYPE_OSD) return osdRecordCheck(record);
  return service == ENTITY_TYPE_MDS ? mdsRecordCheck(record) : CHECK_RECORD_FIELD;
}

function verifyCheck(record: usize, bytes: i32): i32 {
  if (bytes < VERIFY_LEN) return CHECK_RECORD_LENGTH;
  const family = load<u32>(record + VERIFY_PEER_FAMILY);
  if (family != 0 && family != 4 && family != 6) return CHECK_RECORD_FIELD;
  if (load<u32>(record + VERIFY_RESERVED) != 0) return CHECK_RECORD_FIELD;
  return (
    part(record, VERIFY_AUTHORIZER, VERIFY_LEN, bytes) |
    part(record, VERIFY_CONNECTION, VERIFY_LEN, bytes) |
    part(record, VERIFY_CHALLENGE_STATE, VERIFY_LEN, bytes) |
    part(record, VERIFY_RECEIPT, VERIFY_LEN, bytes)
  );
}

function signCheck(record: usize, bytes: i32): i32 {
  if (bytes < SIGN_LEN) return CHECK_RECORD_LENGTH;
  if (load<u32>(record + SIGN_RESERVED) != 0) return CHECK_RECORD_FIELD;
  return part(record, SIGN_BLOCK, SIGN_LEN, bytes) | part(record, SIGN_SIGNATURE, SIGN_LEN, bytes);
}

/** CHECK_OK if the (offset, length) pair at `field` lies within the record, behind its body. */
function part(record: usize, field: i32, body: i32, bytes: i32): i32 {
  const offset = load<u32>(record + field) as u64;
  const len = load<u32>(record + field + 4) as u64;
  if (len == 0) return CHECK_OK;
  if (offset < (body as u64) || offset + len > (bytes as u64)) return CHECK_RECORD_LENGTH;
  return CHECK_OK;
}
