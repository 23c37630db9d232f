/**
 * The position in a caps text, and the tokens that the OSD and MDS grammars share (spec section
 * 1.2). A token that is not there leaves the position where it was.
 */

/** White space of the two grammars as bits 1 << code: inside OSD grants, inside MDS grants. */
export const SPACES_SIX: u64 = 0x100003e00;
export const SPACES_THREE: u64 = 0x100000600;

/** Address of the byte that is looked at next. */
export let scanAt: usize = 0;
let scanText: usize = 0;
let scanEnd: usize = 0;
let scanSpaces: u64 = 0;

/** Offset and length, within the text, of what `word`, `str` or the like took last. */
export let tokenAt: u32 = 0;
export let tokenLen: u32 = 0;

/** Starts at the first of n bytes of text; `spaces` is what `sp` takes. */
export function scanBegin(text: usize, n: i32, spaces: u64): void {
  scanText = text;
  scanAt = text;
  scanEnd = text + n;
  scanSpaces = spaces;
}

/** Goes back (or on) to an address that `scanAt` had. */
export function scanSeek(at: usize): void {
  scanAt = at;
}

/** Offset of the position from the start of the text. */
export function scanOffset(): i32 {
  return (scanAt - scanText) as i32;
}

export function scanDone(): bool {
  return scanAt == scanEnd;
}

/** Skips white space of this set, if there is any. */
export function scanSkip(spaces: u64): void {
  while (scanAt < scanEnd && isSpace(load<u8>(scanAt), spaces)) scanAt++;
}

/** One or more white space. */
export function sp(): bool {
  if (scanAt == scanEnd || !isSpace(load<u8>(scanAt), scanSpaces)) return false;
  scanSkip(scanSpaces);
  return true;
}

function isSpace(c: u32, spaces: u64): bool {
  return c <= 32 && ((spaces >> c) & 1) != 0;
}

/** The byte c. */
export function byte(c: u32): bool {
  if (scanAt == scanEnd || (load<u8>(scanAt) as u32) != c) return false;
  scanAt++;
  return true;
}

/** An ASCII keyword. It has no boundary: `allow` is in `allowed`. */
export function keyword(text: string): bool {
  const n = text.length;
  if (scanEnd - scanAt < (n as usize)) return false;
  for (let i = 0; i < n; i++) {
    if ((load<u8>(scanAt + i) as u32) != (text.charCodeAt(i) as u32)) return false;
  }
  scanAt += n;
  return true;
}

/** sp, then a keyword. */
export function spKeyword(text: string): bool {
  const begin = scanAt;
  if (sp() && keyword(text)) return true;
  scanAt = begin;
  return false;
}

/** A keyword, then "=" or sp. */
export function keywordValue(text: string): bool {
  const begin = scanAt;
  if (keyword(text) && (byte(0x3d) || sp())) return true;
  scanAt = begin;
  return false;
}

/** quoted1 | word: never empty. */
export function str(): bool {
  return quoted(1) || word();
}

/** quoted0 | word. */
export function estr(): bool {
  return quoted(0) || word();
}

/** Letters, digits, `_`, `.`, `/` and `-`. */
export function word(): bool {
  return run(CLASS_WORD);
}

/** Letters, digits, `_`, `.` and `-`. */
export function fsname(): bool {
  return run(CLASS_FSNAME);
}

/** Hexadecimal digits, `.`, `:`, `/`, `[` and `]`. */
export function netchars(): bool {
  return run(CLASS_NET);
}

function quoted(least: usize): bool {
  if (scanAt == scanEnd) return false;
  const quote = load<u8>(scanAt);
  if (quote != 0x22 && quote != 0x27) return false;
  let p = scanAt + 1;
  while (p < scanEnd && load<u8>(p) != quote) p++;
  if (p == scanEnd || p - scanAt - 1 < least) return false;
  token(scanAt + 1, p);
  scanAt = p + 1;
  return true;
}

const CLASS_WORD: u32 = 1;
const CLASS_FSNAME: u32 = 2;
const CLASS_NET: u32 = 4;

function run(wanted: u32): bool {
  let p = scanAt;
  while (p < scanEnd && (classOf(load<u8>(p)) & wanted) != 0) p++;
  if (p == scanAt) return false;
  token(scanAt, p);
  scanAt = p;
  return true;
}

function classOf(c: u32): u32 {
  if (c - 0x30 < 10) return CLASS_WORD | CLASS_FSNAME | CLASS_NET;
  const letter = (c | 0x20) - 0x61;
  if (letter < 6) return CLASS_WORD | CLASS_FSNAME | CLASS_NET;
  if (letter < 26 || c == 0x5f || c == 0x2d) return CLASS_WORD | CLASS_FSNAME;
  if (c == 0x2e) return CLASS_WORD | CLASS_FSNAME | CLASS_NET;
  if (c == 0x2f) return CLASS_WORD | CLASS_NET;
  return c == 0x3a || c == 0x5b || c == 0x5d ? CLASS_NET : 0;
}

function token(from: usize, to: usize): void {
  tokenAt = (from - scanText) as u32;
  tokenLen = (to - from) as u32;
}

/** The value that `uint` took last. */
export let uintValue: u32 = 0;

/** Decimal digits, at most 4294967295; a larger number is no number. */
export function uint(): bool {
  let p = scanAt;
  let value: u64 = 0;
  while (p < scanEnd && (load<u8>(p) as u32) - 0x30 < 10) {
    value = value * 10 + (((load<u8>(p) as u32) - 0x30) as u64);
    if (value > 0xffffffff) return false;
    p++;
  }
  if (p == scanAt) return false;
  uintValue = value as u32;
  scanAt = p;
  return true;
}
