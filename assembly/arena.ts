/**
 * Named regions of memory. Their sizes follow from the preset given to `init`; nothing grows after.
 *
 * Transient regions come first, then the kept ones (service secrets, sessions, caps, revocations,
 * cached tickets): outside of the kept ones no byte of a session key or of an opened ticket may
 * outlive a call, but for the secret block and what the response was asked to hold.
 */

import {
  ABI_VERSION,
  AUTHORIZER_LEN_MAX,
  BATCH_RECORDS_MAX,
  CAPS_GRANTS_MAX,
  CAPS_VIEW_LEN,
  CHALLENGE_ENTRY_LEN,
  GRANT_LEN,
  HOST_LEN,
  LAYOUT_ABI_VERSION,
  LAYOUT_CAPS_VIEW,
  LAYOUT_CHALLENGES,
  LAYOUT_CHALLENGES_LEN,
  LAYOUT_GRANTS_MAX,
  LAYOUT_HOST,
  LAYOUT_HOST_LEN,
  LAYOUT_KEPT,
  LAYOUT_KEPT_LEN,
  LAYOUT_LEN,
  LAYOUT_PRESET,
  LAYOUT_RANDOM,
  LAYOUT_RANDOM_LEN,
  LAYOUT_REQUEST,
  LAYOUT_REQUEST_LEN,
  LAYOUT_RESPONSE,
  LAYOUT_RESPONSE_LEN,
  LAYOUT_SECRET,
  LAYOUT_SECRET_LEN,
  LAYOUT_SESSIONS_MAX,
  LAYOUT_TICKETS,
  LAYOUT_WORK,
  LAYOUT_WORK_LEN,
  PAGES_LARGE,
  PAGES_SERVER,
  PAGES_SMALL,
  PRESET_LARGE,
  PRESET_SERVER,
  PRESET_SMALL,
  SPAN_LEN,
  TICKETS_LEN,
  TICKETS_MAX,
  WORK_LEN,
} from './abi';
import { AES_WIDE_LEN } from './aes';

/** Static blocks: the host knows them from the layout table. */
export const HOST: usize = memory.data(HOST_LEN, 16);
export const LAYOUT: usize = memory.data(LAYOUT_LEN, 16);
export const CAPS_VIEW: usize = memory.data(CAPS_VIEW_LEN, 16);
export const TICKETS: usize = memory.data(TICKETS_LEN, 16);

export let request: usize = 0;
export let requestLen: i32 = 0;
export let response: usize = 0;
export let responseLen: i32 = 0;
export let secretBlock: usize = 0;
export let secretBlockLen: i32 = 0;
export let work: usize = 0;
export let random: usize = 0;
export let randomLen: i32 = 0;
export let challenges: usize = 0;

/** Plaintext of a ticket, then of part b, while `verify` runs. */
export let plain: usize = 0;
export const PLAIN_LEN: i32 = 2 * AUTHORIZER_LEN_MAX + 1024;

/** Grants, spans and gids of the caps text that is being parsed. */
export let grantScratch: usize = 0;
export let grantScratchMax: i32 = 0;
export let spanScratch: usize = 0;
export let gidScratch: usize = 0;
export let gidScratchMax: i32 = 0;

export let secrets: usize = 0;
export let wides: usize = 0;
export let sessions: usize = 0;
export let sessionsMax: i32 = 0;
export let capsSlots: usize = 0;
export let capsSlotsMax: i32 = 0;
export let capsBuckets: usize = 0;
export let capsOrders: usize = 0;
export let capsHeap: usize = 0;
export let capsHeapLen: i32 = 0;
export let revocations: usize = 0;
export let ticketTags: usize = 0;
export let ticketSlots: usize = 0;
export let ticketsMax: i32 = 0;

/** A slot of secrets.ts for each of 64 secrets of five services. */
export const SECRET_LEN: i32 = 416;
export const SECRETS_LEN: i32 = 5 * 64 * SECRET_LEN;
/** Wide schedules (aes.ts): enough for the secrets that five services rotate, and as many again. */
export const WIDES_MAX: i32 = 32;
export const SESSION_LEN: i32 = 320;
export const CAPS_SLOT_LEN: i32 = 64;
/** Smallest block of the caps heap, in bytes. */
export const CAPS_BLOCK_MIN: i32 = 256;
export const REVOCATIONS_LEN: i32 = 1024 * 160;
/** Not a power of two: slots would share the same few sets of a cache. */
export const TICKET_SLOT_LEN: i32 = 2048 + 64;

const PAGE: i32 = 65536;

let next: usize = 0;

