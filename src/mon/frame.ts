/**
 * Frames of msgr2 (Ceph: frames_v2.cc): how a tag and up to four segments become bytes, and back,
 * in both revisions of the protocol and both modes of a connection. Bytes in, frames out; the
 * transport is elsewhere.
 */

import { equalBytes, Reader, Writer } from '../cephx/denc.ts';
import { CRC_PREAMBLE, CRC_SEGMENT, crc32c } from './crc32c.ts';
import { protocolError } from './errors.ts';
import { GCM_TAG_LEN, type GcmStreams, type Revision } from './gcm.ts';

/** One frame. Control frames have one segment, messages up to four. */
export interface Frame {
  readonly tag: number;
  /** 1 to 4; of several the last is not empty. */
  readonly segments: readonly Uint8Array[];
}

/** Longest segments in bytes, by position: checked before anything is made for them. */
export type SegmentLimits = readonly [number, number, number, number];

/** 64 KiB a frame until the peer is authenticated. */
export const LIMITS_BEFORE_AUTH: SegmentLimits = [65_536, 0, 0, 0];
/** A header of 4 KiB would do, but control frames share its place. */
export const LIMITS_AFTER_AUTH: SegmentLimits = [65_536, 16_777_216, 16_777_216, 16_777_216];

/** Reads one frame: yields how many bytes it needs next, is given them, returns the frame. */
export type FrameSteps = Generator<number, Frame, Uint8Array>;

/** How a connection cuts its bytes into frames, at one moment of its life. */
export interface Framing {
  encode(frame: Frame): Uint8Array;
  /** Throws MonError `mon.protocol`. */
  decode(limits: SegmentLimits): FrameSteps;
}

/** In the clear, with checksums: before authentication, and in crc mode after it. */
export function crcFraming(revision: Revision): Framing {
  return revision === 1
    ? { encode: encodeCrc21, decode: decodeCrc21 }
    : { encode: encodeCrc20, decode: decodeCrc20 };
}

/** Encrypted: in secure mode, from AUTH_SIGNATURE on. */
export function secureFraming(revision: Revision, streams: GcmStreams): Framing {
  return revision === 1
    ? {
        encode: (frame) => encodeSecure21(frame, streams),
        decode: (limits) => decodeSecure21(limits, streams),
      }
    : {
        encode: (frame) => encodeSecure20(frame, streams),
        decode: (limits) => decodeSecure20(limits, streams),
      };
}

/**
 * Preamble, 32 bytes.
 *
 *   0 u8 tag · 1 u8 count · 2 4 x { u32 length · u16 alignment } · 26 u8 flags · 27 u8 0 · 28 u32
 * crc
 */
function encodePreamble({ tag, segments }: Frame): Uint8Array {
  const count = segments.length;
  if (count < 1 || count > SEGMENTS_MAX || (count > 1 && segments[count - 1]!.length === 0)) {
    throw new RangeError(`cannot make a frame of ${count} segments: the last one is empty`);
  }
  const out = new Writer().u8(tag).u8(count);
  for (const [index, alignment] of ALIGNMENTS.entries()) {
    const segment = segments[index];
    out.u32(segment?.length ?? 0).u16(segment === undefined ? 0 : alignment);
  }
  const bytes = out.u16(0).finish();
  return new Writer().bytes(bytes).u32(crc32c(bytes, CRC_PREAMBLE)).finish();
}

interface Preamble {
  readonly tag: number;
  readonly lengths: readonly number[];
}

function decodePreamble(bytes: Uint8Array, limits: SegmentLimits): Preamble {
  const reader = new Reader(bytes.subarray(0, PREAMBLE_LEN));
  const tag = reader.u8();
  const count = reader.u8();
  const lengths = ALIGNMENTS.map(() => {
    const length = reader.u32();
    reader.u16();
    return length;
  });
  const flags = reader.u8();
  reader.u8();
  const crc = crc32c(bytes.subarray(0, PREAMBLE_LEN - 4), CRC_PREAMBLE);
  if (reader.u32() !== crc) throw protocolError('frame preamble', 'its checksum is wrong');
  if (flags !== 0) throw protocolError('frame preamble', `flags ${flags}, none were agreed on`);
  if (count < 1 || count > SEGMENTS_MAX) {
    throw protocolError('frame preamble', `it has ${count} segments`);
  }
  if (count > 1 && lengths[count - 1] === 0) {
    throw protocolError('frame preamble', 'its last segment is empty');
  }
  for (const [index, length] of lengths.entries()) {
    if (index >= count && length !== 0) {
      throw protocolError('frame preamble', `segment ${index} is not counted`);
    }
    if (length > limits[index]!) {
      const most = limits[index]!;
      throw protocolError('frame preamble', `segment ${index} of ${length} bytes, limit ${most}`);
    }
  }
  return { tag, lengths: lengths.slice(0, count) };
}

