/**
 * ConfFile: the grammar that ceph.conf, keyrings and caps files share (Ceph 16.2: ConfUtils.cc).
 *
 * Ceph's parser skips comments and continued lines before each token, not between lines, and what
 * it skipped stays skipped when a token then does not fit. The functions below keep that order,
 * because it decides which files are refused and at which position.
 */

import { FileError } from '../errors.ts';
import { atOnce, type Steps } from '../turns.ts';

/** A text that is no ConfFile. `words` is what Ceph prints, without a final newline. */
export class ConfFileError extends FileError {
  readonly words: string;

  constructor(words: string) {
    super('file.content', `cannot parse: ${words}`);
    this.words = words;
  }
}

/** Sections by heading, in bytewise order; in each the values by key, blanks in keys as `_`. */
export type ConfFile = ReadonlyMap<string, ReadonlyMap<string, string>>;

/**
 * Parses a file. A repeated section is merged, the last of equal keys wins, a lone `key = value`
 * belongs to `global`. Throws ConfFileError, also for text outside ASCII, at which Ceph aborts.
 */
export function parseConfFile(bytes: Uint8Array): ConfFile {
  return atOnce(confFileSteps(bytes));
}

/** The same in pieces, for files of many sections. */
export function* confFileSteps(bytes: Uint8Array): Steps<ConfFile> {
  let text = '';
  for (let at = 0; at < bytes.length; at += CHUNK) {
    // One string at a time: the arguments of a call have a limit.
    const chunk = String.fromCharCode(...bytes.subarray(at, at + CHUNK));
    const wrongByte = chunk.search(NOT_ASCII);
    if (wrongByte >= 0) throw new ConfFileError(encodingWords(bytes, at + wrongByte));
    text += chunk;
    yield;
  }
  const sections = new Map<string, Map<string, string>>();
  const parser = new Parser(text);
  yield* parser.file(({ heading, lines }) => {
    const values = sections.get(heading) ?? new Map<string, string>();
    sections.set(heading, values);
    for (const { key, value } of lines) values.set(key, value);
  });
  for (const [heading, values] of sections) {
    sections.set(heading, byKey(values));
    yield;
  }
  return byKey(sections);
}

/** "caps mon" and "caps_mon" are one key: outer blanks go, inner runs of blanks become `_`. */
export function normalizeKeyName(key: string): string {
  return trimBlanks(key).replace(/[ \t\n\v\f\r]+/g, '_');
}

interface Line {
  readonly key: string;
  readonly value: string;
}

