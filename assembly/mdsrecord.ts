/** The bounds of the MDS body of check and explain records. */

import {
  CHECK_LIMIT,
  CHECK_OK,
  CHECK_RECORD_FIELD,
  CHECK_RECORD_LENGTH,
  GIDS_MAX,
  MDS_FS,
  MDS_GIDS,
  MDS_LEN,
  MDS_MASK,
  MDS_PATH,
  MDS_PEER_FAMILY,
  MDS_RESERVED,
  NAME_LEN_MAX,
  OBJECT_LEN_MAX,
  RECORD_BYTES,
} from './abi';
import { partOutside } from './osdrecord';

/** Every MAY_* bit. */
const MASK_ALL: u32 = 503;

/**
 * CHECK_OK, or why the body cannot be read: CHECK_RECORD_LENGTH, CHECK_RECORD_FIELD, CHECK_LIMIT.
 */
export function mdsRecordCheck(record: usize): i32 {
  const bytes = load<u32>(record + RECORD_BYTES);
  if (bytes < (MDS_LEN as u32)) return CHECK_RECORD_LENGTH;
  if ((load<u32>(record + MDS_MASK) & ~MASK_ALL) != 0) return CHECK_RECORD_FIELD;
  if (load<u32>(record + MDS_RESERVED) != 0) return CHECK_RECORD_FIELD;
  const family = load<u32>(record + MDS_PEER_FAMILY);
  if (family != 0 && family != 4 && family != 6) return CHECK_RECORD_FIELD;
  const outside =
    partOutside(record, record + MDS_PATH, MDS_LEN) |
    partOutside(record, record + MDS_GIDS, MDS_LEN) |
    partOutside(record, record + MDS_FS, MDS_LEN);
  if (outside) return CHECK_RECORD_LENGTH;
  const gidsLen = load<u32>(record + MDS_GIDS, 4);
  if (gidsLen % 4 != 0) return CHECK_RECORD_FIELD;
  if (
    gidsLen > ((GIDS_MAX * 4) as u32) ||
    load<u32>(record + MDS_PATH, 4) > (OBJECT_LEN_MAX as u32) ||
    load<u32>(record + MDS_FS, 4) > (NAME_LEN_MAX as u32)
  ) {
    return CHECK_LIMIT;
  }
  return CHECK_OK;
}
