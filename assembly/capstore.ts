/**
 * Caps texts and their compiled grants, kept once per content: sessions with the same caps share
 * them, and a text is compiled on the first check that needs it, never inside `verify`.
 *
 * Unused caps stay until their room is needed; the least recently used go first. A handle of
 * compiled caps is slot + generation like a session's, with bit 31 set.
 */

import {
  CAPS_GRANTS_MAX,
  CAPS_VIEW_GID_COUNT,
  CAPS_VIEW_GIDS,
  CAPS_VIEW_GRANT_COUNT,
  CAPS_VIEW_GRANTS,
  CAPS_VIEW_SPAN_COUNT,
  CAPS_VIEW_SPANS,
  CAPS_VIEW_TEXT,
  CAPS_VIEW_TEXT_LEN,
  ENTITY_TYPE_MDS,
  ENTITY_TYPE_OSD,
  GRANT_LEN,
  SPAN_LEN,
} from './abi';
import {
  CAPS_SLOT_LEN,
  CAPS_VIEW,
  capsBuckets,
  capsHeapLen,
  capsSlots,
  capsSlotsMax,
  gidScratch,
  gidScratchMax,
  grantScratch,
  grantScratchMax,
  spanScratch,
} from './arena';
import { equal } from './bytes';
import { blockGive, blockTake, capsHeapInit } from './capsheap';
import {
  mdscapGidCount,
  mdscapIsAllowAll,
  mdscapNewMessage,
  mdscapParse,
  mdscapStop,
  mdscapWritten,
} from './mdscap';
import { osdcapIsAllowAll, osdcapParse, osdcapStop, osdcapWritten } from './osdcap';

export const CAPS_GENERATION: i32 = 0;
/** u32: CAPS_FREE ... CAPS_BAD. */
export const CAPS_STATE: i32 = 4;
const CAPS_SERVICE: i32 = 8;
const CAPS_HASH: i32 = 12;
const CAPS_REFS: i32 = 16;
const CAPS_TICK: i32 = 20;
/** u32: address of the text; grants, spans and gids follow it, each 8-aligned. */
export const CAPS_TEXT: i32 = 24;
export const CAPS_TEXT_LEN: i32 = 28;
export const CAPS_GRANTS: i32 = 32;
export const CAPS_COUNT: i32 = 36;
export const CAPS_SPANS: i32 = 40;
export const CAPS_WRITTEN: i32 = 44;
export const CAPS_GIDS: i32 = 48;
export const CAPS_GID_COUNT: i32 = 52;
/** u32: next slot + 1 in the hash bucket. */
const CAPS_NEXT: i32 = 56;
/** u32: release of the grammar (16, 20). */
export const CAPS_RELEASE: i32 = 60;

const CAPS_FREE: u32 = 0;
/** The text is kept, not looked at yet. */
const CAPS_TEXT_ONLY: u32 = 1;
export const CAPS_COMPILED: u32 = 2;
/** The text does not parse. */
export const CAPS_BAD: u32 = 3;

/** Results of `capsCompile` besides a count of grants. */
export const CAPS_UNPARSABLE: i32 = -1;
export const CAPS_TOO_LARGE: i32 = -2;

let tick: u32 = 0;

/** Empties the store; call once after the arena was laid out. */
export function capsInit(): void {
  capsHeapInit();
}

/** Parse results of the last `capsCompile`. */
export let compiledStop: i32 = 0;
export let compiledWritten: i32 = 0;
export let compiledGids: i32 = 0;
export let compiledAllowAll: i32 = 0;
export let compiledNewMessage: i32 = 0;

