/**
 * Flags and settings. A setting may come from a flag, the environment, the config file or its
 * default, in this order; whatever we do not know is an error, wherever it stands.
 */

import { readFileSync } from 'node:fs';
import { ConfigError } from '../errors.ts';
import { nearestHint } from './nearest.ts';

/** One flag of a command. */
export interface Option {
  /** Without the leading `--`. */
  readonly name: string;
  /** What its value is called in the help; none: it is given or it is not. */
  readonly value?: string;
  readonly help: string;
  readonly repeatable?: boolean;
  /** Its key in the config file and, in capitals after CEPHGATE_, in the environment. */
  readonly key?: string;
  /** What holds where nothing is given: told to the reader, set by who reads the setting. */
  readonly default?: string;
}

/** What stood on a command line. */
export interface Flags {
  readonly help: boolean;
  readonly words: readonly string[];
  /** Values by flag name; a flag without value has the value `true`. */
  readonly values: ReadonlyMap<string, readonly string[]>;
}

/** Reads `--name value`, `--name=value`, `--name`, and words. Throws ConfigError. */
export function parseFlags(argv: readonly string[], options: readonly Option[]): Flags {
  const values = new Map<string, string[]>();
  const words: string[] = [];
  let help = false;
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at]!;
    if (word === '--help' || word === '-h') help = true;
    else if (!word.startsWith('--')) words.push(word);
    else {
      const equals = word.indexOf('=');
      const name = word.slice(2, equals < 0 ? undefined : equals);
      const option = options.find((each) => each.name === name);
      if (option === undefined) {
        const known = options.map((each) => `--${each.name}`);
        throw unknown('unknown flag', `--${name}`, known, '--');
      }
      const inline = equals < 0 ? undefined : word.slice(equals + 1);
      const value = option.value === undefined ? (inline ?? 'true') : (inline ?? argv[++at]);
      if (value === undefined) throw wrongValue(`--${name}`, `a value: ${option.value}`);
      const given = values.get(name) ?? [];
      if (given.length > 0 && option.repeatable !== true) {
        throw new ConfigError('config.value', `"--${name}" is given twice`);
      }
      values.set(name, [...given, value]);
    }
  }
  return { help, words, values };
}

/** Refuses words on a command line that takes none. */
export function refuseWords(flags: Flags): void {
  const [word] = flags.words;
  if (word !== undefined) throw new ConfigError('config.unknown', `unexpected word "${word}"`);
}

/** Where a value came from, for messages: `--skew`, `CEPHGATE_SKEW`, `skew in FILE`. */
export interface Setting {
  readonly origin: string;
  readonly values: readonly string[];
}

/** The settings of one run. Readers throw ConfigError that names the origin. */
export class Settings {
  readonly #settings: ReadonlyMap<string, Setting>;

  /**
   * @param options the flags of the command
   * @param known all keys that the environment and the config file may hold, for any command
   */
  constructor(
    options: readonly Option[],
    known: readonly Option[],
    flags: Flags,
    env: Readonly<Record<string, string | undefined>>,
  ) {
    const fromEnv = readEnvironment(env, known);
    const configFile = flags.values.get('config')?.[0] ?? fromEnv.get('config')?.values[0];
    const fromFile = configFile === undefined ? new Map() : readConfigFile(configFile, known);
    const settings = new Map<string, Setting>();
    for (const option of options) {
      const given = flags.values.get(option.name);
      const found =
        given !== undefined
          ? { origin: `--${option.name}`, values: given }
          : option.key === undefined
            ? undefined
            : (fromEnv.get(option.key) ?? fromFile.get(option.key));
      if (found !== undefined) settings.set(option.name, found);
    }
    this.#settings = settings;
  }

  /** Where a setting came from, undefined if it was not given. */
  origin(name: string): string | undefined {
    return this.#settings.get(name)?.origin;
  }

  list(name: string): readonly string[] | undefined {
    return this.#settings.get(name)?.values;
  }

  text(name: string): string | undefined {
    const values = this.list(name);
    if (values !== undefined && values.length !== 1) throw this.wrong(name, 'one value');
    return values?.[0];
  }

  required(name: string): string {
    const text = this.text(name);
    if (text === undefined) throw new ConfigError('config.value', `"--${name}" is missing`);
    return text;
  }

  flag(name: string): boolean {
    const text = this.text(name);
    if (text !== undefined && !/^(?:true|false|1|0)$/.test(text)) {
      throw this.wrong(name, 'true or false');
    }
    return text === 'true' || text === '1';
  }

