/** Mgr caps as text: parser and printer (Ceph: src/mgr/MgrCap.cc). */

import {
  allowNamed,
  type CapGrant,
  Cursor,
  grantList,
  makeGrant,
  optionalNetwork,
  printConstraints,
  printName,
  printPerm,
  profileName,
  spConstraints,
  spPerm,
} from './capgrammar.ts';
import { mgrProfileError } from './mgrprofiles.ts';
import { type ParsedGrants, stoppedError } from './moncap.ts';

/** Parses a mgr cap. Profiles must be known to the release and take the keys they are given. */
export function parseMgrCap(text: string, release: 16 | 20): ParsedGrants {
  const cursor = new Cursor(text);
  const { grants, stop, whole } = grantList(cursor, () => grant(cursor));
  if (!whole) return { grants: [], stop, error: stoppedError('mgr', text, stop) };
  const wrong = grants.filter((each) => mgrProfileError(each, release) !== undefined);
  const [first] = wrong;
  if (first !== undefined) {
    // Ceph goes on to the other grants and runs the texts together.
    const texts = wrong.map((each) => mgrProfileError(each, release)).join('');
    const error = `mgr capability parse failed during profile evaluation: ${texts}`;
    return { grants: [], stop: first.start, error };
  }
  return { grants, stop, error: undefined };
}

/** Ceph's printed form. */
export function printMgrCap(grants: readonly CapGrant[]): string {
  return grants.map(printGrant).join(', ');
}

function grant(cursor: Cursor): CapGrant | undefined {
  return (
    cursor.attempt(() => plain(cursor)) ??
    cursor.attempt(() => profile(cursor)) ??
    cursor.attempt(() => service(cursor)) ??
    cursor.attempt(() => module(cursor)) ??
    cursor.attempt(() => command(cursor))
  );
}

function plain(cursor: Cursor): CapGrant | undefined {
  const perm = cursor.literal('allow') ? spPerm(cursor) : undefined;
  return perm === undefined
    ? undefined
    : makeGrant('rwxa', { perm, network: optionalNetwork(cursor) });
}

function profile(cursor: Cursor): CapGrant | undefined {
  const name = profileName(cursor);
  if (name === undefined) return undefined;
  const constraints = spConstraints(cursor, true) ?? [];
  return makeGrant('profile', { name, constraints, network: optionalNetwork(cursor) });
}

function service(cursor: Cursor): CapGrant | undefined {
  const name = allowNamed(cursor, 'service');
  const perm = name === undefined ? undefined : spPerm(cursor);
  return name === undefined || perm === undefined
    ? undefined
    : makeGrant('service', { name, perm, network: optionalNetwork(cursor) });
}

function module(cursor: Cursor): CapGrant | undefined {
  const name = allowNamed(cursor, 'module');
  if (name === undefined) return undefined;
  const constraints = optionalWith(cursor);
  const perm = spPerm(cursor);
  return perm === undefined
    ? undefined
    : makeGrant('module', { name, constraints, perm, network: optionalNetwork(cursor) });
}

function command(cursor: Cursor): CapGrant | undefined {
  const name = allowNamed(cursor, 'command');
  if (name === undefined) return undefined;
  const constraints = optionalWith(cursor);
  return makeGrant('command', { name, constraints, network: optionalNetwork(cursor) });
}

function optionalWith(cursor: Cursor): CapGrant['constraints'] {
  const found = cursor.attempt(() =>
    cursor.spWord('with') ? spConstraints(cursor, true) : undefined,
  );
  return found ?? [];
}

function printGrant(grant: CapGrant): string {
  const { form, name, constraints, perm, network } = grant;
  const allow = form === 'profile' ? '' : 'allow';
  const named = form === 'rwxa' ? '' : `${allow === '' ? '' : ' '}${form} ${printName(name)}`;
  const word = constraints.length === 0 || form === 'profile' ? '' : ' with';
  const where = network === undefined ? '' : ` network ${network.text}`;
  return `${allow}${named}${word}${printConstraints(constraints)}${printPerm(perm)}${where}`;
}
