/**
 * Records what the typed host does to the core as a flat file of steps, so that a host that knows
 * nothing but the ABI can do the same: test/runtimes/drive.mjs and test/c/drive.c.
 *
 * A file is u32 words, little-endian: the magic, then steps.
 *   1 WRITE block at length bytes...   bytes (padded to 4) into a block, named by its LAYOUT_* word
 *   2 CALL export a b c d result       a call of EXPORTS[export] and what it must return
 *   3 RUN bytes                        `run`; its verdicts and secrets are hashed
 *   4 TAKE block at length             bytes of a block are hashed
 *   5 MARK vectors                     the hash so far is printed
 */

import * as abi from '../../assembly/abi.ts';
import type { CoreExports } from '../../src/engine/wasm.ts';

/** "ctap", little-endian. */
export const MAGIC = 0x70617463;
export const STEP = { WRITE: 1, CALL: 2, RUN: 3, TAKE: 4, MARK: 5 } as const;

/** The exports in the order of the README's table; their numbers in a CALL step. */
export const EXPORTS: readonly string[] = [
  ...['abi_version', 'init', 'layout', 'run', 'secret_put', 'secret_remove', 'secret_clear'],
  ...['secret_count', 'session_release', 'revoke', 'cache_clear', 'caps_view', 'seal', 'open'],
  ...['derive', 'challenge_hash', 'primitive', 'work_wipe'],
];

/** What a void export counts as. */
const NOTHING = 0;
/** Exports that read the work block, and where they leave what they make. */
const WORKERS: Readonly<Record<string, number | undefined>> = {
  seal: abi.WORK_RESULT,
  open: abi.WORK_RESULT,
  derive: abi.WORK_OUT,
  challenge_hash: abi.WORK_OUT,
  primitive: abi.WORK_RESULT,
  secret_put: undefined,
  revoke: undefined,
};
/** Parts of the work block that a host writes, each zero until it does. */
const WORK_PARTS = [
  [abi.WORK_KEY, abi.WORK_KEY_LEN],
  [abi.WORK_IV, abi.WORK_DATA - abi.WORK_IV],
  [abi.WORK_DATA, abi.WORK_DATA_LEN],
] as const;

/** The steps so far. */
export class Recorder {
  #words = new Uint8Array(1 << 20);
  #length = 0;
  #memory = new Uint8Array(0);
  #layout = new DataView(this.#memory.buffer);
  #host = new Uint8Array(abi.HOST_LEN);

  constructor() {
    this.#step(MAGIC);
  }

  /** The exports of the core, each of whose calls is recorded. */
  wrap(core: CoreExports): CoreExports {
    const wrapped: Record<string, unknown> = { ...core };
    for (const [number, name] of EXPORTS.entries()) {
      // What a layout is at differs by build; a host reads it by itself.
      if (name === 'layout' || name === 'run') continue;
      const call = (core as unknown as Record<string, unknown>)[name] as (
        ...args: number[]
      ) => number | undefined;
      wrapped[name] = (...args: number[]) => {
        if (name in WORKERS) this.#writeWork();
        const result = call(...args) ?? NOTHING;
        const [a = 0, b = 0, c = 0, d = 0] = args;
        this.#step(STEP.CALL, number, a, b, c, d, result);
        if (name === 'init') this.#begin(core);
        const at = WORKERS[name];
        if (at !== undefined && result > 0) this.#step(STEP.TAKE, abi.LAYOUT_WORK, at, result);
        return result;
      };
    }
    wrapped.run = (bytes: number) => this.#run(core, bytes);
    return wrapped as unknown as CoreExports;
  }

  mark(vectors: number): void {
    this.#step(STEP.MARK, vectors);
  }

  /** The file. */
  get bytes(): Uint8Array {
    return this.#words.subarray(0, this.#length);
  }

  #begin(core: CoreExports): void {
    const { buffer } = core.memory;
    this.#memory = new Uint8Array(buffer);
    this.#layout = new DataView(buffer, core.layout(), abi.LAYOUT_LEN);
  }

  #run(core: CoreExports, bytes: number): number {
    const host = this.#block(abi.LAYOUT_HOST);
    const view = new DataView(host.buffer, host.byteOffset);
    const fresh = view.getUint32(abi.HOST_RANDOM_AVAILABLE, true);
    const before = new DataView(this.#host.buffer).getUint32(abi.HOST_RANDOM_AVAILABLE, true);
    // The core only counts the pool down: more in it means that the host has filled it.
    if (fresh > before) this.#write(abi.LAYOUT_RANDOM, 0, fresh);
    const challenges = view.getUint32(abi.HOST_CHALLENGE_COUNT, true);
    if (challenges > 0) {
      this.#write(abi.LAYOUT_CHALLENGES, 0, challenges * abi.CHALLENGE_ENTRY_LEN);
    }
    this.#writeChanged(host);
    if (bytes > 0) this.#write(abi.LAYOUT_REQUEST, 0, bytes);
    this.#step(STEP.RUN, bytes);
    const result = core.run(bytes);
    this.#host = this.#block(abi.LAYOUT_HOST).slice(0, abi.HOST_LEN);
    return result;
  }

  /** From the first to the last byte of the host block that the host has changed. */
  #writeChanged(host: Uint8Array): void {
    const differs = (_: number, i: number): boolean => host[i] !== this.#host[i];
    const first = this.#host.findIndex(differs);
    const last = this.#host.findLastIndex(differs);
    if (first >= 0) this.#write(abi.LAYOUT_HOST, first, last + 1 - first);
  }

  /** The typed host wipes what it used; here all is wiped before, so that only it is left. */
  #writeWork(): void {
    this.#step(STEP.CALL, EXPORTS.indexOf('work_wipe'), 0, 0, 0, 0, NOTHING);
    const work = this.#block(abi.LAYOUT_WORK);
    for (const [at, length] of WORK_PARTS) {
      const last = work.subarray(at, at + length).findLastIndex((byte) => byte !== 0);
      if (last >= 0) this.#write(abi.LAYOUT_WORK, at, last + 1);
    }
  }

  #block(name: number): Uint8Array {
    return this.#memory.subarray(this.#layout.getUint32(name, true));
  }

  #write(block: number, at: number, length: number): void {
    const bytes = this.#block(block).subarray(at, at + length);
    this.#step(STEP.WRITE, block, at, length);
    const padded = (length + 3) & ~3;
    this.#room(padded);
    this.#words.set(bytes, this.#length);
    this.#length += padded;
  }

  #step(...words: number[]): void {
    this.#room(words.length * 4);
    const view = new DataView(this.#words.buffer);
    for (const word of words) {
      view.setUint32(this.#length, word >>> 0, true);
      this.#length += 4;
    }
  }

  #room(more: number): void {
    if (this.#length + more <= this.#words.length) return;
    const larger = new Uint8Array(Math.max(this.#words.length * 2, this.#length + more));
    larger.set(this.#words.subarray(0, this.#length));
    this.#words = larger;
  }
}

/** Runs `during` with a WebAssembly.Instance whose exports are recorded. */
export async function recording(
  recorder: Recorder,
  during: () => Promise<void>,
): Promise<Uint8Array> {
  const { Instance } = WebAssembly;
  // The engine takes no instance from outside, and should not for the sake of this.
  WebAssembly.Instance = class extends Instance {
    override get exports(): WebAssembly.Exports {
      const core = super.exports as unknown as CoreExports;
      return recorder.wrap(core) as unknown as WebAssembly.Exports;
    }
  };
  try {
    await during();
  } finally {
    WebAssembly.Instance = Instance;
  }
  return recorder.bytes;
}
