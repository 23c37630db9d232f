/**
 * What the mon and mgr grammars share: a cursor over the bytes of a cap, the lexical rules, grants.
 *
 * A cap is bytes. Here every text of a cap or a request is a *byte string*: one character per byte,
 * so that lengths, order and regular expressions are those of Ceph, which knows no encoding.
 */

import { type CapNetwork, readNetwork } from './network.ts';

/** Permission bits (Ceph: MonCap.h, MgrCap.h). */
export const CAP_R = 2;
export const CAP_W = 4;
export const CAP_X = 8;
export const CAP_RWX = 14;
/** `*` and `all`. */
export const CAP_ANY = 255;

/** One `key=value`, `key prefix value` or `key regex value`. */
export interface Constraint {
  readonly key: string;
  readonly match: 'equal' | 'prefix' | 'regex';
  readonly value: string;
}

/** One grant of a mon or mgr cap, as written or out of a profile. Texts are byte strings. */
export interface CapGrant {
  readonly form: 'rwxa' | 'profile' | 'service' | 'module' | 'command';
  /** The profile, service, module or command; '' for plain permissions. */
  readonly name: string;
  /** CAP_* bits; 0 for a profile and a command. */
  readonly perm: number;
  /** In byte order of the keys, no key twice. */
  readonly constraints: readonly Constraint[];
  readonly network: CapNetwork | undefined;
  readonly fsname: string | undefined;
  /** Bytes of the cap text that it takes, without the blanks around it; 0, 0 out of a profile. */
  readonly start: number;
  readonly end: number;
}

/** What a text is as byte string. Lone surrogates become U+FFFD, as everywhere in UTF-8. */
export function toByteString(text: string | Uint8Array): string {
  if (typeof text === 'string' && ASCII.test(text)) return text;
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  let result = '';
  for (let at = 0; at < bytes.length; at += CHUNK) {
    result += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  }
  return result;
}

/** The text of a byte string, for people; bytes that are no UTF-8 are lost. */
export function fromByteString(bytes: string): string {
  if (ASCII.test(bytes)) return bytes;
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(
    Uint8Array.from(bytes, (char) => char.charCodeAt(0)),
  );
}

/**
 * A place in a cap. Rules are tried in order and the first that matches is final, as in Ceph's
 * parsers (boost::spirit): nothing is tried again because of what comes after.
 */
export class Cursor {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** The result of a rule, or undefined with the place as it was. */
  attempt<T>(rule: () => T | undefined): T | undefined {
    const { at } = this;
    const result = rule();
    if (result === undefined) this.at = at;
    return result;
  }

  /** What a sticky pattern matches here. */
  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  literal(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }

  /** At least one blank. */
  sp(): boolean {
    return this.take(BLANKS) !== undefined;
  }

  /** Blanks and a word. */
  spWord(word: string): boolean {
    return this.attempt(() => (this.sp() && this.literal(word)) || undefined) ?? false;
  }

  /** `=` or blanks. */
  equalsOrSp(): boolean {
    return this.literal('=') || this.sp();
  }

  str(): string | undefined {
    const quoted = this.take(QUOTED);
    return quoted === undefined ? this.take(WORD) : quoted.slice(1, -1);
  }
}

/** `"allow" sp KEYWORD ("=" | sp) str`. */
export function allowNamed(cursor: Cursor, keyword: string): string | undefined {
  if (!cursor.literal('allow') || !cursor.spWord(keyword) || !cursor.equalsOrSp()) return undefined;
  return cursor.str();
}

/** `["allow" sp] "profile" ("=" | sp) str`. */
export function profileName(cursor: Cursor): string | undefined {
  cursor.attempt(() => (cursor.literal('allow') && cursor.sp()) || undefined);
  return cursor.literal('profile') && cursor.equalsOrSp() ? cursor.str() : undefined;
}

/** `sp perm`. */
export function spPerm(cursor: Cursor): number | undefined {
  return cursor.attempt(() => {
    if (!cursor.sp()) return undefined;
    const letters = cursor.take(PERM);
    if (letters === undefined) return undefined;
    if (letters === '*' || letters === 'all') return CAP_ANY;
    return [...letters].reduce((bits, letter) => bits | PERM_BITS[letter]!, 0);
  });
}

/** `[net]`. */
export function optionalNetwork(cursor: Cursor): CapNetwork | undefined {
  const text = cursor.attempt(() =>
    cursor.spWord('network') && cursor.sp() ? cursor.take(NETCHARS) : undefined,
  );
  return text === undefined ? undefined : readNetwork(text);
}

