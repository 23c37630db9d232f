/** The bounds of the OSD body of check and explain records. */

import {
  APP_METADATA_MAX,
  CHECK_LIMIT,
  CHECK_OK,
  CHECK_RECORD_FIELD,
  CHECK_RECORD_LENGTH,
  CLASSES_MAX,
  NAME_LEN_MAX,
  OBJECT_LEN_MAX,
  OSD_APP_KEY,
  OSD_APP_LEN,
  OSD_APP_METADATA,
  OSD_APP_NAME,
  OSD_APP_VALUE,
  OSD_BITS,
  OSD_CLASS_BITS,
  OSD_CLASS_LEN,
  OSD_CLASS_METHOD,
  OSD_CLASS_NAME,
  OSD_CLASSES,
  OSD_LEN,
  OSD_NAMESPACE,
  OSD_OBJECT,
  OSD_PEER_FAMILY,
  OSD_POOL,
  OSD_RESERVED,
  RECORD_BYTES,
} from './abi';

/**
 * CHECK_OK, or why the body cannot be read: CHECK_RECORD_LENGTH, CHECK_RECORD_FIELD, CHECK_LIMIT.
 */
export function osdRecordCheck(record: usize): i32 {
  const bytes = load<u32>(record + RECORD_BYTES);
  if (bytes < (OSD_LEN as u32)) return CHECK_RECORD_LENGTH;
  if (load<u32>(record + OSD_BITS) > 3 || load<u32>(record + OSD_RESERVED) != 0) {
    return CHECK_RECORD_FIELD;
  }
  if (load<u32>(record + OSD_RESERVED, 4) != 0) return CHECK_RECORD_FIELD;
  const family = load<u32>(record + OSD_PEER_FAMILY);
  if (family != 0 && family != 4 && family != 6) return CHECK_RECORD_FIELD;
  const fields =
    outside(record, OSD_POOL) |
    outside(record, OSD_NAMESPACE) |
    outside(record, OSD_OBJECT) |
    outside(record, OSD_CLASSES) |
    outside(record, OSD_APP_METADATA);
  if (fields) return CHECK_RECORD_LENGTH;
  if (
    load<u32>(record + OSD_POOL, 4) > (NAME_LEN_MAX as u32) ||
    load<u32>(record + OSD_NAMESPACE, 4) > (NAME_LEN_MAX as u32) ||
    load<u32>(record + OSD_OBJECT, 4) > (OBJECT_LEN_MAX as u32)
  ) {
    return CHECK_LIMIT;
  }
  const check = classesCheck(record);
  return check == CHECK_OK ? appMetadataCheck(record) : check;
}

/** 1 if the (offset, length) pair at `field` of a record is not within it, behind `body` bytes. */
export function partOutside(record: usize, field: usize, body: u32): i32 {
  const offset = load<u32>(field) as u64;
  const len = load<u32>(field, 4) as u64;
  if (len == 0) return 0;
  const bytes = load<u32>(record + RECORD_BYTES) as u64;
  return (offset < (body as u64) || offset + len > bytes) as i32;
}

function outside(record: usize, field: i32): i32 {
  return partOutside(record, record + field, OSD_LEN);
}

function classesCheck(record: usize): i32 {
  const len = load<u32>(record + OSD_CLASSES, 4);
  if (len % OSD_CLASS_LEN != 0) return CHECK_RECORD_FIELD;
  if (len > ((CLASSES_MAX * OSD_CLASS_LEN) as u32)) return CHECK_LIMIT;
  const first = record + load<u32>(record + OSD_CLASSES);
  for (let call = first; call < first + len; call += OSD_CLASS_LEN) {
    if (partOutside(record, call + OSD_CLASS_NAME, OSD_LEN)) return CHECK_RECORD_LENGTH;
    if (partOutside(record, call + OSD_CLASS_METHOD, OSD_LEN)) return CHECK_RECORD_LENGTH;
    if (load<u32>(call + OSD_CLASS_BITS) > 7) return CHECK_RECORD_FIELD;
  }
  return CHECK_OK;
}

function appMetadataCheck(record: usize): i32 {
  const len = load<u32>(record + OSD_APP_METADATA, 4);
  if (len % OSD_APP_LEN != 0) return CHECK_RECORD_FIELD;
  if (len > ((APP_METADATA_MAX * OSD_APP_LEN) as u32)) return CHECK_LIMIT;
  const first = record + load<u32>(record + OSD_APP_METADATA);
  for (let entry = first; entry < first + len; entry += OSD_APP_LEN) {
    if (partOutside(record, entry + OSD_APP_NAME, OSD_LEN)) return CHECK_RECORD_LENGTH;
    if (load<i32>(entry + OSD_APP_KEY) == -1) continue;
    if (partOutside(record, entry + OSD_APP_KEY, OSD_LEN)) return CHECK_RECORD_LENGTH;
    if (partOutside(record, entry + OSD_APP_VALUE, OSD_LEN)) return CHECK_RECORD_LENGTH;
  }
  return CHECK_OK;
}
