/**
 * What an old view of a shared store means for a request: whether it is answered at all, and
 * whether the snapshot that the caller wants to have counted is here.
 */

import type { AppDeps } from './deps.ts';

type Seen = Pick<AppDeps, 'view'> & {
  readonly ring?: Pick<AppDeps['ring'], 'snapshot'> | undefined;
};

/** The store is out of sight: nothing is issued or administered. */
export function isStale({ view }: Pick<AppDeps, 'view'>): boolean {
  return view?.isStale() === true;
}

/** The store is out of sight and `deny` was asked for: nothing is decided either. */
export function deniesAll({ view }: Pick<AppDeps, 'view'>): boolean {
  return view?.onStale === 'deny' && view.isStale();
}

/**
 * Whether all up to the snapshot is here, which is waited for a little. Without a store it is that
 * of the secrets.
 */
export async function reaches({ view, ring }: Seen, snapshot: bigint): Promise<boolean> {
  if (view !== undefined) return await view.reach(snapshot);
  return (ring?.snapshot ?? 0n) >= snapshot;
}

/** Whether a decision has to be refused, whatever it is about. */
export async function tooOld(deps: AppDeps, minSnapshot: bigint | undefined): Promise<boolean> {
  if (minSnapshot !== undefined && !(await reaches(deps, minSnapshot))) return true;
  return deniesAll(deps);
}

/** For the operator's log. */
export const STALE_CHECK = 'sidecar.stale';
