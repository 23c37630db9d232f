/**
 * What the wire adds to the core's records (assembly/abi.ts): a frame is one request record, and
 * its first word, the length of the record, is also the length of the frame. An answer is one
 * verdict record, with what only the sidecar can add to the verdict of a verify record.
 */

import { RECORD_HEADER_LEN, TAIL_DETAIL } from '../../assembly/abi.ts';

/** Longest frame, in bytes. */
export const FRAME_LEN_MAX = 1_048_576;

/**
 * In the verdict of a verify record, the pair (offset, length) of the text to send back: the
 * challenge state while a challenge is required, the receipt once one was answered.
 */
export const VERDICT_TOKEN: number = TAIL_DETAIL;
/**
 * u32 in the verdict of a verify record: offset of the connection secret (64 bytes), 0 for none.
 */
export const VERDICT_CONNECTION_SECRET = 68;

/** Where the frame that starts at `at` ends; -1 if its length cannot be right. */
export function frameEnd(view: DataView, at: number): number {
  const length = view.getUint32(at, true);
  return length < RECORD_HEADER_LEN || length > FRAME_LEN_MAX ? -1 : at + length;
}