/** Parses a text into the scratch regions. Returns grants (>= 1), CAPS_UNPARSABLE or _TOO_LARGE. */
export function capsCompile(service: u32, release: i32, text: usize, len: i32): i32 {
  compiledGids = 0;
  compiledNewMessage = 0;
  let count: i32;
  if (service == ENTITY_TYPE_MDS) {
    count = mdscapParse(
      text,
      len,
      release,
      grantScratch,
      grantScratchMax,
      spanScratch,
      CAPS_GRANTS_MAX,
      gidScratch,
      gidScratchMax,
    );
    compiledStop = mdscapStop();
    compiledWritten = mdscapWritten();
    compiledNewMessage = mdscapNewMessage();
    if (count > 0) compiledGids = mdscapGidCount();
    compiledAllowAll = count > 0 ? mdscapIsAllowAll(grantScratch, count) : 0;
    return count;
  }
  count = osdcapParse(text, len, grantScratch, grantScratchMax, spanScratch, CAPS_GRANTS_MAX);
  compiledStop = osdcapStop();
  compiledWritten = osdcapWritten();
  compiledAllowAll = count > 0 ? osdcapIsAllowAll(grantScratch, count) : 0;
  return count;
}

/** 1 for the services whose caps the core knows. */
export function capsService(service: u32): i32 {
  return (service == ENTITY_TYPE_OSD || service == ENTITY_TYPE_MDS) as i32;
}

/**
 * The slot that holds this text for (service, release), made if need be; -1 when there is no room.
 */
export function capsIntern(service: u32, release: u32, text: usize, len: i32): i32 {
  // Most tickets carry the caps of the one before.
  if (latest >= 0 && holds(at(latest), service, release, text, len)) {
    store<u32>(at(latest) + CAPS_TICK, ++tick);
    return latest;
  }
  const hash = hashOf(service ^ (release << 8), text, len);
  const bucket = capsBuckets + (hash & (capsSlotsMax - 1)) * 4;
  for (let link = load<u32>(bucket); link != 0; ) {
    const slot = at(link - 1);
    if (load<u32>(slot + CAPS_HASH) == hash && holds(slot, service, release, text, len)) {
      store<u32>(slot + CAPS_TICK, ++tick);
      latest = (link - 1) as i32;
      return latest;
    }
    link = load<u32>(slot + CAPS_NEXT);
  }
  return intern(bucket, hash, service, release, text, len);
}

/** The slot that was last found or made, -1 for none. */
let latest: i32 = -1;

/** Whether a slot is in use for this text. */
function holds(slot: usize, service: u32, release: u32, text: usize, len: i32): bool {
  return (
    load<u32>(slot + CAPS_STATE) != CAPS_FREE &&
    load<i32>(slot + CAPS_TEXT_LEN) == len &&
    load<u32>(slot + CAPS_SERVICE) == service &&
    load<u32>(slot + CAPS_RELEASE) == release &&
    equal(load<u32>(slot + CAPS_TEXT), text, len) != 0
  );
}

function intern(bucket: usize, hash: u32, service: u32, release: u32, text: usize, len: i32): i32 {
  const index = freeSlot();
  if (index < 0) return -1;
  const slot = at(index);
  const block = makeRoom(len, -1);
  if (block == 0) return -1;
  memory.copy(block, text, len);
  store<u32>(slot + CAPS_STATE, CAPS_TEXT_ONLY);
  store<u32>(slot + CAPS_SERVICE, service);
  store<u32>(slot + CAPS_RELEASE, release);
  store<u32>(slot + CAPS_HASH, hash);
  store<u32>(slot + CAPS_REFS, 0);
  store<u32>(slot + CAPS_TICK, ++tick);
  store<u32>(slot + CAPS_TEXT, block as u32);
  store<i32>(slot + CAPS_TEXT_LEN, len);
  store<u32>(slot + CAPS_NEXT, load<u32>(bucket));
  store<u32>(bucket, index + 1);
  latest = index;
  return index;
}

