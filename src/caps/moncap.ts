/** Mon caps as text: parser and printer (Ceph: src/mon/MonCap.cc). */

import {
  allowNamed,
  CAP_ANY,
  type CapGrant,
  Cursor,
  grantList,
  makeGrant,
  optionalFsname,
  optionalNetwork,
  printConstraints,
  printName,
  printPerm,
  profileName,
  spConstraints,
  spPerm,
} from './capgrammar.ts';

/** What a mon or mgr parser says of a byte string. */
export interface ParsedGrants {
  /** The grants as written; empty if the text is rejected. */
  readonly grants: readonly CapGrant[];
  /** Offset at which the parser stopped. */
  readonly stop: number;
  /** What Ceph says of a rejected text, as byte string. */
  readonly error: string | undefined;
}

/** Parses a mon cap. Profile names are not looked at: an unknown one grants nothing. */
export function parseMonCap(text: string): ParsedGrants {
  const cursor = new Cursor(text);
  const { grants, stop, whole } = grantList(cursor, () => grant(cursor));
  if (!whole) return { grants: [], stop, error: stoppedError('mon', text, stop) };
  return { grants, stop, error: undefined };
}

/** What mon and mgr say when the grammar does not match to the end. */
export function stoppedError(service: 'mon' | 'mgr', text: string, stop: number): string {
  const rest = text.slice(stop);
  const place = rest === '' ? 'stopped at end of' : `stopped at '${rest}' of`;
  return `${service} capability parse failed, ${place} '${text}'`;
}

/** Ceph's printed form; `fsname` is not in it. */
export function printMonCap(grants: readonly CapGrant[]): string {
  return grants.map(printGrant).join(', ');
}

/** The coarse question of administrative messages: is some grant plain `*`? */
export function isAllowAllGrant(grant: CapGrant): boolean {
  return grant.form === 'rwxa' && grant.perm === CAP_ANY && grant.fsname === undefined;
}

function grant(cursor: Cursor): CapGrant | undefined {
  return (
    cursor.attempt(() => plain(cursor)) ??
    cursor.attempt(() => profile(cursor)) ??
    cursor.attempt(() => service(cursor)) ??
    cursor.attempt(() => command(cursor))
  );
}

function plain(cursor: Cursor): CapGrant | undefined {
  if (!cursor.literal('allow')) return undefined;
  const perm = spPerm(cursor);
  if (perm === undefined) return undefined;
  const network = optionalNetwork(cursor);
  return makeGrant('rwxa', { perm, network, fsname: optionalFsname(cursor) });
}

function profile(cursor: Cursor): CapGrant | undefined {
  const name = profileName(cursor);
  return name === undefined
    ? undefined
    : makeGrant('profile', { name, network: optionalNetwork(cursor) });
}

function service(cursor: Cursor): CapGrant | undefined {
  const name = allowNamed(cursor, 'service');
  const perm = name === undefined ? undefined : spPerm(cursor);
  return name === undefined || perm === undefined
    ? undefined
    : makeGrant('service', { name, perm, network: optionalNetwork(cursor) });
}

function command(cursor: Cursor): CapGrant | undefined {
  const name = allowNamed(cursor, 'command');
  if (name === undefined) return undefined;
  const constraints = cursor.attempt(() =>
    cursor.spWord('with') ? spConstraints(cursor, false) : undefined,
  );
  return makeGrant('command', {
    name,
    constraints: constraints ?? [],
    network: optionalNetwork(cursor),
  });
}

function printGrant(grant: CapGrant): string {
  const { form, name, constraints, perm, network } = grant;
  const named = form === 'rwxa' ? '' : ` ${form} ${printName(name)}`;
  const withs = constraints.length === 0 ? '' : ` with${printConstraints(constraints)}`;
  const where = network === undefined ? '' : ` network ${network.text}`;
  return `allow${named}${withs}${printPerm(perm)}${where}`;
}
