/**
 * Does the address of a load or store, the condition of a branch or select, a length or an operand
 * of a division depend on memory? All that a load or a global gives counts as secret, whatever it
 * is; the parameters of the functions where the walk begins (addresses, lengths, round counts) and
 * constants are public. Values are followed through locals, blocks, loops and calls. Where no
 * branch depends on a secret, no secret travels by any other way.
 */

import type { Instruction, WasmFunction, WasmModule } from './wasm.ts';

/** 0 public, 1 secret. */
type Taint = 0 | 1;
type State = Taint[] | undefined;

/** One place that is looked at, in the order of the code. */
export interface Site {
  readonly function: string;
  readonly kind: string;
  /** Offset of a load or store below 1024; elsewhere -1: static addresses change with any table. */
  readonly offset: number;
  secret: boolean;
}

interface Label {
  readonly arity: number;
  readonly loop: boolean;
  state: State;
  values: Taint[];
}

export class Checker {
  readonly #module: WasmModule;
  readonly #byName: ReadonlyMap<string, WasmFunction>;
  /** Results by function and taints of the parameters. */
  readonly #known = new Map<string, Taint[]>();
  readonly #sites = new Map<Instruction, Site>();

  constructor(module: WasmModule) {
    this.#module = module;
    this.#byName = new Map(module.functions.map((each) => [each.name, each]));
  }

  /** Follows a function and all that it calls; parameters are public but those of these indexes. */
  check(name: string, secret: readonly number[] = []): void {
    const called = this.#byName.get(name);
    if (called === undefined) throw new RangeError(`no function "${name}"`);
    this.#call(
      called,
      Array.from({ length: called.params }, (_, i) => (secret.includes(i) ? 1 : 0)),
    );
  }

  /** All places of all functions that were followed, by function. */
  sites(): Site[] {
    return [...this.#sites.values()];
  }

  #call(called: WasmFunction, params: readonly Taint[]): Taint[] {
    const key = `${called.name} ${params.join('')}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const locals: Taint[] = [...params];
    while (locals.length < called.locals) locals.push(0);
    const label: Label = { arity: called.results, loop: false, state: undefined, values: [] };
    const flow = new Flow(
      this.#module,
      called,
      [label],
      (each, secret) => this.#note(called, each, secret),
      (index, taints) => this.#call(this.#module.functions[index] as WasmFunction, taints),
    );
    const { values } = flow.block(called.body, locals, label);
    this.#known.set(key, values);
    return values;
  }

  #note(called: WasmFunction, at: Instruction, secret: boolean): void {
    const offset = at.immediate >= 0 && at.immediate < 1024 ? at.immediate : -1;
    const kind = at.name;
    const site = this.#sites.get(at) ?? { function: called.name, kind, offset, secret: false };
    if (secret) site.secret = true;
    this.#sites.set(at, site);
  }
}

/** One walk through a function. */
class Flow {
  readonly #module: WasmModule;
  readonly #name: string;
  readonly #labels: Label[];
  readonly #note: (at: Instruction, secret: boolean) => void;
  readonly #call: (index: number, params: Taint[]) => Taint[];
  #locals: State;
  #stack: Taint[] = [];

  constructor(
    module: WasmModule,
    called: WasmFunction,
    labels: Label[],
    note: (at: Instruction, secret: boolean) => void,
    call: (index: number, params: Taint[]) => Taint[],
  ) {
    this.#module = module;
    this.#name = called.name;
    this.#labels = labels;
    this.#note = note;
    this.#call = call;
  }

  /** Walks a body that ends at `label`; the state behind it and the values that it leaves. */
  block(
    body: readonly Instruction[],
    entry: State,
    label: Label,
  ): { state: State; values: Taint[] } {
    const outer = this.#stack;
    this.#stack = [];
    this.#locals = entry && [...entry];
    for (const each of body) {
      if (this.#locals === undefined) break;
      this.#step(each);
    }
    if (this.#locals !== undefined) this.#jump({ ...label, loop: false }, label);
    this.#stack = outer;
    return { state: label.state, values: label.values };
  }

  /** Joins the state at hand into that of a label. */
  #jump(from: Label, to: Label): void {
    const arity = from.loop ? 0 : from.arity;
    const values = arity === 0 ? [] : this.#stack.slice(-arity);
    to.state = join(to.state, this.#locals);
    to.values = values.map((each, i) => (each | (to.values[i] ?? 0)) as Taint);
  }

  #step(at: Instruction): void {
    const { name } = at;
    if (at.body !== undefined) this.#nested(at);
    else if (name === 'br' || name === 'br_if' || name === 'br_table') this.#branch(at);
    else if (name === 'return') {
      const outermost = this.#labels[0] as Label;
      this.#jump(outermost, outermost);
      this.#locals = undefined;
    } else if (name === 'unreachable') this.#locals = undefined;
    else if (name === 'call') this.#calls(at);
    else if (name.startsWith('local') || name.startsWith('global')) this.#variable(at);
    else this.#operate(at);
  }

  #nested(at: Instruction): void {
    if (at.name === 'if') this.#look(at, this.#pop());
    const entry = this.#locals as Taint[];
    if (at.name === 'loop') this.#loop(at, entry);
    else this.#forward(at, entry);
  }

  /** A block, or both arms of an if. */
  #forward(at: Instruction, entry: Taint[]): void {
    const label: Label = { arity: at.results ?? 0, loop: false, state: undefined, values: [] };
    this.#labels.push(label);
    this.block(at.body ?? [], entry, label);
    if (at.name === 'if') this.block(at.otherwise ?? [], entry, label);
    this.#labels.pop();
    this.#locals = label.state;
    this.#stack.push(...label.values);
  }

  /** Again and again until what comes back to the head says nothing new. */
  #loop(at: Instruction, first: Taint[]): void {
    for (let entry = [...first]; ; ) {
      const label: Label = { arity: 0, loop: true, state: undefined, values: [] };
      const behind: Label = { arity: at.results ?? 0, loop: false, state: undefined, values: [] };
      this.#labels.push(label);
      this.block(at.body ?? [], entry, behind);
      this.#labels.pop();
      const again = join(entry, label.state) as Taint[];
      if (again.every((each, i) => each === entry[i])) {
        this.#locals = behind.state;
        this.#stack.push(...behind.values);
        return;
      }
      entry = again;
    }
  }

  #branch(at: Instruction): void {
    if (at.name !== 'br') this.#look(at, this.#pop());
    for (const depth of at.labels ?? [at.immediate]) {
      const label = this.#labels.at(-1 - depth) as Label;
      this.#jump(label, label);
    }
    if (at.name !== 'br_if') this.#locals = undefined;
  }

  #calls(at: Instruction): void {
    const called = this.#module.functions[at.immediate] as WasmFunction;
    const params = this.#stack.splice(this.#stack.length - called.params);
    this.#stack.push(...this.#call(at.immediate, params));
  }

  #variable(at: Instruction): void {
    const locals = this.#locals as Taint[];
    if (at.name === 'local.get') this.#stack.push(locals[at.immediate] as Taint);
    else if (at.name === 'global.get') this.#stack.push(1);
    else {
      const value = this.#pop();
      if (at.name !== 'global.set') locals[at.immediate] = value;
      if (at.name === 'local.tee') this.#stack.push(value);
    }
  }

  #operate(at: Instruction): void {
    const operands = OPERANDS[at.name];
    if (operands === undefined) throw new RangeError(`${this.#name}: what is "${at.name}"`);
    const values = this.#stack.splice(this.#stack.length - operands);
    const looked = LOOKED[at.name];
    if (looked !== undefined) this.#look(at, looked.some((i) => values[i] === 1) ? 1 : 0);
    if (LEAVES_NONE.has(at.name)) return;
    const secret = at.name.includes('load') || values.includes(1);
    this.#stack.push(secret ? 1 : 0);
  }

  #look(at: Instruction, taint: Taint): void {
    this.#note(at, taint === 1);
  }

  #pop(): Taint {
    const value = this.#stack.pop();
    if (value === undefined) throw new RangeError(`${this.#name}: the stack is empty`);
    return value;
  }
}