/** Lays the regions out. Returns 1, or 0 for an unknown preset, a second call, or no memory. */
export function arenaInit(preset: i32): i32 {
  if (work != 0 || preset < PRESET_SMALL || preset > PRESET_LARGE) return 0;
  const small = preset == PRESET_SMALL;
  const pages = small ? PAGES_SMALL : preset == PRESET_SERVER ? PAGES_SERVER : PAGES_LARGE;
  const have = memory.size();
  if (have < pages && memory.grow(pages - have) < 0) return 0;
  sizes(preset);
  next = (__heap_base + 15) & ~15;
  layTransient();
  const kept = next;
  layKept();
  if (next > (pages as usize) * PAGE) return 0;
  fillLayout(preset, kept);
  return 1;
}

function sizes(preset: i32): void {
  const small = preset == PRESET_SMALL;
  const large = preset == PRESET_LARGE;
  requestLen = small ? 1179648 : 4259840;
  responseLen = small ? 262144 : 4194304;
  secretBlockLen = small ? 8192 : 262144;
  randomLen = small ? 8192 : 131072;
  grantScratchMax = small ? CAPS_GRANTS_MAX : 65536;
  gidScratchMax = small ? 16384 : 65536;
  sessionsMax = small ? 512 : large ? 262144 : 16384;
  capsSlotsMax = small ? 1024 : large ? 524288 : 32768;
  capsHeapLen = small ? 524288 : large ? 268435456 : 33554432;
  ticketsMax = small ? 128 : large ? 32768 : 4096;
}

function layTransient(): void {
  request = take(requestLen);
  response = take(responseLen);
  secretBlock = take(secretBlockLen);
  work = take(WORK_LEN);
  random = take(randomLen);
  challenges = take(BATCH_RECORDS_MAX * CHALLENGE_ENTRY_LEN);
  plain = take(PLAIN_LEN);
  grantScratch = take(grantScratchMax * GRANT_LEN);
  spanScratch = take(CAPS_GRANTS_MAX * SPAN_LEN);
  gidScratch = take(gidScratchMax * 4);
}

function layKept(): void {
  secrets = take(SECRETS_LEN);
  wides = take(WIDES_MAX * AES_WIDE_LEN);
  sessions = take(sessionsMax * SESSION_LEN);
  capsSlots = take(capsSlotsMax * CAPS_SLOT_LEN);
  capsBuckets = take(capsSlotsMax * 4);
  capsOrders = take(capsHeapLen / CAPS_BLOCK_MIN);
  capsHeap = take(capsHeapLen);
  revocations = take(REVOCATIONS_LEN);
  ticketTags = take(ticketsMax * 4);
  ticketSlots = take(ticketsMax * TICKET_SLOT_LEN);
}

function take(bytes: i32): usize {
  const at = next;
  next = (at + bytes + 15) & ~15;
  return at;
}

function fillLayout(preset: i32, kept: usize): void {
  word(LAYOUT_ABI_VERSION, ABI_VERSION);
  word(LAYOUT_PRESET, preset);
  region(LAYOUT_HOST, LAYOUT_HOST_LEN, HOST, HOST_LEN);
  region(LAYOUT_REQUEST, LAYOUT_REQUEST_LEN, request, requestLen);
  region(LAYOUT_RESPONSE, LAYOUT_RESPONSE_LEN, response, responseLen);
  region(LAYOUT_SECRET, LAYOUT_SECRET_LEN, secretBlock, secretBlockLen);
  region(LAYOUT_WORK, LAYOUT_WORK_LEN, work, WORK_LEN);
  region(LAYOUT_RANDOM, LAYOUT_RANDOM_LEN, random, randomLen);
  region(
    LAYOUT_CHALLENGES,
    LAYOUT_CHALLENGES_LEN,
    challenges,
    BATCH_RECORDS_MAX * CHALLENGE_ENTRY_LEN,
  );
  region(LAYOUT_KEPT, LAYOUT_KEPT_LEN, kept, (next - kept) as i32);
  word(LAYOUT_SESSIONS_MAX, sessionsMax);
  word(LAYOUT_GRANTS_MAX, grantScratchMax);
  word(LAYOUT_CAPS_VIEW, CAPS_VIEW as i32);
  word(LAYOUT_TICKETS, TICKETS as i32);
  store<u32>(TICKETS + TICKETS_MAX, ticketsMax);
}

/** Writes one word of the layout table. */
export function word(field: i32, value: i32): void {
  store<u32>(LAYOUT + field, value);
}

function region(field: i32, lenField: i32, at: usize, len: i32): void {
  word(field, at as i32);
  word(lenField, len);
}
