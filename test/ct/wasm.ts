/**
 * A reader of WebAssembly modules, as far as the core's builds need it: function bodies as trees of
 * instructions, with the names of the functions.
 */

/** One instruction; blocks have a body, `if` may have a second one. */
export interface Instruction {
  readonly name: string;
  /** Index, label depth, memory offset or lane; -1 where there is none. */
  readonly immediate: number;
  /** `br_table` only. */
  readonly labels?: readonly number[];
  /** Blocks only: how many values they leave. */
  readonly results?: number;
  readonly body?: readonly Instruction[];
  readonly otherwise?: readonly Instruction[];
}

export interface WasmFunction {
  readonly name: string;
  readonly params: number;
  readonly results: number;
  readonly locals: number;
  readonly body: readonly Instruction[];
}

export interface WasmModule {
  readonly functions: readonly WasmFunction[];
  readonly types: readonly FunctionType[];
}

interface FunctionType {
  readonly params: number;
  readonly results: number;
}

/** Reads a module without imports; `names` are those of its functions by index. */
export function readModule(bytes: Uint8Array, names: readonly string[]): WasmModule {
  const reader = new Reader(bytes);
  reader.at = 8;
  let types: FunctionType[] = [];
  let typeOf: number[] = [];
  const functions: WasmFunction[] = [];
  while (reader.at < bytes.length) {
    const id = reader.u8();
    const end = reader.leb() + reader.at;
    if (id === SECTION_TYPE) types = reader.vector(() => readType(reader));
    if (id === SECTION_FUNCTION) typeOf = reader.vector(() => reader.leb());
    if (id === SECTION_CODE) {
      reader.vector(() => {
        const index = functions.length;
        const type = types[typeOf[index] as number] as FunctionType;
        functions.push(readFunction(reader, names[index] ?? `${index}`, type, types));
      });
    }
    reader.at = end;
  }
  return { functions, types };
}

function readType(reader: Reader): FunctionType {
  reader.u8();
  const params = reader.vector(() => reader.u8()).length;
  return { params, results: reader.vector(() => reader.u8()).length };
}

function readFunction(
  reader: Reader,
  name: string,
  type: FunctionType,
  types: readonly FunctionType[],
): WasmFunction {
  const end = reader.leb() + reader.at;
  let locals = type.params;
  reader.vector(() => {
    locals += reader.leb();
    reader.u8();
  });
  const body = readBody(reader, types).body;
  if (reader.at !== end) throw new RangeError(`${name}: body ends at ${reader.at}, not ${end}`);
  return { name, ...type, locals, body };
}

function readBody(
  reader: Reader,
  types: readonly FunctionType[],
): { body: Instruction[]; last: number } {
  const body: Instruction[] = [];
  for (;;) {
    const op = reader.u8();
    if (op === OP_END || op === OP_ELSE) return { body, last: op };
    body.push(readInstruction(reader, op, types));
  }
}

function readInstruction(reader: Reader, op: number, types: readonly FunctionType[]): Instruction {
  const block = BLOCKS.get(op);
  if (block !== undefined) {
    const type = reader.signed();
    const results = type === EMPTY ? 0 : type < 0 ? 1 : (types[type] as FunctionType).results;
    const { body, last } = readBody(reader, types);
    const otherwise = last === OP_ELSE ? readBody(reader, types).body : [];
    return { name: block, immediate: -1, results, body, otherwise };
  }
  if (op === 0x0e) {
    const labels = reader.vector(() => reader.leb());
    return { name: 'br_table', immediate: -1, labels: [...labels, reader.leb()] };
  }
  if (op === 0xfc) return readBulk(reader);
  if (op === 0xfd) return readVector(reader);
  const name = NAMES.get(op);
  if (name === undefined) throw new RangeError(`opcode ${op.toString(16)} at ${reader.at}`);
  if (op >= 0x28 && op <= 0x3e) return { name, immediate: reader.memory() };
  if (op === 0x3f || op === 0x40) reader.u8();
  if (op === 0x41 || op === 0x42) reader.signed();
  if (op === 0x43) reader.at += 4;
  if (op === 0x44) reader.at += 8;
  const indexed = (op >= 0x0c && op <= 0x10 && op !== 0x0f) || (op >= 0x20 && op <= 0x24);
  return { name, immediate: indexed ? reader.leb() : -1 };
}

function readBulk(reader: Reader): Instruction {
  const op = reader.leb();
  const name = op === 10 ? 'memory.copy' : op === 11 ? 'memory.fill' : op < 8 ? 'trunc_sat' : '';
  if (name === '') throw new RangeError(`opcode fc ${op} at ${reader.at}`);
  if (op === 10) reader.at += 2;
  if (op === 11) reader.at += 1;
  return { name, immediate: -1 };
}

