/** What a monitor's refusal means to whoever runs us. */

import type { ClientResult } from '../cephx/client.ts';
import { type AuthBadMethod, METHOD_CEPHX, MODE_CRC, MODE_SECURE } from './control.ts';
import { MonError, protocolError } from './errors.ts';

/** AUTH_BAD_METHOD. The monitor does not tell a wrong key from an unknown name. */
export function loginRefused({ result, methods, modes }: AuthBadMethod): MonError {
  return new MonError('mon.refused', `cannot log in: ${why(result, methods, modes)}`, result);
}

/** Features that the monitor has and we do not. */
export function identRefused(mask: bigint): MonError {
  const text = `0x${mask.toString(16)}`;
  return new MonError('mon.refused', `cannot use the monitor: it wants features ${text} of us`);
}

/** The value of a step of cephx; a failure is MonError. */
export function unwrap<T>(result: ClientResult<T>, what: string): T {
  if (result.ok) return result.value;
  const { reason, status } = result;
  if (reason !== 'request.refused') throw protocolError(what, reason);
  throw new MonError(
    'mon.refused',
    `cannot go on with ${what}: the monitor said ${status}`,
    status,
  );
}

function why(result: number, methods: readonly number[], modes: readonly number[]): string {
  if (result === EACCES) return 'the key or the name is wrong, or the entity has no mon caps (-13)';
  if (result === EOPNOTSUPP && !methods.includes(METHOD_CEPHX)) {
    return `the monitor does not allow cephx (${result})`;
  }
  if (result === EOPNOTSUPP) return `the monitor allows connection modes ${names(modes)} only`;
  return `the monitor said ${result}`;
}

function names(modes: readonly number[]): string {
  const known = new Map([
    [MODE_CRC, 'crc'],
    [MODE_SECURE, 'secure'],
  ]);
  return modes.map((mode) => known.get(mode) ?? String(mode)).join(', ') || 'none';
}

const EACCES = -13;
const EOPNOTSUPP = -95;
