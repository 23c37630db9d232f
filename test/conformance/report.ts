/**
 * What comes of a file: its cases are counted, and inside them the values that were compared. A
 * case fails as a whole: one wrong value in it or ten are one failing case.
 */

/** What a case is known by, for `--only`. */
export type Fields = Readonly<Record<string, unknown>>;

/** `--only`: for each key the values that a case may have there. */
export type Only = ReadonlyMap<string, ReadonlySet<string>>;

/** A case that ran: the part of the file it came from and the paths compared in it. */
export interface Traced {
  readonly at: object;
  readonly paths: readonly string[];
}

export class Report {
  readonly name: string;
  passed = 0;
  failed = 0;
  skipped = 0;
  /** Values compared. */
  compared = 0;
  /** What computed the values that were compared. */
  readonly by: Set<string> = new Set();
  /** One line a failing case. */
  readonly failures: string[] = [];
  /** The cases in order, for the self-test. */
  readonly traced: Traced[] = [];
  readonly #only: Only;

  constructor(name: string, only: Only = new Map()) {
    this.name = name;
    this.#only = only;
  }

  /**
   * Runs one case unless `--only` leaves it out. What its body throws is its failure. `at` is the
   * part of the file in which the paths of the comparisons are found.
   */
  case(id: string, fields: Fields, body: (check: Check) => void, at: object = fields): void {
    if (!this.wants(fields)) {
      this.skip();
      return;
    }
    const check = new Check();
    try {
      body(check);
    } catch (error) {
      check.fail(messageOf(error));
    }
    if (check.paths.length + check.mismatches.length === 0) check.fail('nothing was compared');
    this.compared += check.paths.length;
    this.traced.push({ at, paths: check.paths });
    const [first, ...more] = check.mismatches;
    if (first === undefined) {
      this.passed += 1;
      return;
    }
    this.failed += 1;
    const rest = more.length === 0 ? '' : ` (and ${more.length} more)`;
    this.failures.push(`FAIL ${this.name}: ${id}: ${first}${rest}`);
  }

  /** A row to which the file has no answer. */
  skip(): void {
    this.skipped += 1;
  }

  /** A step before the cases: only its failure is a case. */
  async guard(id: string, body: () => void | Promise<void>): Promise<void> {
    try {
      await body();
    } catch (error) {
      this.failed += 1;
      this.failures.push(`FAIL ${this.name}: ${id}: ${messageOf(error)}`);
    }
  }

  /** Cases so far, those left out included. */
  get cases(): number {
    return this.passed + this.failed + this.skipped;
  }

  /** The line of the file. */
  summary(): string {
    const cases = this.passed + this.failed;
    const by = this.by.size === 0 ? 'nothing' : [...this.by].sort().join(', ');
    const skipped = this.skipped === 0 ? '' : `, ${this.skipped} skipped`;
    return `${this.name}: ${this.compared} values in ${cases} cases compared by ${by}${skipped}`;
  }

  /** Whether `--only` leaves it in. */
  wants(fields: Fields): boolean {
    for (const [key, values] of this.#only) {
      if (!(key in fields) || !values.has(String(fields[key]))) return false;
    }
    return true;
  }
}

/** The comparisons of one case. */
export class Check {
  /** What was compared: a path from the case's part of the file, or a name of ours. */
  readonly paths: string[] = [];
  readonly mismatches: string[] = [];

  /** Compares two plain values. */
  same(path: string, actual: Plain, expected: Plain): void {
    this.paths.push(path);
    if (actual !== expected) this.fail(`${path}: expected ${show(expected)}, got ${show(actual)}`);
  }

  /**
   * Compares all that a recorded document holds with what was computed in the same shape. A field
   * of the record that nothing was computed for is a mismatch: it was not understood.
   */
  tree(path: string, actual: unknown, expected: unknown): void {
    if (typeof expected !== 'object' || expected === null) {
      this.same(path, actual as Plain, expected as Plain);
      return;
    }
    if (typeof actual !== 'object' || actual === null) {
      this.fail(`${path}: expected a structure, got ${show(actual as Plain)}`);
      return;
    }
    if (Array.isArray(expected) && (actual as []).length !== expected.length) {
      this.fail(`${path}: expected ${expected.length} entries, got ${(actual as []).length}`);
    }
    for (const [key, value] of Object.entries(expected)) {
      const next = path === '' ? key : `${path}/${key}`;
      if (Object.hasOwn(actual, key)) this.tree(next, (actual as Fields)[key], value);
      else this.fail(`${next}: not understood`);
    }
  }

  fail(what: string): void {
    this.mismatches.push(what);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

type Plain = string | number | bigint | boolean | null | undefined;

const SHOWN_MAX = 72;

function show(value: Plain): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)}…`;
}
