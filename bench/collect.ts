/** Garbage of the case before must not be paid for by the case after it. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Collects the young garbage, where the runtime lets us; else does nothing. */
export const collect: () => void = find();

function find(): () => void {
  try {
    setFlagsFromString('--expose-gc');
    const gc: unknown = runInNewContext('gc');
    if (typeof gc !== 'function') return () => undefined;
    return () => {
      gc({ type: 'minor' });
    };
  } catch {
    return () => undefined;
  }
}
