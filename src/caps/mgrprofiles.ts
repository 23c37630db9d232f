/** The mgr profiles (Ceph: expand_profile in src/mgr/MgrCap.cc). */

import { CAP_R, CAP_W, type CapGrant, makeGrant } from './capgrammar.ts';

/** Why Ceph rejects a grant for its profile, as byte string; undefined for a good one. */
export function mgrProfileError(grant: CapGrant, release: 16 | 20): string | undefined {
  if (grant.form !== 'profile') return undefined;
  const { name, constraints } = grant;
  if (!known(name, release)) return `unrecognized profile '${name}'`;
  if (!isRbd(name)) return undefined;
  const wrong = constraints.find(({ key }) => key !== 'pool' && key !== 'namespace');
  return wrong && `profile '${name}' does not recognize key '${wrong.key}'`;
}

/** What a profile grant stands for. */
export function mgrProfile(grant: CapGrant): readonly CapGrant[] {
  const { name, constraints } = grant;
  if (!isRbd(name)) return Object.hasOwn(PLAIN, name) ? PLAIN[name]! : [];
  const perm = name === 'rbd' ? CAP_R | CAP_W : CAP_R;
  return [makeGrant('module', { name: 'rbd_support', constraints, perm })];
}

function known(name: string, release: 16 | 20): boolean {
  return isRbd(name) || Object.hasOwn(PLAIN, name) || (name === 'rgw' && release > 16);
}

function isRbd(name: string): boolean {
  return name === 'rbd' || name === 'rbd-read-only';
}

const PLAIN: Readonly<Record<string, readonly CapGrant[]>> = {
  'read-only': [makeGrant('rwxa', { perm: CAP_R })],
  'read-write': [makeGrant('rwxa', { perm: CAP_R | CAP_W })],
  crash: [makeGrant('command', { name: 'crash post' })],
  osd: [],
  mds: [],
};