function encodeCrc21(frame: Frame): Uint8Array {
  const [first, ...others] = frame.segments as [Uint8Array, ...Uint8Array[]];
  const out = new Writer().bytes(encodePreamble(frame)).bytes(first);
  if (first.length > 0) out.u32(crc32c(first, CRC_SEGMENT));
  if (others.length === 0) return out.finish();
  for (const segment of others) out.bytes(segment);
  out.u8(LATE_COMPLETE);
  for (const index of [0, 1, 2]) out.u32(crcOf(others[index]));
  return out.finish();
}

function* decodeCrc21(limits: SegmentLimits): FrameSteps {
  const { tag, lengths } = decodePreamble(yield PREAMBLE_LEN, limits);
  const [firstLength, ...otherLengths] = lengths as [number, ...number[]];
  let first = new Uint8Array(0);
  if (firstLength > 0) {
    const read = yield firstLength + 4;
    first = read.slice(0, firstLength);
    checkCrc(first, new Reader(read.subarray(firstLength)).u32(), 0);
  }
  if (otherLengths.length === 0) return { tag, segments: [first] };
  const rest = new Reader(yield sum(otherLengths) + EPILOGUE_21_LEN);
  const others = otherLengths.map((length) => rest.bytes(length).slice());
  checkLateStatus(rest.u8());
  for (const index of [0, 1, 2]) checkCrc(others[index], rest.u32(), index + 1);
  return { tag, segments: [first, ...others] };
}

function encodeCrc20(frame: Frame): Uint8Array {
  const out = new Writer().bytes(encodePreamble(frame));
  for (const segment of frame.segments) out.bytes(segment);
  out.u8(0);
  for (const index of [0, 1, 2, 3]) out.u32(crcOf(frame.segments[index]));
  return out.finish();
}

function* decodeCrc20(limits: SegmentLimits): FrameSteps {
  const { tag, lengths } = decodePreamble(yield PREAMBLE_LEN, limits);
  const rest = new Reader(yield sum(lengths) + EPILOGUE_20_LEN);
  const segments = lengths.map((length) => rest.bytes(length).slice());
  checkLateFlags(rest.u8());
  for (const index of [0, 1, 2, 3]) checkCrc(segments[index], rest.u32(), index);
  return { tag, segments };
}

function encodeSecure21(frame: Frame, { send }: GcmStreams): Uint8Array {
  const [first, ...others] = frame.segments as [Uint8Array, ...Uint8Array[]];
  const inline = first.subarray(0, INLINE_LEN);
  const head = new Writer().bytes(encodePreamble(frame)).bytes(padded(inline, INLINE_LEN));
  const out = new Writer().bytes(send.seal(head.finish()));
  if (first.length > INLINE_LEN) out.bytes(send.seal(padded(first.subarray(INLINE_LEN))));
  if (others.length === 0) return out.finish();
  const tail = new Writer();
  for (const segment of others) tail.bytes(padded(segment));
  tail.u8(LATE_COMPLETE).bytes(new Uint8Array(BLOCK_LEN - 1));
  return out.bytes(send.seal(tail.finish())).finish();
}