function join(a: State, b: State): State {
  if (a === undefined || b === undefined) return a ?? (b && [...b]);
  return a.map((each, i) => (each | (b[i] as Taint)) as Taint);
}

const OPERANDS: Readonly<Record<string, number>> = {
  ...{ nop: 0, const: 0, 'v128.const': 0, 'memory.size': 0, drop: 1, 'memory.grow': 1 },
  ...{ unary: 1, 'v128.unary': 1, trunc_sat: 1, load: 1, 'v128.load': 1 },
  ...{ binary: 2, 'v128.binary': 2, division: 2, store: 2, 'v128.store': 2 },
  ...{ 'v128.load_lane': 2, 'v128.store_lane': 2, select: 3, 'v128.ternary': 3 },
  ...{ 'memory.copy': 3, 'memory.fill': 3 },
};
/** Operands on which time may depend. */
const LOOKED: Readonly<Record<string, readonly number[]>> = {
  ...{ load: [0], 'v128.load': [0], store: [0], 'v128.store': [0], division: [0, 1] },
  ...{ 'v128.load_lane': [0], 'v128.store_lane': [0], select: [2] },
  ...{ 'memory.copy': [0, 1, 2], 'memory.fill': [0, 2], 'memory.grow': [0] },
};
const LEAVES_NONE = new Set([
  ...['store', 'v128.store', 'v128.store_lane', 'memory.copy', 'memory.fill', 'drop', 'nop'],
]);
