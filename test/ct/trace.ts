/**
 * The core with a note at every load, store, condition, function and turn of a loop: what it
 * touches in memory and which way it takes, in order. Two runs with one trace took the same way and
 * asked for the same lines of the cache.
 *
 * What it cannot see: copies and fills (one instruction with addresses and a length), the values.
 */

import binaryen from 'binaryen';
import * as abi from '../../assembly/abi.ts';
import { HostBlock } from '../../src/engine/host.ts';
import type { Challenge, HostContext, ServiceSecret } from '../../src/engine/types.ts';
import { Verdict } from '../../src/engine/verdict.ts';
import type { CoreExports } from '../../src/engine/wasm.ts';
import { WorkBlock } from '../../src/engine/work.ts';

/** Pairs of a place in the code and an address or the truth of a condition there, else -1. */
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
    noteConditions(module);
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
      if (name === CONDITION) {
        hooks[name] = (place: number, condition: number): number => {
          this.#note(place, condition === 0 ? 0 : 1);
          return condition;
        };
      } else if (name === 'log_execution') hooks[name] = (place: number) => this.#note(place, -1);
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

/** Shows the condition of every branch and select to an import, which gives it back. */
function noteConditions(module: binaryen.Module): void {
  const { i32 } = binaryen;
  module.addFunctionImport(CONDITION, 'env', CONDITION, binaryen.createType([i32, i32]), i32);
  // Below the places of the passes, which count up from 0.
  let place = -2;
  const noted = (condition: number): number =>
    module.call(CONDITION, [module.i32.const(place--), condition], i32);
  const walk = (expression: number): void => {
    const info = binaryen.getExpressionInfo(expression) as unknown as Expression;
    if (info.id === binaryen.ConstId) return;
    for (const part of PARTS) {
      for (const each of [info[part]].flat())
        if (typeof each === 'number' && each !== 0) walk(each);
    }
    const { condition } = info;
    if (typeof condition !== 'number' || condition === 0) return;
    const kind = CONDITIONAL[info.id];
    if (kind === undefined) throw new RangeError(`a condition in an expression of kind ${info.id}`);
    kind.setCondition(expression, noted(condition));
  };
  for (let i = 0; i < module.getNumFunctions(); i++) {
    const { body } = binaryen.getFunctionInfo(module.getFunctionByIndex(i));
    if (body !== 0) walk(body);
  }
}

/** Its types leave out the accessors of expressions. */
type Conditional = { setCondition(expression: number, condition: number): void };
const { If, Break, Select, Switch } = binaryen as unknown as Record<string, Conditional>;
const CONDITIONAL: Readonly<Record<number, Conditional | undefined>> = {
  ...{ [binaryen.IfId]: If, [binaryen.BreakId]: Break },
  ...{ [binaryen.SelectId]: Select, [binaryen.SwitchId]: Switch },
};
type Expression = { readonly id: number } & Readonly<Record<string, unknown>>;
const CONDITION = 'note_condition';
/** Where an expression of any kind holds others. */
const PARTS = [
  ...['children', 'operands', 'condition', 'ifTrue', 'ifFalse', 'body', 'value', 'target'],
  ...['left', 'right', 'ptr', 'dest', 'source', 'size', 'vec', 'shift', 'a', 'b', 'c', 'delta'],
] as const;

/** Where two traces part: the entry and what both have there; undefined if they do not. */
export function parting(a: Trace, b: Trace): string | undefined {
  const n = Math.max(a.length, b.length);
  for (let i = 0; i < n; i += 2) {
    if (a[i] === b[i] && a[i + 1] === b[i + 1]) continue;
    return `entry ${i / 2}: place ${a[i]} at ${a[i + 1]}, place ${b[i]} at ${b[i + 1]}`;
  }
  return undefined;
}
