/**
 * What the caps twins share: a cursor over a text whose characters are its bytes, and the words
 * and quotes that all caps languages have. Every rule that fails leaves the cursor where it was.
 */

/** A cursor over bytes; `text` has one character (0-255) per byte. */
export class Peg {
  readonly text: string;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.text = binary(bytes);
  }

  get done(): boolean {
    return this.at === this.text.length;
  }

  /** The rule's value, or undefined with the cursor put back. */
  attempt<T>(rule: () => T | undefined): T | undefined {
    const { at } = this;
    const value = rule();
    if (value === undefined) this.at = at;
    return value;
  }

  literal(word: string): true | undefined {
    if (!this.text.startsWith(word, this.at)) return undefined;
    this.at += word.length;
    return true;
  }

  /** The longest run of the given characters; undefined for none. */
  some(chars: string): string | undefined {
    const start = this.at;
    while (!this.done && chars.includes(this.text[this.at] as string)) this.at++;
    return this.at === start ? undefined : this.text.slice(start, this.at);
  }

  /** A quoted string, without its quotes. */
  quoted(mayBeEmpty: boolean): string | undefined {
    return this.attempt(() => {
      const quote = this.text[this.at];
      if (quote !== '"' && quote !== "'") return undefined;
      const end = this.text.indexOf(quote, this.at + 1);
      if (end < 0) return undefined;
      const inside = this.text.slice(this.at + 1, end);
      if (inside === '' && !mayBeEmpty) return undefined;
      this.at = end + 1;
      return inside;
    });
  }

  str(): string | undefined {
    return this.quoted(false) ?? this.some(WORDCHARS);
  }

  /** [ws] grant { separator grant } [ws], or where REST begins. */
  list<T>(grant: () => T | undefined, separator: () => true | undefined): T[] | { stop: number } {
    this.some(SPACES);
    const first = grant();
    if (first === undefined) return { stop: this.at };
    const grants = [first];
    for (;;) {
      const next = this.attempt(() => (separator() ? grant() : undefined));
      if (next === undefined) break;
      grants.push(next);
    }
    this.some(SPACES);
    return this.done ? grants : { stop: this.at };
  }
}

/** UTF-8 bytes, or given bytes, as a string of one character per byte. */
export function binary(bytes: Uint8Array | string): string {
  const all = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
  let text = '';
  for (const byte of all) text += String.fromCharCode(byte);
  return text;
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
export const ALNUM: string = `${LETTERS}${LETTERS.toUpperCase()}0123456789`;
export const WORDCHARS: string = `${ALNUM}_./-`;
/** White space around a whole text. */
export const SPACES = ' \t\n\v\f\r';
