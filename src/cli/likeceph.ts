/**
 * How closely the Ceph-like commands imitate which Ceph: CEPHGATE_RELEASE and CEPHGATE_GUARD. They
 * are no flags, because these commands have exactly Ceph's arguments.
 */

import { ConfigError } from '../errors.ts';
import type { Release } from '../keyring/keytext.ts';

export interface LikeCeph {
  /** Key types, texts and grammar of this release; default 20. */
  readonly release: Release;
  /** Refuse what destroys or exposes something; default yes. */
  readonly guard: boolean;
}

/** Reads both from the environment. Throws ConfigError. */
export function likeCeph(env: Readonly<Record<string, string | undefined>>): LikeCeph {
  const release = env.CEPHGATE_RELEASE ?? '20';
  const guard = env.CEPHGATE_GUARD ?? 'on';
  if (release !== '16' && release !== '20') throw wrong('CEPHGATE_RELEASE', '16 or 20');
  if (!ON.includes(guard) && !OFF.includes(guard)) throw wrong('CEPHGATE_GUARD', 'on or off');
  return { release: release === '16' ? 16 : 20, guard: ON.includes(guard) };
}

function wrong(name: string, expected: string): ConfigError {
  return new ConfigError('config.value', `wrong value of "${name}": expected ${expected}`);
}

const ON: readonly string[] = ['on', 'true', '1'];
const OFF: readonly string[] = ['off', 'false', '0'];