interface Section {
  readonly heading: string;
  readonly lines: readonly Line[];
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Gives each section to `found`. */
  *file(found: (section: Section) => void): Steps<void> {
    const lone = this.#line();
    if (lone !== undefined) found({ heading: 'global', lines: [lone] });
    else {
      while (this.#skippedEndOfLine());
      for (let next = yield* this.#section(); next; next = yield* this.#section()) found(next);
    }
    this.#skip();
    if (this.#at < this.#text.length) this.#fail('<eoi>');
  }

  *#section(): Steps<Section | undefined> {
    const heading = this.#heading();
    if (heading === undefined) return undefined;
    const lines: Line[] = [];
    for (;;) {
      const start = this.#at;
      const isHeading = this.#heading() !== undefined;
      this.#at = start;
      const line = isHeading ? undefined : this.#line();
      if (line === undefined) break;
      lines.push(line);
      yield;
    }
    while (this.#skippedEndOfLine());
    return { heading, lines };
  }

  #heading(): string | undefined {
    const start = this.#at;
    this.#skip();
    if (!this.#take('[')) {
      this.#at = start;
      return undefined;
    }
    const nameStart = this.#at;
    let name = '';
    for (let next = this.#charBut(']'); next !== undefined; next = this.#charBut(']')) name += next;
    if (name === '') {
      this.#at = nameStart;
      this.#fail('<difference><unnamed-rule>"]"');
    }
    this.#skip();
    if (!this.#take(']')) this.#fail('"]"');
    this.#emptyLines();
    return name;
  }

  /** `key = value` and the line ends after it. */
  #line(): Line | undefined {
    const start = this.#at;
    this.#skippedBlanks();
    const key = this.#key();
    if (key !== undefined) {
      this.#skippedBlanks();
      this.#skip();
      if (this.#take('=')) {
        this.#skippedBlanks();
        const value = trimBlanks(this.#value());
        this.#emptyLines();
        return { key: normalizeKeyName(key), value };
      }
    }
    this.#at = start;
    return undefined;
  }

  /** The key as it stands in the text: escapes and continuations inside remain. */
  #key(): string | undefined {
    this.#skip();
    const start = this.#at;
    if (!this.#word()) return undefined;
    let end = this.#at;
    while (this.#wordGap() && this.#word()) end = this.#at;
    this.#at = end;
    return this.#text.slice(start, end);
  }

  #word(): boolean {
    const start = this.#at;
    let found = false;
    while (this.#charBut('=[ ') !== undefined) found = true;
    if (!found) this.#at = start;
    return found;
  }

  #wordGap(): boolean {
    let found = false;
    for (this.#skip(); isBlank(this.#text[this.#at]); this.#skip()) {
      this.#at++;
      found = true;
    }
    return found;
  }

  #value(): string {
    this.#skip();
    const quote = this.#text[this.#at];
    let value = '';
    if (quote !== '"' && quote !== "'") {
      for (;;) {
        this.#skip();
        const next = this.#char();
        if (next === undefined) return value;
        value += next;
      }
    }
    this.#at++;
    // Within quotes nothing is skipped, so a comment sign ends the text and with it the file.
    while (this.#text[this.#at] !== quote) {
      const next = this.#char();
      if (next === undefined) this.#fail(`"${quote}"`);
      value += next;
    }
    this.#at++;
    return value;
  }

  /** A character of text unless it is one of `stops`; comments before it are skipped. */
  #charBut(stops: string): string | undefined {
    const start = this.#at;
    this.#skip();
    const next = this.#text[this.#at];
    if (next !== undefined && stops.includes(next)) {
      this.#at = start;
      return undefined;
    }
    return this.#char();
  }

  #char(): string | undefined {
    const next = this.#text[this.#at];
    const escaped = this.#text[this.#at + 1];
    if (next === '\\' && escaped !== undefined && !isEndOfLine(escaped)) {
      this.#at += 2;
      return escaped;
    }
    if (next === undefined || isCommentStart(next) || isEndOfLine(next)) return undefined;
    this.#at++;
    return next;
  }

  #emptyLines(): void {
    const start = this.#at;
    if (!this.#emptyLine()) {
      this.#at = start;
      this.#fail('<empty_line>');
    }
    while (this.#emptyLine());
  }

  #emptyLine(): boolean {
    this.#skip();
    const start = this.#at;
    while (isBlank(this.#text[this.#at])) this.#at++;
    if (this.#endOfLine()) return true;
    this.#at = start;
    return false;
  }

  #skippedEndOfLine(): boolean {
    this.#skip();
    return this.#endOfLine();
  }

  #skippedBlanks(): void {
    this.#skip();
    while (isBlank(this.#text[this.#at])) this.#at++;
  }

  /** Skips comments with the blanks before them, and continued line ends. */
  #skip(): void {
    for (;;) {
      const start = this.#at;
      if (this.#take('\\') && this.#endOfLine()) continue;
      this.#at = start;
      while (isBlank(this.#text[this.#at])) this.#at++;
      if (!isCommentStart(this.#text[this.#at])) {
        this.#at = start;
        return;
      }
      while (this.#at < this.#text.length && !isEndOfLine(this.#text[this.#at])) this.#at++;
    }
  }

  #endOfLine(): boolean {
    const start = this.#at;
    this.#take('\r');
    this.#take('\n');
    return this.#at > start;
  }

  #take(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #fail(expected: string): never {
    const { line, column } = positionAfter(this.#text.slice(0, this.#at));
    throw new ConfFileError(
      `parse error: expected '${expected}' in line ${line} at position ${column}`,
    );
  }
}

/**
 * Ceph: of neighbouring `\r` and `\n` only the first counts, also in `\r\n\r\n`; a TAB goes on to
 * the next column of 1, 5, 9, ...
 */
function positionAfter(text: string): { readonly line: number; readonly column: number } {
  let line = 1;
  let column = 1;
  let previous = '';
  for (const char of text) {
    if (isEndOfLine(char)) {
      if (!isEndOfLine(previous) || previous === char) line++;
      column = 1;
    } else column += char === '\t' ? 4 - ((column - 1) % 4) : 1;
    previous = char;
  }
  return { line, column };
}

function encodingWords(bytes: Uint8Array, at: number): string {
  let valid = true;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    valid = false;
  }
  const line = bytes.subarray(0, at).filter((byte) => byte === 0x0a).length + 1;
  return `parse error: ${valid ? 'text that is not ASCII' : 'invalid UTF-8'} found at line ${line}`;
}

function byKey<V>(map: ReadonlyMap<string, V>): Map<string, V> {
  return new Map([...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

function trimBlanks(text: string): string {
  return text.replace(/^[ \t\n\v\f\r]+/, '').replace(/[ \t\n\v\f\r]+$/, '');
}

function isBlank(char: string | undefined): boolean {
  return char === ' ' || char === '\t';
}

function isEndOfLine(char: string | undefined): boolean {
  return char === '\n' || char === '\r';
}

function isCommentStart(char: string | undefined): boolean {
  return char === '#' || char === ';';
}

const CHUNK = 8192;
const NOT_ASCII = /[\x80-\xff]/;