function readVector(reader: Reader): Instruction {
  const op = reader.leb();
  if (op <= 10 || op === 92 || op === 93) return { name: 'v128.load', immediate: reader.memory() };
  if (op === 11) return { name: 'v128.store', immediate: reader.memory() };
  if (op === 12 || op === 13) {
    reader.at += 16;
    return { name: op === 12 ? 'v128.const' : 'v128.binary', immediate: -1 };
  }
  if (op >= 84 && op <= 91) {
    const immediate = reader.memory();
    reader.u8();
    return { name: op < 88 ? 'v128.load_lane' : 'v128.store_lane', immediate };
  }
  if (op >= 21 && op <= 34) {
    const immediate = reader.u8();
    return { name: REPLACE_LANE.has(op) ? 'v128.binary' : 'v128.unary', immediate };
  }
  if (op === 82 || (op >= 0x105 && op <= 0x10c)) return { name: 'v128.ternary', immediate: -1 };
  return { name: VECTOR_UNARY.has(op) ? 'v128.unary' : 'v128.binary', immediate: -1 };
}

class Reader {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  u8(): number {
    return this.#bytes[this.at++] as number;
  }

  leb(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  /** The value is exact for block types alone; constants are not looked at. */
  signed(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return byte & 0x40 ? value - 2 ** (shift + 7) : value;
    }
  }

  /** Alignment and offset; the offset. */
  memory(): number {
    this.leb();
    return this.leb();
  }

  vector<T>(read: () => T): T[] {
    return Array.from({ length: this.leb() }, read);
  }
}

const SECTION_TYPE = 1;
const SECTION_FUNCTION = 3;
const SECTION_CODE = 10;
const OP_END = 0x0b;
const OP_ELSE = 0x05;
const EMPTY = -64;
const BLOCKS = new Map([
  [0x02, 'block'],
  [0x03, 'loop'],
  [0x04, 'if'],
]);
const REPLACE_LANE = new Set([23, 26, 28, 30, 32, 34]);
/** Splats, negations, tests, counts, narrowing by half: one operand. */
const VECTOR_UNARY = new Set([
  ...[15, 16, 17, 18, 19, 20, 77, 83, 94, 95, 96, 97, 98, 99, 100, 124, 125, 126, 127],
  ...[128, 129, 131, 132, 135, 136, 137, 138, 160, 161, 163, 164, 167, 168, 169, 170],
  ...[192, 193, 195, 196, 199, 200, 201, 202, 224, 225, 227, 236, 237, 239],
]);

/** Names that matter are exact; arithmetic goes by its number of operands. */
const NAMES = new Map<number, string>([
  ...([
    [0, 'unreachable'],
    [1, 'nop'],
    [0x0c, 'br'],
    [0x0d, 'br_if'],
    [0x0f, 'return'],
  ] as const),
  ...([
    [0x10, 'call'],
    [0x1a, 'drop'],
    [0x1b, 'select'],
    [0x20, 'local.get'],
  ] as const),
  ...([
    [0x21, 'local.set'],
    [0x22, 'local.tee'],
    [0x23, 'global.get'],
  ] as const),
  ...([
    [0x24, 'global.set'],
    [0x3f, 'memory.size'],
    [0x40, 'memory.grow'],
  ] as const),
  ...range(0x28, 0x35).map((op) => [op, 'load'] as const),
  ...range(0x36, 0x3e).map((op) => [op, 'store'] as const),
  ...range(0x41, 0x44).map((op) => [op, 'const'] as const),
  ...[0x45, 0x50].map((op) => [op, 'unary'] as const),
  ...range(0x46, 0x4f).map((op) => [op, 'binary'] as const),
  ...range(0x51, 0x66).map((op) => [op, 'binary'] as const),
  ...[...range(0x67, 0x69), ...range(0x79, 0x7b)].map((op) => [op, 'unary'] as const),
  ...[...range(0x6a, 0x6c), ...range(0x71, 0x78)].map((op) => [op, 'binary'] as const),
  ...[...range(0x7c, 0x7e), ...range(0x83, 0x8a)].map((op) => [op, 'binary'] as const),
  // The time of a division may depend on its operands.
  ...[...range(0x6d, 0x70), ...range(0x7f, 0x82)].map((op) => [op, 'division'] as const),
  ...range(0xa7, 0xbf).map((op) => [op, 'unary'] as const),
  ...range(0xc0, 0xc4).map((op) => [op, 'unary'] as const),
]);

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
