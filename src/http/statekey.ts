/**
 * The state keys in `<data>/state.key`: what makes challenge states and receipts ours, also after
 * a restart. Two generations, so that receipts survive a change of keys.
 */

import { FileError } from '../errors.ts';
import { base64, type Field, list, object, oneOf, wrongType, wrongValue } from './body.ts';
import { encodeBase64, formatTime, parseTime } from './codec.ts';
import { exists, readPrivateFile, writePrivateFile } from './files.ts';
import { Problem } from './problem.ts';
import { STATE_KEY_LEN, type StateKeys } from './tokens.ts';

/**
 * The keys of a file of mode 0600, made if it is missing. A current key that is older than
 * STATE_KEY_LIFE becomes the previous one. Throws FileError.
 */
export function loadStateKeys(
  path: string,
  nowNs: bigint,
  random: (n: number) => Uint8Array,
): StateKeys {
  const kept = exists(path) ? parse(readPrivateFile(path), path) : [];
  const current = kept[0];
  if (current === undefined || nowNs - current.createdNs > STATE_KEY_LIFE_NS) {
    kept.unshift({ key: random(STATE_KEY_LEN), createdNs: nowNs });
    kept.length = Math.min(kept.length, GENERATIONS);
    writePrivateFile(path, format(kept));
  }
  return { current: kept[0]!.key, previous: kept[1]?.key };
}

interface StateKey {
  readonly key: Uint8Array;
  readonly createdNs: bigint;
}

function parse(text: string, path: string): StateKey[] {
  try {
    return readFile(JSON.parse(text), '').keys.map(({ key, created }) => ({
      key,
      createdNs: created,
    }));
  } catch (error) {
    const why = error instanceof Problem ? error.message : 'it is not JSON';
    throw new FileError('file.content', `cannot read "${path}": ${why}`);
  }
}

function format(keys: readonly StateKey[]): string {
  const document = {
    format: FORMAT,
    keys: keys.map(({ key, createdNs }) => ({
      key: encodeBase64(key),
      created: formatTime(createdNs),
    })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

const time: Field<bigint> = (value, at) => {
  if (typeof value !== 'string') throw wrongType(at, 'a time', value);
  const ns = parseTime(value);
  if (ns === undefined) throw wrongValue(at, 'a time such as 2026-11-21T16:00:00Z');
  return ns;
};

const FORMAT = 'cephgate-state/1';
/** Seven days: longer than a receipt is of use, since tickets and connections end before. */
const STATE_KEY_LIFE_NS = 604_800_000_000_000n;
const GENERATIONS = 2;
const readFile = object({
  format: oneOf([FORMAT]),
  keys: list(object({ key: base64(STATE_KEY_LEN, STATE_KEY_LEN), created: time }), GENERATIONS),
});
