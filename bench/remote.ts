/**
 * Cases that run in a process of their own, which is told what to do line by line:
 * `slice CASE FROM CALLS` is answered with the CPU microseconds that it took.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';
import { createInterface, type Interface } from 'node:readline';
import type { SlicedCase } from './measure.ts';

/** A process that answers one line with one line. */
export class Remote {
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly #command: string;
  #answer: ((line: string | undefined) => void) | undefined;
  #ended = false;

  /** @param more to the environment of the process */
  constructor(command: string, args: readonly string[], more: NodeJS.ProcessEnv = {}) {
    this.#command = command;
    const env = { ...process.env, ...more };
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env });
    this.#lines = createInterface({ input: this.#child.stdout! });
    this.#lines.on('line', (line) => this.#take(line));
    this.#child.on('error', () => this.#end());
    this.#child.on('close', () => this.#end());
    // Its end is told by the close; writing to what has ended is not worth more.
    this.#child.stdin!.on('error', () => undefined);
  }

  /** @throws Error when the process has ended or does not answer in time */
  async ask(line: string): Promise<string> {
    const answer = await new Promise<string | undefined>((resolve) => {
      if (this.#ended) return resolve(undefined);
      const timer = setTimeout(() => resolve(undefined), ANSWER_MS);
      this.#answer = (got) => {
        clearTimeout(timer);
        resolve(got);
      };
      this.#child.stdin!.write(`${line}\n`);
    });
    if (answer === undefined) throw new Error(`${this.#command} does not answer "${line}"`);
    return answer;
  }

  /** A case of the process, by its name there. */
  case(name: string, there: string, items = 1): SlicedCase {
    return {
      ...{ name, items },
      slice: async (from, calls) => {
        const micros = Number(await this.ask(`slice ${there} ${from} ${calls}`));
        if (!(micros >= 0)) throw new Error(`${this.#command} cannot run "${there}"`);
        return micros;
      },
    };
  }

  stop(): void {
    this.#lines.close();
    this.#child.stdin!.end();
    this.#child.kill();
  }

  #take(line: string): void {
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.(line);
  }

  #end(): void {
    this.#ended = true;
    this.#answer?.(undefined);
    this.#answer = undefined;
  }
}

/** A first answer may come after a corpus has been read and judged. */
const ANSWER_MS = 60_000;