  oneOf<const N extends string>(name: string, names: readonly N[]): N | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const found = names.find((each) => each === text);
    if (found === undefined) throw this.wrong(name, `one of ${names.join(', ')}`);
    return found;
  }

  /** Whole seconds, as nanoseconds. */
  seconds(name: string): bigint | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (!/^[0-9]{1,9}$/.test(text)) throw this.wrong(name, 'a whole number of seconds');
    return BigInt(text) * 1_000_000_000n;
  }

  wrong(name: string, expected: string): ConfigError {
    return wrongValue(this.origin(name) ?? `--${name}`, expected);
  }
}

/** Flags as lines of a help text. */
export function formatOptions(options: readonly Option[]): string {
  const heads = options.map(({ name, value }) => `--${name}${value ? ` ${value}` : ''}`);
  const width = Math.max(...heads.map((head) => (head.length <= HEAD_WIDTH_MAX ? head.length : 0)));
  return options
    .map((option, index) => {
      const help = helpOf(option);
      const head = heads[index]!;
      const indent = ' '.repeat(width + 4);
      const gap = head.length > width ? `\n${indent}` : ' '.repeat(width - head.length + 2);
      return `  ${head}${gap}${wrap(help, LINE_LEN_MAX - indent.length).join(`\n${indent}`)}\n`;
    })
    .join('');
}

function helpOf(option: Option): string {
  return option.default === undefined ? option.help : `${option.help}, default ${option.default}`;
}

/** Lines of at most `max` characters, broken at spaces. */
function wrap(text: string, max: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const longer = lines.length === 0 ? word : `${lines.at(-1)} ${word}`;
    if (lines.length === 0 || longer.length > max) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  known: readonly Option[],
): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(ENV_PREFIX) || value === undefined) continue;
    const key = name.slice(ENV_PREFIX.length).toLowerCase().replaceAll('__', '.');
    const option = known.find((each) => each.key === key);
    if (option === undefined) {
      const names = keysOf(known).map(envName);
      throw unknown('unknown setting in the environment:', name, names, ENV_PREFIX);
    }
    const values = option.repeatable ? value.split(',').map((each) => each.trim()) : [value];
    settings.set(key, { origin: name, values });
  }
  return settings;
}

function readConfigFile(path: string, known: readonly Option[]): Map<string, Setting> {
  const document = parseConfigFile(path);
  const settings = new Map<string, Setting>();
  for (const [key, value] of flatten(document, '')) {
    const option = known.find((each) => each.key === key);
    if (option === undefined || key === 'config') {
      const others = keysOf(known).filter((each) => each !== 'config');
      throw unknown(`unknown setting in "${path}":`, key, others);
    }
    const values = Array.isArray(value) && option.repeatable ? value : [value];
    if (!values.every((each) => ['string', 'number', 'boolean'].includes(typeof each))) {
      throw wrongValue(`${key} in "${path}"`, 'text, a number, true or false');
    }
    settings.set(key, { origin: `${key} in "${path}"`, values: values.map(String) });
  }
  return settings;
}

function parseConfigFile(path: string): unknown {
  const wrong = (why: string): ConfigError =>
    new ConfigError('config.value', `cannot read config file "${path}": ${why}`);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw wrong((error as NodeJS.ErrnoException).code ?? 'failed');
  }
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw wrong('not a JSON file');
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw wrong('not a JSON object');
  }
  return document;
}

function flatten(value: unknown, path: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[path, value]];
  return Object.entries(value).flatMap(([name, held]) =>
    flatten(held, path === '' ? name : `${path}.${name}`),
  );
}

function keysOf(known: readonly Option[]): string[] {
  return known.flatMap(({ key }) => (key === undefined ? [] : [key]));
}

function envName(key: string): string {
  return ENV_PREFIX + key.toUpperCase().replaceAll('.', '__');
}

function unknown(what: string, name: string, known: readonly string[], prefix = ''): ConfigError {
  const hint = nearestHint(name, known, prefix);
  return new ConfigError('config.unknown', `${what} "${name}"${hint}`);
}

function wrongValue(origin: string, expected: string): ConfigError {
  return new ConfigError('config.value', `wrong value of "${origin}": expected ${expected}`);
}

const ENV_PREFIX = 'CEPHGATE_';
const HEAD_WIDTH_MAX = 28;
const LINE_LEN_MAX = 100;
