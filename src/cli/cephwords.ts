/**
 * From the words of a `ceph` command line to a command with its arguments (Ceph: ceph_argparse.py,
 * validate_command and validate).
 */

import type { CommandArgs } from '../auth/commands.ts';
import { type ArgDescriptor, type CommandDescriptor, synopsis } from './cephcommands.ts';

export type Understood =
  | { readonly prefix: string; readonly args: CommandArgs }
  /** What the program says before `Error EINVAL: invalid command`. */
  | { readonly complaint: string };

/** Finds the command whose words these are, and its arguments in what follows. */
export function understand(
  words: readonly string[],
  commands: readonly CommandDescriptor[],
): Understood {
  const command = commands.find(({ prefix }) => {
    const own = prefix.split(' ');
    return own.every((word, i) => words[i] === word);
  });
  if (command === undefined) return { complaint: closestMatches(words, commands) };
  const rest = words.slice(command.prefix.split(' ').length);
  const filled = new Filled(command.args);
  const wrong = filled.fill(rest);
  if (wrong !== undefined) {
    const lines = [`Invalid command: ${wrong}`, `${synopsis(command)} :  ${command.help}`];
    return { complaint: `${lines.join('\n')}\n` };
  }
  return { prefix: command.prefix, args: filled.args };
}

/** Arguments as they are found, one by one. */
class Filled {
  readonly #descriptors: readonly ArgDescriptor[];
  readonly #values = new Map<string, string | string[]>();

  constructor(descriptors: readonly ArgDescriptor[]) {
    this.#descriptors = descriptors;
  }

  get args(): CommandArgs {
    return Object.fromEntries(this.#values);
  }

  /** Takes the words; a text says what is wrong with them. */
  fill(words: readonly string[]): string | undefined {
    const left = [...words];
    for (const descriptor of this.#descriptors) {
      const wrong = this.#fillOne(descriptor, left);
      if (wrong !== undefined) return wrong;
    }
    return left.length === 0 ? undefined : `unused arguments: ${pythonList(left)}`;
  }

  #fillOne(descriptor: ArgDescriptor, left: string[]): string | undefined {
    const { name, required, many = false } = descriptor;
    let seen = 0;
    for (;;) {
      const wrong = this.#takeNamed(left);
      if (wrong !== undefined) return wrong;
      const known = this.#values.has(name);
      if (left.length === 0) {
        if (known || seen > 0 || !required) return undefined;
        return many
          ? `saw 0 of ${name}(<string>)..., expected at least 1`
          : `missing required parameter ${name}(<string>)`;
      }
      if (descriptor.named === true || (!many && known)) return undefined;
      const bad = this.#store(descriptor, left.shift()!);
      if (bad !== undefined) return bad;
      seen++;
      if (!many) return undefined;
    }
  }

  #takeNamed(left: string[]): string | undefined {
    while (left[0]?.startsWith('--') === true) {
      const [word = '', ...rest] = left.shift()!.split('=');
      const name = word.slice(2).replaceAll('-', '_');
      const descriptor = this.#descriptors.find((each) => each.name === name);
      if (descriptor === undefined) return `Unexpected argument '${word}'`;
      const value = rest.length > 0 ? rest.join('=') : left.shift();
      if (value === undefined) return `missing required parameter ${name}(<string>)`;
      const bad = this.#store(descriptor, value);
      if (bad !== undefined) return bad;
    }
    return undefined;
  }

  #store({ name, many }: ArgDescriptor, value: string): string | undefined {
    const bad = [...new Set(value)].filter((char) => !PRINTABLE.test(char));
    if (bad.length > 0) return `invalid chars ${bad.join('')} in ${value}`;
    const held = this.#values.get(name);
    if (!many) this.#values.set(name, value);
    else this.#values.set(name, Array.isArray(held) ? [...held, value] : [value]);
    return undefined;
  }
}

/** The commands that share the most words with what was typed; the last one may be cut short. */
function closestMatches(words: readonly string[], commands: readonly CommandDescriptor[]): string {
  const scored = commands
    .filter(({ deprecated }) => deprecated !== true)
    .map((command) => ({ command, score: matching(words, command.prefix.split(' ')) }));
  const best = Math.max(...scored.map(({ score }) => score));
  const closest = scored.filter(({ score }) => score === best).slice(0, CLOSEST_MAX);
  const lines = closest.map(({ command }) => `${synopsis(command)}\n`);
  return `no valid command found; ${closest.length} closest matches:\n${lines.join('')}`;
}

function matching(words: readonly string[], prefix: readonly string[]): number {
  const end = prefix.findIndex((word, i) => words[i] === undefined || !word.startsWith(words[i]));
  return end < 0 ? prefix.length : end;
}

/** A list of strings as Python prints it. */
function pythonList(texts: readonly string[]): string {
  return `[${texts.map(pythonText).join(', ')}]`;
}

function pythonText(text: string): string {
  const escaped = text
    .replaceAll('\\', '\\\\')
    .replaceAll('\n', '\\n')
    .replaceAll('\t', '\\t')
    .replaceAll('\r', '\\r');
  if (text.includes("'") && !text.includes('"')) return `"${escaped}"`;
  return `'${escaped.replaceAll("'", "\\'")}'`;
}

/** Python's string.printable. */
const PRINTABLE = /^[\t-\r -~]$/;
const CLOSEST_MAX = 10;
