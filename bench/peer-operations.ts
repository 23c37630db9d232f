/** Operations in and beside some grants: what deciders are compared by. */

import type { Address } from '../src/engine/index.ts';
import { MATCH_OP, type Op } from './items.ts';
import type { Grant } from './rival-caps.ts';

/** Who asks. */
export const PEER: Address = { family: 4, bytes: Uint8Array.of(10, 0, 0, 1) };

/** Every mode on pools, namespaces and objects of the first two grants and the last. */
export function operations(grants: readonly Grant[]): Op[] {
  // The last one is MATCH_OP's.
  const some = [...grants.slice(0, 2), ...grants.slice(-1)];
  const of = (field: 'pool' | 'namespace' | 'prefix', ...more: readonly string[]): string[] => [
    ...new Set([...some.map((grant) => grant[field] ?? ''), ...more]),
  ];
  const objects = of('prefix', MATCH_OP.object, 'x').flatMap((name) => [name, `${name}.1`]);
  const modes = [
    { read: true, write: false },
    { read: false, write: true },
    { read: true, write: true },
  ];
  return of('pool', 'none').flatMap((pool) =>
    of('namespace', 'ns').flatMap((namespace) =>
      objects.flatMap((object) => modes.map((mode) => ({ pool, namespace, object, ...mode }))),
    ),
  );
}