function* decodeSecure21(limits: SegmentLimits, { receive }: GcmStreams): FrameSteps {
  const head = receive.open(yield PREAMBLE_LEN + INLINE_LEN + GCM_TAG_LEN);
  const { tag, lengths } = decodePreamble(head, limits);
  const [firstLength, ...otherLengths] = lengths as [number, ...number[]];
  const first = new Uint8Array(firstLength);
  first.set(head.subarray(PREAMBLE_LEN, PREAMBLE_LEN + Math.min(firstLength, INLINE_LEN)));
  checkPadding(head.subarray(PREAMBLE_LEN + Math.min(firstLength, INLINE_LEN)));
  if (firstLength > INLINE_LEN) {
    const length = firstLength - INLINE_LEN;
    const more = receive.open(yield paddedLength(length) + GCM_TAG_LEN);
    first.set(more.subarray(0, length), INLINE_LEN);
    checkPadding(more.subarray(length));
    more.fill(0);
  }
  if (otherLengths.length === 0) return { tag, segments: [first] };
  const paddedSum = sum(otherLengths.map(paddedLength));
  const unit = receive.open(yield paddedSum + BLOCK_LEN + GCM_TAG_LEN);
  const rest = new Reader(unit);
  const others = otherLengths.map((length) => takePadded(rest, length));
  checkLateStatus(rest.u8());
  checkPadding(rest.rest());
  // What a message says may be secret: only its segments hold it now.
  unit.fill(0);
  return { tag, segments: [first, ...others] };
}

function encodeSecure20(frame: Frame, { send }: GcmStreams): Uint8Array {
  const out = new Writer().bytes(encodePreamble(frame));
  for (const segment of frame.segments) out.bytes(padded(segment));
  return send.seal(out.bytes(new Uint8Array(BLOCK_LEN)).finish());
}

/** Ceph's own way: the first block is decrypted, and believed, before the tag is there. */
function* decodeSecure20(limits: SegmentLimits, { receive }: GcmStreams): FrameSteps {
  const head = yield PREAMBLE_LEN;
  const { lengths } = decodePreamble(receive.peek(head), limits);
  const rest = yield sum(lengths.map(paddedLength)) + BLOCK_LEN + GCM_TAG_LEN;
  const unit = receive.open(new Writer().bytes(head).bytes(rest).finish());
  const { tag } = decodePreamble(unit, limits);
  const body = new Reader(unit.subarray(PREAMBLE_LEN));
  const segments = lengths.map((length) => takePadded(body, length));
  checkLateFlags(body.u8());
  checkPadding(body.rest());
  return { tag, segments };
}

function takePadded(reader: Reader, length: number): Uint8Array {
  const block = reader.bytes(paddedLength(length));
  checkPadding(block.subarray(length));
  return block.slice(0, length);
}

function padded(segment: Uint8Array, length = paddedLength(segment.length)): Uint8Array {
  const out = new Uint8Array(length);
  out.set(segment);
  return out;
}

function paddedLength(length: number): number {
  return Math.ceil(length / BLOCK_LEN) * BLOCK_LEN;
}

function checkPadding(bytes: Uint8Array): void {
  if (equalBytes(bytes, new Uint8Array(bytes.length))) return;
  throw protocolError('secure frame', 'its padding is not zero');
}

/** A segment beyond the count has crc 0. */
function crcOf(segment: Uint8Array | undefined): number {
  return segment === undefined ? 0 : crc32c(segment, CRC_SEGMENT);
}

function checkCrc(segment: Uint8Array | undefined, crc: number, index: number): void {
  if (crc === crcOf(segment)) return;
  throw protocolError('frame', `the checksum of segment ${index} is wrong`);
}

/** An aborted frame is an error, as it is for Linux: a monitor has no reason to send one. */
function checkLateStatus(status: number): void {
  if ((status & 0x0f) === LATE_COMPLETE) return;
  throw protocolError('frame epilogue', `status ${status}`);
}

function checkLateFlags(flags: number): void {
  if (flags !== 0) throw protocolError('frame epilogue', `flags ${flags}`);
}

function sum(lengths: readonly number[]): number {
  return lengths.reduce((total, length) => total + length, 0);
}

const SEGMENTS_MAX = 4;
const PREAMBLE_LEN = 32;
const EPILOGUE_20_LEN = 17;
const EPILOGUE_21_LEN = 13;
/** What of the first segment travels with the preamble. */
const INLINE_LEN = 48;
const BLOCK_LEN = 16;
const LATE_COMPLETE = 0x0e;
/** By position; msgr2 says them, nobody uses them. */
const ALIGNMENTS = [8, 8, 8, 4096] as const;
