/**
 * The core with a note at every load, store, function and turn of a loop: what it touches in
 * memory, in order. Two runs with one trace took the same way and asked for the same lines of the
 * cache.
 *
 * What it cannot see: a branch to code without any of these, copies and fills (one instruction with
 * addresses and a length), the values.
 */

import binaryen from 'binaryen';
import * as abi from '../../assembly/abi.ts';
import { HostBlock } from '../../src/engine/host.ts';
import type { Challenge, HostContext, ServiceSecret } from '../../src/engine/types.ts';
import { Verdict } from '../../src/engine/verdict.ts';
import type { CoreExports } from '../../src/engine/wasm.ts';
import { WorkBlock } from '../../src/engine/work.ts';

/** Pairs of a place in the code and an address, or -1 where there is none. */
export type Trace = Int32Array;

const PASSES = ['log-execution', 'instrument-memory'];
const ENTRIES_MAX = 4_000_000;

export class TracedCore {
  readonly #core: CoreExports;
  readonly #layout: DataView;
  readonly #host: HostBlock;
  readonly #entries = new Int32Array(2 * ENTRIES_MAX);
  #length = 0;
  #on = false;

  /** @param bytes a build as it is shipped */
  constructor(bytes: Uint8Array) {
    const module = binaryen.readBinary(bytes);
    module.setFeatures(binaryen.Features.All);
    module.runPasses(PASSES);
    const compiled = new WebAssembly.Module(module.emitBinary() as Uint8Array<ArrayBuffer>);
    module.dispose();
    const { exports } = new WebAssembly.Instance(compiled, { env: this.#hooks(compiled) });
    this.#core = exports as unknown as CoreExports;
    this.#core.init(abi.PRESET_SMALL);
    const { buffer } = this.#core.memory;
    this.#layout = new DataView(buffer, this.#core.layout(), abi.LAYOUT_LEN);
    this.#host = new HostBlock(buffer, this.#layout, (into) => void into.fill(7));
  }

  putSecret(secret: ServiceSecret): void {
    new WorkBlock(this.#core, this.#word(abi.LAYOUT_WORK)).putSecret(secret);
  }

  setTicketCache(on: boolean): void {
    this.#host.setTicketCache(on);
  }

  /** Runs one record. */
  run(record: Uint8Array, host: HostContext, challenge: Challenge): [Verdict, Trace] {
    const { buffer } = this.#core.memory;
    new Uint8Array(buffer, this.#word(abi.LAYOUT_REQUEST)).set(record);
    this.#host.set(host, abi.FLAGS_ALL, 0);
    this.#host.setChallenges([challenge]);
    this.#length = 0;
    this.#on = true;
    const length = this.#core.run(record.length);
    this.#on = false;
    const at = this.#word(abi.LAYOUT_RESPONSE);
    const verdict = new Verdict(new DataView(buffer.slice(at, at + length)));
    return [verdict, this.#entries.slice(0, this.#length)];
  }

  #word(field: number): number {
    return this.#layout.getUint32(field, true);
  }

  #note(place: number, address: number): void {
    if (!this.#on) return;
    if (this.#length === this.#entries.length) throw new RangeError('the trace is too long');
    this.#entries[this.#length++] = place;
    this.#entries[this.#length++] = address;
  }

  /** What the passes import: each hook gives back what it is shown. */
  #hooks(module: WebAssembly.Module): WebAssembly.ModuleImports {
    const hooks: WebAssembly.ModuleImports = {};
    for (const { name } of WebAssembly.Module.imports(module)) {
      if (name === 'log_execution') hooks[name] = (place: number) => this.#note(place, -1);
      else if (/^(load|store)_ptr$/.test(name)) {
        hooks[name] = (place: number, _: number, offset: number, pointer: number): number => {
          this.#note(place, pointer + offset);
          return pointer;
        };
      } else hooks[name] = (_: number, value: number | bigint): number | bigint => value;
    }
    return hooks;
  }
}

/** Where two traces part: the entry and what both have there; undefined if they do not. */
export function parting(a: Trace, b: Trace): string | undefined {
  const n = Math.max(a.length, b.length);
  for (let i = 0; i < n; i += 2) {
    if (a[i] === b[i] && a[i + 1] === b[i + 1]) continue;
    return `entry ${i / 2}: place ${a[i]} at ${a[i + 1]}, place ${b[i]} at ${b[i + 1]}`;
  }
  return undefined;
}
