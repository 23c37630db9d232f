/** What goes wrong between us and a monitor. */

import { MonError } from '../errors.ts';

export { MonError };

/**
 * The peer broke the protocol, or its bytes were damaged.
 *
 * @param what the structure or step
 * @param state what is wrong with it, never its bytes
 */
export function protocolError(what: string, state: string): MonError {
  return new MonError('mon.protocol', `cannot go on with the monitor at ${what}: ${state}`);
}
