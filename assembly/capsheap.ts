/**
 * Blocks of the caps heap: a buddy allocator with a fixed arena, so that compiled caps of any size
 * can come and go for years without growing memory or wearing it into unusable crumbs.
 */

import { CAPS_BLOCK_MIN, capsHeap, capsHeapLen, capsOrders } from './arena';

/** Orders 0 to 20: 256 bytes to 256 MiB. */
const ORDERS: i32 = 21;
/** In capsOrders: this block is free (the order is in the low bits). */
const FREE: u8 = 128;

/** Head of the free list per order: offset + 1, 0 for empty. Links lie in the free blocks. */
const heads: usize = memory.data(84, 4);

/** Makes the whole heap one free block (its length is a power of two of blocks). */
export function capsHeapInit(): void {
  memory.fill(heads, 0, ORDERS * 4);
  let order = 0;
  while (CAPS_BLOCK_MIN << order < capsHeapLen) order++;
  push(0, order);
}

/** A block of at least n bytes, or 0 when none is free. */
export function blockTake(n: i32): usize {
  const order = orderOf(n);
  let from = order;
  while (from < ORDERS && load<u32>(heads + from * 4) == 0) from++;
  if (from >= ORDERS) return 0;
  const offset = load<u32>(heads + from * 4) - 1;
  unlink(offset, from);
  while (from > order) {
    from--;
    push(offset + (CAPS_BLOCK_MIN << from), from);
  }
  store<u8>(tag(offset), order as u8);
  return capsHeap + offset;
}

/** Gives a block back and joins it with its free buddies. */
export function blockGive(block: usize): void {
  let offset = (block - capsHeap) as u32;
  let order: i32 = load<u8>(tag(offset));
  for (;;) {
    const size: u32 = CAPS_BLOCK_MIN << order;
    const buddy = offset ^ size;
    if (size >= (capsHeapLen as u32) || load<u8>(tag(buddy)) != (FREE | (order as u8))) break;
    unlink(buddy, order);
    store<u8>(tag(buddy), 0);
    store<u8>(tag(offset), 0);
    if (buddy < offset) offset = buddy;
    order++;
  }
  push(offset, order);
}

/** Bytes of the largest possible block. */
export function blockMax(): i32 {
  return capsHeapLen;
}

function orderOf(n: i32): i32 {
  let order = 0;
  while (order < ORDERS && CAPS_BLOCK_MIN << order < n) order++;
  return order;
}

function push(offset: u32, order: i32): void {
  const head = load<u32>(heads + order * 4);
  store<u32>(capsHeap + offset, head);
  store<u32>(capsHeap + offset, 0, 4);
  if (head != 0) store<u32>(capsHeap + head - 1, offset + 1, 4);
  store<u32>(heads + order * 4, offset + 1);
  store<u8>(tag(offset), FREE | (order as u8));
}

function unlink(offset: u32, order: i32): void {
  const next = load<u32>(capsHeap + offset);
  const before = load<u32>(capsHeap + offset, 4);
  if (before != 0) store<u32>(capsHeap + before - 1, next);
  else store<u32>(heads + order * 4, next);
  if (next != 0) store<u32>(capsHeap + next - 1, before, 4);
}

function tag(offset: u32): usize {
  return capsOrders + offset / CAPS_BLOCK_MIN;
}