/** The slot, compiled if it was not yet; 0 when there is no room for its grants. */
export function capsReady(index: i32): usize {
  const slot = at(index);
  store<u32>(slot + CAPS_TICK, ++tick);
  if (load<u32>(slot + CAPS_STATE) != CAPS_TEXT_ONLY) return slot;
  const text = load<u32>(slot + CAPS_TEXT);
  const len = load<i32>(slot + CAPS_TEXT_LEN);
  const count = capsCompile(
    load<u32>(slot + CAPS_SERVICE),
    load<i32>(slot + CAPS_RELEASE),
    text,
    len,
  );
  if (count == CAPS_TOO_LARGE) return 0;
  if (count < 0) {
    store<u32>(slot + CAPS_STATE, CAPS_BAD);
    return slot;
  }
  return keepCompiled(index, count) ? slot : 0;
}

/** Moves the text of a slot and the scratch regions into one block. */
function keepCompiled(index: i32, count: i32): i32 {
  const slot = at(index);
  const text = load<u32>(slot + CAPS_TEXT);
  const len = load<i32>(slot + CAPS_TEXT_LEN);
  const grants = (len + 7) & ~7;
  const spans = grants + count * GRANT_LEN;
  const gids = spans + compiledWritten * SPAN_LEN;
  const block = makeRoom(gids + compiledGids * 4, index);
  if (block == 0) return 0;
  memory.copy(block, text, len);
  memory.copy(block + grants, grantScratch, count * GRANT_LEN);
  memory.copy(block + spans, spanScratch, compiledWritten * SPAN_LEN);
  memory.copy(block + gids, gidScratch, compiledGids * 4);
  blockGive(text);
  store<u32>(slot + CAPS_TEXT, block as u32);
  store<u32>(slot + CAPS_GRANTS, (block + grants) as u32);
  store<i32>(slot + CAPS_COUNT, count);
  store<u32>(slot + CAPS_SPANS, (block + spans) as u32);
  store<i32>(slot + CAPS_WRITTEN, compiledWritten);
  store<u32>(slot + CAPS_GIDS, (block + gids) as u32);
  store<i32>(slot + CAPS_GID_COUNT, compiledGids);
  store<u32>(slot + CAPS_STATE, CAPS_COMPILED);
  return 1;
}

/** A session begins or ends to use a slot. */
export function capsRetain(index: i32): void {
  const slot = at(index);
  store<u32>(slot + CAPS_REFS, load<u32>(slot + CAPS_REFS) + 1);
}

export function capsRelease(index: i32): void {
  const slot = at(index);
  store<u32>(slot + CAPS_REFS, load<u32>(slot + CAPS_REFS) - 1);
}

const HANDLE_BIT: u32 = 0x80000000;

export function capsHandle(index: i32): u64 {
  return ((load<u32>(at(index) + CAPS_GENERATION) as u64) << 32) | (HANDLE_BIT | (index + 1));
}

/** 1 if a handle is one of caps, not of a session. */
export function isCapsHandle(handle: u64): i32 {
  return (((handle as u32) & HANDLE_BIT) != 0) as i32;
}

/** The slot index of a caps handle for this service, or -1. */
export function capsFind(handle: u64, service: u32): i32 {
  const index = (((handle as u32) & ~HANDLE_BIT) as i32) - 1;
  if (index < 0 || index >= capsSlotsMax) return -1;
  const slot = at(index);
  if (load<u32>(slot + CAPS_STATE) == CAPS_FREE) return -1;
  if (load<u32>(slot + CAPS_GENERATION) != ((handle >> 32) as u32)) return -1;
  return load<u32>(slot + CAPS_SERVICE) == service ? index : -1;
}

/** Drops every caps text that no session uses. */
export function capsClear(): void {
  for (let i = 0; i < capsSlotsMax; i++) {
    const slot = at(i);
    if (load<u32>(slot + CAPS_STATE) != CAPS_FREE && load<u32>(slot + CAPS_REFS) == 0) remove(i);
  }
}

