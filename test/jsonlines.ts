/** A child process that is asked by JSON lines and answers each with one, in order. */

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export class JsonLines {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = [];
  #errors = '';
  #ended = false;

  constructor(program: string, args: readonly string[]) {
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stderr.on('data', (data: Uint8Array) => {
      this.#errors = (this.#errors + new TextDecoder().decode(data)).slice(-2000);
    });
    createInterface(this.#child.stdout).on('line', (line) => {
      this.#waiting.shift()?.resolve(JSON.parse(line));
    });
    // The process may end before all that it was asked is written.
    this.#child.stdin.on('error', () => undefined);
    this.#child.on('exit', (code) => {
      this.#ended = true;
      for (const { reject } of this.#waiting.splice(0)) reject(this.#gone(code));
    });
  }

  /** Asks; questions may be asked before earlier ones are answered. */
  ask(question: unknown): Promise<unknown> {
    if (this.#ended) return Promise.reject(this.#gone(this.#child.exitCode));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    });
  }

  /** Closes its input and waits for the end, two seconds at most. */
  async end(): Promise<void> {
    if (this.#ended) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin.end();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 2000);
    await ended;
    clearTimeout(late);
  }

  #gone(code: number | null): Error {
    return new Error(`the process ended with ${code}: ${this.#errors}`);
  }
}
