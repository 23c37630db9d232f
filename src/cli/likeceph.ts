/**
 * How closely the Ceph-like commands imitate which Ceph: CEPHGATE_RELEASE and CEPHGATE_GUARD. They
 * are no flags, because these commands have exactly Ceph's arguments.
 */

import type { Release } from '../keyring/keytext.ts';
import { LIKE_CEPH_OPTIONS, settingsOf } from './settings.ts';

export interface LikeCeph {
  /** Key types, texts and grammar of this release; default 20. */
  readonly release: Release;
  /** Refuse what destroys or exposes something; default yes. */
  readonly guard: boolean;
}

/** Reads both from the environment and the config file. Throws ConfigError. */
export function likeCeph(env: Readonly<Record<string, string | undefined>>): LikeCeph {
  const settings = settingsOf(LIKE_CEPH_OPTIONS, NO_FLAGS, env);
  const release = settings.text('release') ?? '20';
  const guard = settings.text('guard') ?? 'on';
  if (release !== '16' && release !== '20') throw settings.wrong('release', '16 or 20');
  if (!ON.includes(guard) && !OFF.includes(guard)) throw settings.wrong('guard', 'on or off');
  return { release: release === '16' ? 16 : 20, guard: ON.includes(guard) };
}

const NO_FLAGS = { help: false, words: [], values: new Map() };

const ON: readonly string[] = ['on', 'true', '1'];
const OFF: readonly string[] = ['off', 'false', '0'];
