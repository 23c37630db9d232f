/** Mgr grants against a request (Ceph: MgrCapGrant::get_allowed and MgrCap::is_capable). */

import {
  addUp,
  type BitAnswer,
  type BitRequest,
  constraintsHold,
  type Given,
  giveProfile,
} from './bits.ts';
import { CAP_ANY, type CapGrant } from './capgrammar.ts';
import { mgrProfile } from './mgrprofiles.ts';
import { isAllowAllGrant } from './moncap.ts';

/** May the caller do this? A mon always may. */
export function checkMgr(grants: readonly CapGrant[], request: BitRequest): BitAnswer {
  const answer = addUp(grants, request, (grant) =>
    grant.form === 'profile' ? giveProfile(mgrProfile(grant), request, give) : give(grant, request),
  );
  // Ceph: mons forward commands that they have checked (DaemonServer::_allowed_command).
  if (!answer.allowed && request.entity.startsWith('mon.')) {
    return { ...answer, allowed: true, grant: undefined, condition: undefined, missing: 0 };
  }
  return answer;
}

function give(grant: CapGrant, request: BitRequest): Given {
  if (isAllowAllGrant(grant)) return { bits: CAP_ANY, all: true };
  if (grant.form === 'service') {
    return grant.name === request.service ? { bits: grant.perm } : { bits: 0, failed: 'service' };
  }
  if (grant.form === 'module') {
    if (grant.name !== request.module) return { bits: 0, failed: 'module' };
    // A module asks again itself with its arguments; until a command is named they are not known.
    return request.command !== '' || constraintsHold(grant.constraints, request.args)
      ? { bits: grant.perm }
      : { bits: 0, failed: 'constraint' };
  }
  if (grant.form === 'command') {
    if (grant.name !== request.command) return { bits: 0, failed: 'command' };
    return constraintsHold(grant.constraints, request.args)
      ? { bits: CAP_ANY }
      : { bits: 0, failed: 'constraint' };
  }
  return { bits: grant.perm };
}