/** `[ sp "fsname" ("=" | sp) fsname ]`. */
export function optionalFsname(cursor: Cursor): string | undefined {
  return cursor.attempt(() =>
    cursor.spWord('fsname') && cursor.equalsOrSp() ? cursor.take(FSNAME) : undefined,
  );
}

/** `sp kv {sp kv}`; `blanks` allows them around `=`. */
export function spConstraints(cursor: Cursor, blanks: boolean): Constraint[] | undefined {
  const next = (): Constraint | undefined =>
    cursor.attempt(() => (cursor.sp() ? constraint(cursor, blanks) : undefined));
  // Ceph: they go into a std::map, so the first of a key stands and printing is in byte order.
  const found = new Map<string, Constraint>();
  for (let each = next(); each !== undefined; each = next()) {
    if (!found.has(each.key)) found.set(each.key, each);
  }
  if (found.size === 0) return undefined;
  return [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** `grant { sep grant }`. `stop` is where REST starts (caps 1.5); accepted when nothing is left. */
export function grantList(
  cursor: Cursor,
  rule: () => CapGrant | undefined,
): { readonly grants: CapGrant[]; readonly stop: number; readonly whole: boolean } {
  const blanks = (): void => void cursor.sp();
  const grant = (): CapGrant | undefined =>
    cursor.attempt(() => {
      blanks();
      const start = cursor.at;
      const found = rule();
      if (found === undefined) return undefined;
      const end = cursor.at;
      blanks();
      return { ...found, start, end };
    });
  const grants: CapGrant[] = [];
  let next = grant();
  while (next !== undefined) {
    grants.push(next);
    next = cursor.attempt(() => (cursor.take(SEPARATOR) === undefined ? undefined : grant()));
  }
  const whole = grants.length > 0 && cursor.at === cursor.text.length;
  return { grants, stop: cursor.at, whole };
}

/** A grant with what is given; the rest is absent. */
export function makeGrant(form: CapGrant['form'], given: Partial<CapGrant>): CapGrant {
  return {
    form,
    name: '',
    perm: 0,
    constraints: [],
    network: undefined,
    fsname: undefined,
    start: 0,
    end: 0,
    ...given,
  };
}

/** A name or value as it is printed. */
export function printName(name: string): string {
  return PLAIN.test(name) ? name : `"${name}"`;
}

/** ` rwx`, ` *`, or nothing. */
export function printPerm(perm: number): string {
  if (perm === 0) return '';
  return ` ${perm === CAP_ANY ? '*' : permLetters(perm)}`;
}

export function permLetters(bits: number): string {
  return Object.entries(PERM_BITS)
    .filter(([, bit]) => (bits & bit) !== 0)
    .map(([letter]) => letter)
    .join('');
}

/** ` k=v`, ` k prefix v`, ` k regex v`, each. */
export function printConstraints(constraints: readonly Constraint[]): string {
  return constraints
    .map(({ key, match, value }) => {
      const between = match === 'equal' ? '=' : ` ${match} `;
      return ` ${printName(key)}${between}${printName(value)}`;
    })
    .join('');
}

function constraint(cursor: Cursor, blanks: boolean): Constraint | undefined {
  const key = cursor.str();
  if (key === undefined) return undefined;
  const value = (introduced: () => boolean): string | undefined =>
    cursor.attempt(() => (introduced() ? cursor.str() : undefined));
  const equal = value(() => cursor.take(blanks ? BLANK_EQUALS : EQUALS) !== undefined);
  if (equal !== undefined) return { key, match: 'equal', value: equal };
  const prefix = value(() => cursor.spWord('prefix') && cursor.sp());
  if (prefix !== undefined) return { key, match: 'prefix', value: prefix };
  const regex = value(() => cursor.spWord('regex') && cursor.sp());
  return regex === undefined ? undefined : { key, match: 'regex', value: regex };
}

const BLANKS = /[ \t\n]+/y;
const SEPARATOR = /[,;]/y;
const WORD = /[A-Za-z0-9_./-]+/y;
const QUOTED = /"[^"]+"|'[^']+'/y;
const NETCHARS = /[0-9a-fA-F.:/[\]]+/y;
const FSNAME = /[A-Za-z0-9_.-]+/y;
const PERM = /\*|all|r?w?x?(?<=[rwx])/y;
const EQUALS = /=/y;
const BLANK_EQUALS = /[ \t\n]*=[ \t\n]*/y;
const PLAIN = /^[A-Za-z0-9_-]*$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant
const ASCII = /^[\x00-\x7f]*$/;
const CHUNK = 8192;
const PERM_BITS: Readonly<Record<string, number>> = { r: CAP_R, w: CAP_W, x: CAP_X };
