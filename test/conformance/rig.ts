/**
 * Those that answer: the engine, src/cephx with the engine's ciphers and with the twin's, and the
 * twin's `verify`. Where two can answer, both are asked and must agree.
 */

import { CryptoKey, type Sealer } from '../../src/cephx/cryptokey.ts';
import { DecodeError } from '../../src/cephx/denc.ts';
import { Engine } from '../../src/engine/index.ts';
import { engineSealer } from '../../src/sealer.ts';
import { toHex } from '../twin/load.ts';
import { twinSealer } from '../twin/sealer.ts';

/** Names of those that answer, as the line of a file shows them. */
export const BY_ENGINE = 'engine';
export const BY_CEPHX = 'src/cephx';
export const BY_TWIN = 'twin';

export class Rig {
  readonly engine: Engine;
  /** The ciphers as production has them. */
  readonly core: Sealer;
  /** Who answered since this was last cleared. */
  readonly used: Set<string> = new Set();
  /** Fills the engine's random bytes: set it to replay what was random in a record. */
  fill: (into: Uint8Array) => void = () => undefined;

  private constructor(engine: Engine) {
    this.engine = engine;
    this.core = engineSealer(engine);
  }

  static async create(): Promise<Rig> {
    let rig: Rig | undefined;
    const random = (into: Uint8Array): void => rig?.fill(into);
    rig = new Rig(await Engine.create({ preset: 'server', random }));
    return rig;
  }

  /** A computation of src/cephx with the engine's ciphers, then with the twin's. */
  both<T>(compute: (sealer: Sealer) => T): T {
    this.used.add(BY_ENGINE).add(BY_CEPHX).add(BY_TWIN);
    const core = outcome(() => compute(this.core));
    const twin = outcome(() => compute(twinSealer));
    agree('core and twin', core.text, twin.text);
    if ('error' in core) throw core.error;
    return core.value as T;
  }

  /** The same, for a value that engine and twin give without src/cephx. */
  pair<T>(core: () => T, twin: () => T): T {
    this.used.add(BY_ENGINE).add(BY_TWIN);
    const value = core();
    agree('core and twin', plainText(value), plainText(twin()));
    return value;
  }
}

/** Throws unless two answers are the same. */
export function agree(who: string, a: string, b: string): void {
  if (a !== b) throw new Error(`${who} disagree: ${clip(a)} and ${clip(b)}`);
}

interface Outcome {
  readonly text: string;
  readonly value?: unknown;
  readonly error?: DecodeError;
}

/** A value, or the check that failed. Anything else that is thrown stays thrown. */
function outcome(compute: () => unknown): Outcome {
  try {
    const value = compute();
    return { value, text: plainText(value) };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return { error, text: error.message };
  }
}

/** A text in which equal values are equal, keys and bytes included. */
export function plainText(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, key) {
    // What toJSON made of it is the argument; a CryptoKey must be seen as it is.
    const seen = this[key];
    if (seen instanceof CryptoKey) return seen.toBase64();
    if (seen instanceof Uint8Array) return toHex(seen);
    if (seen instanceof Map) return [...seen];
    return typeof seen === 'bigint' ? `${seen}n` : seen;
  });
}

function clip(text: string): string {
  return text.length <= 160 ? text : `${text.slice(0, 160)}…`;
}
