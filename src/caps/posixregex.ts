/**
 * Constraints `key regex EXPRESSION`: POSIX extended expressions that must match a whole value.
 *
 * Ceph uses std::regex, which backtracks; the expression comes from whoever sets caps and the value
 * from a client, so here RE2 matches in time linear in the value. Whatever this translation does
 * not understand, and whatever would need too many states, never matches.
 */

import { RE2JS } from 're2js';

/** A test of byte strings; undefined for an expression that never matches. */
export type WholeMatch = ((value: string) => boolean) | undefined;

/** Compiles an expression, a byte string. */
export function compilePosix(expression: string): WholeMatch {
  const translated = translatePosix(expression);
  if (translated === undefined) return undefined;
  try {
    const compiled = RE2JS.compile(translated, RE2JS.DISABLE_UNICODE_GROUPS);
    return (value) => compiled.matches(value);
  } catch {
    // Nested too deep or too large for RE2.
    return undefined;
  }
}

/** The same expression in the syntax of RE2; undefined if it is not understood. */
export function translatePosix(expression: string): string | undefined {
  if (expression.length > EXPRESSION_LEN_MAX) return undefined;
  const open: Level[] = [];
  let level: Level = { done: '', doneStates: 0, atom: '', atomStates: 0 };
  for (let at = 0; at < expression.length; ) {
    const char = expression[at]!;
    if (char === '(') {
      open.push(settle(level));
      level = { done: '', doneStates: 0, atom: '', atomStates: 0 };
      at++;
    } else if (char === ')') {
      const inner = settle(level);
      const outer = open.pop();
      if (outer === undefined) return undefined;
      level = { ...outer, atom: `(?:${inner.done})`, atomStates: inner.doneStates + 1 };
      at++;
    } else if ('*+?{'.includes(char)) {
      const times = readTimes(expression, at);
      if (times === undefined || level.atom === '') return undefined;
      level.atom = `(?:${level.atom}${times.text})`;
      level.atomStates = (level.atomStates + 1) * times.copies;
      at = times.end;
    } else {
      const piece = readPiece(expression, at);
      if (piece === undefined) return undefined;
      level = { ...settle(level), atom: '', atomStates: 0 };
      if (piece.repeatable) {
        level.atom = piece.text;
        level.atomStates = 1;
      } else level.done += piece.text;
      at = piece.end;
    }
    if (level.doneStates + level.atomStates > STATES_MAX) return undefined;
  }
  return open.length === 0 ? settle(level).done : undefined;
}

/** A group that is being read: what is finished, and the last atom, which may yet be repeated. */
interface Level {
  done: string;
  doneStates: number;
  atom: string;
  atomStates: number;
}

interface Piece {
  readonly text: string;
  readonly end: number;
  /** A repetition may follow. */
  readonly repeatable: boolean;
}

function settle(level: Level): Level {
  return {
    done: level.done + level.atom,
    doneStates: level.doneStates + level.atomStates,
    atom: '',
    atomStates: 0,
  };
}

function readTimes(
  text: string,
  at: number,
): { readonly text: string; readonly copies: number; readonly end: number } | undefined {
  const char = text[at]!;
  if (char !== '{') return { text: char, copies: 1, end: at + 1 };
  INTERVAL.lastIndex = at;
  const found = INTERVAL.exec(text);
  if (found === null) return undefined;
  const min = Number(found[1]);
  const max = found[2] === undefined ? min : Number(found[3] || min);
  if (max < min || max > TIMES_MAX) return undefined;
  return { text: found[0], copies: Math.max(max, 1), end: at + found[0].length };
}

function readPiece(text: string, at: number): Piece | undefined {
  const char = text[at]!;
  const one = { end: at + 1, repeatable: true };
  // Ceph: without the multiline flag, which only ECMAScript has, lines do not count.
  if (char === '^') return { ...one, text: '\\A', repeatable: false };
  if (char === '$') return { ...one, text: '\\z', repeatable: false };
  if (char === '|') return { ...one, text: '|', repeatable: false };
  if (char === '.') return { ...one, text: '(?s:.)' };
  if (char === '[') return readBracket(text, at);
  if (char === '\\') {
    const escaped = text[at + 1] ?? '';
    if (escaped === '' || !SPECIAL.includes(escaped)) return undefined;
    return { text: literal(escaped), end: at + 2, repeatable: true };
  }
  return char === '\0' ? undefined : { ...one, text: literal(char) };
}

/** `[...]`: in it a backslash is plain, `]` comes first and `-` first or last. */
function readBracket(text: string, start: number): Piece | undefined {
  const negated = text[start + 1] === '^';
  const first = start + (negated ? 2 : 1);
  let set = '';
  for (let at = first; at < text.length; ) {
    if (text[at] === ']' && at > first) {
      return { text: `[${negated ? '^' : ''}${set}]`, end: at + 1, repeatable: true };
    }
    const named = namedClass(text, at);
    if (named !== undefined) {
      set += named.set;
      at = named.end;
      continue;
    }
    const from = bracketChar(text, at, at === first);
    if (from === undefined) return undefined;
    if (text[from.end] !== '-' || text[from.end + 1] === ']') {
      set += literal(from.char);
      at = from.end;
      continue;
    }
    const to = bracketChar(text, from.end + 1, true);
    // Ceph compares signed chars here; a range beyond ASCII has no use to guess at.
    if (to === undefined || to.char < from.char || to.char > '\x7f') return undefined;
    set += `${literal(from.char)}-${literal(to.char)}`;
    at = to.end;
    if (text[at] === '-' && text[at + 1] !== ']') return undefined;
  }
  return undefined;
}

function namedClass(
  text: string,
  at: number,
): { readonly set: string; readonly end: number } | undefined {
  NAMED_CLASS.lastIndex = at;
  const found = NAMED_CLASS.exec(text);
  if (found === null || !CLASSES.includes(found[1]!)) return undefined;
  const end = at + found[0].length;
  // A class cannot begin a range; the caller then sees a bracket that it does not understand.
  return text[end] === '-' && text[end + 1] !== ']' ? undefined : { set: found[0], end };
}

/** One character of a bracket, plain or as `[.x.]`. */
function bracketChar(
  text: string,
  at: number,
  first: boolean,
): { readonly char: string; readonly end: number } | undefined {
  const char = text[at];
  if (char === undefined || char === '\0') return undefined;
  if (char === '[' && '.:='.includes(text[at + 1] ?? ' ')) {
    const collating = text.slice(at + 1, at + 6);
    return /^\.[^\0]\.\]/s.test(collating) ? { char: collating[1]!, end: at + 5 } : undefined;
  }
  const last = text[at + 1] === ']';
  if (char === '-' && !first && !last) return undefined;
  return { char, end: at + 1 };
}

/** A byte as RE2 takes it anywhere. */
function literal(char: string): string {
  if (/[A-Za-z0-9]/.test(char)) return char;
  return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

const EXPRESSION_LEN_MAX = 4096;
const STATES_MAX = 4096;
/** RE2's own limit. */
const TIMES_MAX = 1000;
const SPECIAL = '^$\\.*+?()[]{}|';
const INTERVAL = /\{([0-9]{1,4})(,([0-9]{0,4}))?\}/y;
const NAMED_CLASS = /\[:([a-z]+):\]/y;
const CLASSES: readonly string[] = [
  'alpha',
  'digit',
  'alnum',
  'upper',
  'lower',
  'space',
  'blank',
  'punct',
  'print',
  'graph',
  'cntrl',
  'xdigit',
];