/** Fills the caps view for the host. Returns 1, or 0 if the slot is not compiled. */
export function capsView(index: i32): i32 {
  const slot = at(index);
  if (load<u32>(slot + CAPS_STATE) != CAPS_COMPILED) return 0;
  store<u32>(CAPS_VIEW + CAPS_VIEW_TEXT, load<u32>(slot + CAPS_TEXT));
  store<u32>(CAPS_VIEW + CAPS_VIEW_TEXT_LEN, load<u32>(slot + CAPS_TEXT_LEN));
  store<u32>(CAPS_VIEW + CAPS_VIEW_GRANTS, load<u32>(slot + CAPS_GRANTS));
  store<u32>(CAPS_VIEW + CAPS_VIEW_GRANT_COUNT, load<u32>(slot + CAPS_COUNT));
  store<u32>(CAPS_VIEW + CAPS_VIEW_SPANS, load<u32>(slot + CAPS_SPANS));
  store<u32>(CAPS_VIEW + CAPS_VIEW_SPAN_COUNT, load<u32>(slot + CAPS_WRITTEN));
  store<u32>(CAPS_VIEW + CAPS_VIEW_GIDS, load<u32>(slot + CAPS_GIDS));
  store<u32>(CAPS_VIEW + CAPS_VIEW_GID_COUNT, load<u32>(slot + CAPS_GID_COUNT));
  return 1;
}

/** A free slot, evicting the oldest unused one if all are taken; -1 when sessions use all. */
function freeSlot(): i32 {
  for (let i = 0; i < capsSlotsMax; i++) {
    const index = (searchFrom + i) & (capsSlotsMax - 1);
    if (load<u32>(at(index) + CAPS_STATE) == CAPS_FREE) {
      searchFrom = index + 1;
      return index;
    }
  }
  const victim = oldestUnused(-1);
  if (victim >= 0) remove(victim);
  return victim;
}

let searchFrom: i32 = 0;

/**
 * A block of n bytes, evicting unused caps (never slot `keep`) until one is free; 0 if hopeless.
 */
function makeRoom(n: i32, keep: i32): usize {
  if (n > capsHeapLen) return 0;
  let block = blockTake(n);
  while (block == 0) {
    const victim = oldestUnused(keep);
    if (victim < 0) return 0;
    remove(victim);
    block = blockTake(n);
  }
  return block;
}

function oldestUnused(keep: i32): i32 {
  let best = -1;
  let age: u32 = 0;
  for (let i = 0; i < capsSlotsMax; i++) {
    const slot = at(i);
    if (i == keep || load<u32>(slot + CAPS_STATE) == CAPS_FREE) continue;
    if (load<u32>(slot + CAPS_REFS) != 0) continue;
    const mine = tick - load<u32>(slot + CAPS_TICK);
    if (best < 0 || mine > age) {
      best = i;
      age = mine;
    }
  }
  return best;
}

function remove(index: i32): void {
  const slot = at(index);
  blockGive(load<u32>(slot + CAPS_TEXT));
  let link = capsBuckets + (load<u32>(slot + CAPS_HASH) & (capsSlotsMax - 1)) * 4;
  while (load<u32>(link) != ((index + 1) as u32)) link = at(load<u32>(link) - 1) + CAPS_NEXT;
  store<u32>(link, load<u32>(slot + CAPS_NEXT));
  const generation = load<u32>(slot + CAPS_GENERATION) + 1;
  memory.fill(slot, 0, CAPS_SLOT_LEN);
  store<u32>(slot + CAPS_GENERATION, generation);
}

/** A hash for the buckets alone: a text is compared in full. */
function hashOf(seed: u32, p: usize, n: i32): u32 {
  let hash: u64 = (seed as u64) ^ ((n as u64) << 32);
  let i = 0;
  for (; i + 8 <= n; i += 8) hash = mix(hash, load<u64>(p + i));
  for (; i < n; i++) hash = mix(hash, load<u8>(p + i));
  return (hash >> 32) as u32;
}

function mix(hash: u64, word: u64): u64 {
  const sum = (hash ^ word) * 0x9e3779b97f4a7c15;
  return sum ^ (sum >> 29);
}

function at(index: i32): usize {
  return capsSlots + index * CAPS_SLOT_LEN;
}
