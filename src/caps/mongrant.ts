/** Mon grants against a request (Ceph: MonCapGrant::get_allowed and MonCap::is_capable). */

import {
  addUp,
  type BitAnswer,
  type BitRequest,
  constraintsHold,
  type Given,
  giveProfile,
} from './bits.ts';
import { CAP_ANY, CAP_RWX, type CapGrant } from './capgrammar.ts';
import { isAllowAllGrant } from './moncap.ts';
import { monProfile } from './monprofiles.ts';

/** May the caller do this? */
export function checkMon(
  grants: readonly CapGrant[],
  request: BitRequest,
  release: 16 | 20,
): BitAnswer {
  return addUp(grants, request, (grant) => {
    if (grant.form !== 'profile') return give(grant, request);
    return giveProfile(monProfile(grant.name, request.entity, release), request, give);
  });
}

function give(grant: CapGrant, request: BitRequest): Given {
  if (isAllowAllGrant(grant)) return { bits: CAP_ANY, all: true };
  if (grant.form === 'service') {
    return grant.name === request.service ? { bits: grant.perm } : { bits: 0, failed: 'service' };
  }
  if (grant.form === 'command') {
    if (grant.name !== request.command) return { bits: 0, failed: 'command' };
    return constraintsHold(grant.constraints, request.args)
      ? { bits: CAP_RWX }
      : { bits: 0, failed: 'constraint' };
  }
  // Ceph: blanket caps do not reach the config-key store.
  return request.service === 'config-key' ? { bits: 0, failed: 'service' } : { bits: grant.perm };
}
