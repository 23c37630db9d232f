/** A slow, obvious twin of mgr caps, as far as they differ from mon caps. */

import {
  type BitGrant,
  type BitRequest,
  equalsOrSp,
  holds,
  keyValues,
  named,
  needs,
  parseList,
  SP,
  service,
  spPerm,
  withClause,
} from './moncap.ts';
import { inNetwork, networkClause } from './network.ts';
import { binary, type Peg } from './peg.ts';

/** The grants, where REST begins, or what is wrong with profiles, one text after another. */
export function parse(
  text: string,
  newer: boolean,
): BitGrant[] | { stop: number } | { profile: string } {
  const grants = parseList(text, (peg) => {
    for (const rule of [plain, profile, service, module, command]) {
      const grant = peg.attempt(() => rule(peg));
      if (grant !== undefined) return grant;
    }
    return undefined;
  });
  if (!Array.isArray(grants)) return grants;
  const wrong = grants.map((grant) => profileError(grant, newer)).join('');
  return wrong === '' ? grants : { profile: wrong };
}

function profileError({ form, name, kv }: BitGrant, newer: boolean): string {
  if (form !== 'profile') return '';
  const known = [...KNOWN, ...(newer ? ['rgw'] : [])].includes(name);
  if (!known) return `unrecognized profile '${name}'`;
  const keys = kv.map(([key]) => key).sort();
  const wrong = keys.find((key) => key !== 'pool' && key !== 'namespace');
  if (!name.startsWith('rbd') || wrong === undefined) return '';
  return `profile '${name}' does not recognize key '${wrong}'`;
}

export function allows(grants: readonly BitGrant[], request: BitRequest): boolean {
  if (request.entity.startsWith('mon.')) return true;
  let have = '';
  for (const grant of grants) {
    if (grant.network !== undefined && !inNetwork(grant.network, request.addr)) continue;
    if (grant.form === 'plain' && grant.perm === '*') return true;
    have += letters(grant, request);
    if (needs(request).every((need) => have.includes(need))) return true;
  }
  return false;
}

function letters(grant: BitGrant, request: BitRequest): string {
  const { form, name, kv } = grant;
  const perm = grant.perm === '*' ? 'rwx' : grant.perm;
  if (form === 'plain') return perm;
  if (form === 'service') return name === binary(request.service) ? perm : '';
  if (form === 'command') {
    return name === binary(request.command) && holds(grant, request) ? 'rwx' : '';
  }
  if (form === 'module') {
    if (name !== binary(request.module ?? '')) return '';
    return request.command !== '' || holds(grant, request) ? perm : '';
  }
  if (name === 'read-only') return 'r';
  if (name === 'read-write') return 'rw';
  const as = (other: Partial<BitGrant>): string => letters({ ...grant, ...other }, request);
  if (name === 'crash') return as({ form: 'command', name: 'crash post', kv: [] });
  if (name === 'rbd') return as({ form: 'module', name: 'rbd_support', perm: 'rw', kv });
  if (name === 'rbd-read-only') return as({ form: 'module', name: 'rbd_support', perm: 'r', kv });
  return '';
}

function plain(peg: Peg): BitGrant | undefined {
  const perm = peg.literal('allow') && spPerm(peg);
  if (!perm) return undefined;
  return { form: 'plain', name: '', perm, kv: [], network: networkClause(peg, SP) };
}

function profile(peg: Peg): BitGrant | undefined {
  peg.attempt(() => peg.literal('allow') && peg.some(SP));
  const name = peg.literal('profile') && equalsOrSp(peg) ? peg.str() : undefined;
  if (name === undefined) return undefined;
  const kv = keyValues(peg, SP);
  return { form: 'profile', name, perm: '', kv, network: networkClause(peg, SP) };
}

function module(peg: Peg): BitGrant | undefined {
  const name = named(peg, 'module');
  if (name === undefined) return undefined;
  const kv = withClause(peg, SP);
  const perm = spPerm(peg);
  if (!perm) return undefined;
  return { form: 'module', name, perm, kv, network: networkClause(peg, SP) };
}

function command(peg: Peg): BitGrant | undefined {
  const name = named(peg, 'command');
  if (name === undefined) return undefined;
  const kv = withClause(peg, SP);
  return { form: 'command', name, perm: '', kv, network: networkClause(peg, SP) };
}

const KNOWN = ['read-only', 'read-write', 'crash', 'osd', 'mds', 'rbd', 'rbd-read-only'];
