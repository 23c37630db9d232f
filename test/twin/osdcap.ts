/**
 * A slow, obvious twin of OSD caps: the grammar as recursive code, the decision as it is stated.
 * Strings have one character per byte (`binary`).
 */

import { inNetwork, networkClause } from './network.ts';
import { binary, Peg, SPACES, WORDCHARS } from './peg.ts';

export interface OsdMatch {
  readonly pool?: string;
  readonly namespace?: string;
  readonly tag?: { readonly application: string; readonly key: string; readonly value: string };
  readonly prefix?: string;
}

export interface OsdSpec {
  /** Letters r w x-read x-write as bits, 255 for `*`; 0 in the class form. */
  readonly bits: number;
  readonly className?: string;
  readonly method?: string;
}

export interface OsdGrant {
  readonly match: OsdMatch;
  readonly spec: OsdSpec;
  readonly profile?: string;
  /** What a profile expands to. */
  readonly children: readonly OsdGrant[];
  readonly network?: string;
}

export interface OsdRequest {
  readonly pool: string;
  readonly namespace: string;
  readonly object: string;
  readonly read: boolean;
  readonly write: boolean;
  readonly classes: readonly {
    readonly name: string;
    readonly method: string;
    readonly read: boolean;
    readonly write: boolean;
    readonly allowListed: boolean;
  }[];
  readonly appMetadata: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly addr: string | null;
}

export type OsdCondition =
  | 'none'
  | 'profile'
  | 'pool'
  | 'namespace'
  | 'tag'
  | 'prefix'
  | 'permission'
  | 'class'
  | 'network';

/** The grants, or where the parser stopped. */
export function parseOsd(text: Uint8Array): OsdGrant[] | { stop: number } {
  const peg = new Peg(text);
  return peg.list(
    () => grant(peg),
    () => peg.literal(',') ?? peg.literal(';'),
  );
}

// --- grammar -----------------------------------------------------------------------------------

function grant(peg: Peg): OsdGrant | undefined {
  return peg.attempt(() => {
    peg.some(BLANKS);
    const found = allowSpecMatch(peg) ?? allowMatchSpec(peg) ?? profileGrant(peg);
    peg.some(BLANKS);
    return found;
  });
}

function allowSpecMatch(peg: Peg): OsdGrant | undefined {
  return peg.attempt(() => {
    if (!peg.literal('allow')) return undefined;
    const spec = specOf(peg);
    if (spec === undefined) return undefined;
    const match = matchOf(peg);
    return { spec, match, children: [], ...net(peg) };
  });
}

function allowMatchSpec(peg: Peg): OsdGrant | undefined {
  return peg.attempt(() => {
    if (!peg.literal('allow')) return undefined;
    const match = matchOf(peg);
    const spec = specOf(peg);
    if (spec === undefined) return undefined;
    return { spec, match, children: [], ...net(peg) };
  });
}

function profileGrant(peg: Peg): OsdGrant | undefined {
  return peg.attempt(() => {
    const profile = peg.literal('profile') && named(peg, () => peg.str());
    if (profile === undefined) return undefined;
    const both = peg.attempt(() => {
      const pool = poolOf(peg);
      const namespace = namespaceOf(peg);
      return namespace === undefined ? undefined : { ...has('pool', pool), namespace };
    });
    const match: OsdMatch = both ?? has('pool', poolOf(peg));
    return { profile, match, spec: { bits: 0 }, children: expand(profile, match), ...net(peg) };
  });
}

function specOf(peg: Peg): OsdSpec | undefined {
  return permsOf(peg) ?? classOf(peg);
}

function permsOf(peg: Peg): OsdSpec | undefined {
  const spaced = (word: string): true | undefined =>
    peg.attempt(() => (peg.some(SPACES) ? peg.literal(word) : undefined));
  if (spaced('*') ?? spaced('all')) return { bits: ANY };
  const letters = peg.attempt(() => {
    if (!peg.some(SPACES)) return undefined;
    const bits =
      (peg.literal('r') ? R : 0) | (peg.literal('w') ? W : 0) | (peg.literal('x') ? X : 0);
    return bits === 0 ? undefined : bits;
  });
  const classRead = spaced('class-read') ? CLASS_R : 0;
  const classWrite = spaced('class-write') ? CLASS_W : 0;
  const bits = (letters ?? 0) | classRead | classWrite;
  return bits === 0 ? undefined : { bits };
}

function classOf(peg: Peg): OsdSpec | undefined {
  return peg.attempt(() => {
    const className = keyword(peg, 'class') && spacedStr(peg);
    if (className === undefined) return undefined;
    return { bits: 0, className, ...has('method', spacedStr(peg)) };
  });
}

function matchOf(peg: Peg): OsdMatch {
  const onlyTag = tagOf(peg);
  if (onlyTag) return { tag: onlyTag };
  const namespaceTag = peg.attempt(() => {
    const namespace = namespaceOf(peg);
    const tag = namespace === undefined ? undefined : tagOf(peg);
    return namespace === undefined || tag === undefined ? undefined : { namespace, tag };
  });
  if (namespaceTag) return namespaceTag;
  const withNamespace = peg.attempt(() => {
    const pool = has('pool', poolOf(peg));
    const namespace = namespaceOf(peg);
    return namespace === undefined ? undefined : { ...pool, namespace };
  });
  return { ...(withNamespace ?? has('pool', poolOf(peg))), ...has('prefix', prefixOf(peg)) };
}

function poolOf(peg: Peg): string | undefined {
  return peg.attempt(() => keyword(peg, 'pool') && named(peg, () => peg.str()));
}

function namespaceOf(peg: Peg): string | undefined {
  return peg.attempt(() => {
    const name =
      keyword(peg, 'namespace') && named(peg, () => peg.quoted(true) ?? peg.some(WORDCHARS));
    if (name === undefined) return undefined;
    return peg.literal('*') ? `${name}*` : name;
  });
}

function prefixOf(peg: Peg): string | undefined {
  return peg.attempt(() => keyword(peg, 'object_prefix') && spacedStr(peg));
}

function tagOf(peg: Peg): OsdMatch['tag'] | undefined {
  return peg.attempt(() => {
    const application = keyword(peg, 'tag') && spacedStr(peg);
    if (application === undefined || !peg.some(SPACES)) return undefined;
    const key = wildcardOr(peg);
    peg.some(SPACES);
    if (key === undefined || !peg.literal('=')) return undefined;
    peg.some(SPACES);
    const value = wildcardOr(peg);
    return value === undefined ? undefined : { application, key, value };
  });
}

function wildcardOr(peg: Peg): string | undefined {
  return (peg.literal('*') ?? peg.literal('all')) ? '*' : peg.str();
}

function net(peg: Peg): { network?: string } {
  return has('network', networkClause(peg, SPACES));
}

/** sp WORD */
function keyword(peg: Peg, word: string): true | undefined {
  return peg.attempt(() => (peg.some(SPACES) ? peg.literal(word) : undefined));
}

/** ("=" | sp) and what follows */
function named<T>(peg: Peg, rule: () => T | undefined): T | undefined {
  return peg.attempt(() => (peg.literal('=') || peg.some(SPACES) ? rule() : undefined));
}

/** sp str */
function spacedStr(peg: Peg): string | undefined {
  return peg.attempt(() => (peg.some(SPACES) ? peg.str() : undefined));
}

/** { name: value }, or nothing where the value is missing. */
function has<K extends string>(name: K, value: string | undefined): { [N in K]?: string } {
  return (value === undefined ? {} : { [name]: value }) as { [N in K]?: string };
}

// --- profiles ----------------------------------------------------------------------------------

/** @param P pool and namespace that stand in the profile */
function expand(name: string, P: OsdMatch): OsdGrant[] {
  const perms = (bits: number, match: OsdMatch): OsdGrant => ({
    match,
    spec: { bits },
    children: [],
  });
  const rbd = (method: string, match: OsdMatch): OsdGrant => ({
    match,
    spec: { bits: 0, className: 'rbd', method },
    children: [],
  });
  const info = { ...has('pool', P.pool), namespace: '', prefix: 'rbd_info' };
  switch (name) {
    case 'read-only':
      return [perms(R, P)];
    case 'read-write':
      return [perms(R | W, P)];
    case 'rbd':
      return [
        perms(R, { prefix: 'rbd_info' }),
        perms(CLASS_R, { prefix: 'rbd_children' }),
        perms(CLASS_R, { prefix: 'rbd_mirroring' }),
        rbd('metadata_list', info),
        perms(R | W | X, P),
      ];
    case 'rbd-read-only':
      return [
        rbd('metadata_list', info),
        perms(R | CLASS_R, P),
        rbd('child_attach', { ...P, prefix: 'rbd_header.' }),
        rbd('child_detach', { ...P, prefix: 'rbd_header.' }),
      ];
    default:
      return [];
  }
}

// --- meaning -----------------------------------------------------------------------------------

/** Whether the grants allow the request. */
export function checkOsd(grants: readonly OsdGrant[], request: OsdRequest): boolean {
  const marks = request.classes.map(() => false);
  return grants.some((each) => {
    if (each.network !== undefined && !inNetwork(each.network, request.addr)) return false;
    const parts = each.profile === undefined ? [each] : each.children;
    return parts.some((part) => allows(part, request, marks));
  });
}

function allows(part: OsdGrant, request: OsdRequest, marks: boolean[]): boolean {
  const { bits, className, method } = part.spec;
  if (misfit(part.match, request) !== undefined) return false;
  if ((request.read && !(bits & R)) || (request.write && !(bits & W))) return false;
  if (marks.length === 0 || bits === ANY) return true;
  for (const [i, call] of request.classes.entries()) {
    const named = className !== undefined && className === binary(call.name);
    if (named && (method === undefined || method === binary(call.method))) marks[i] = true;
    else if (!call.allowListed) continue;
    else if ((!call.read || bits & CLASS_R) && (!call.write || bits & CLASS_W)) marks[i] = true;
  }
  return marks.every((mark) => mark);
}

/** Which part of the match does not fit. */
function misfit(match: OsdMatch, request: OsdRequest): OsdCondition | undefined {
  const namespace = binary(request.namespace);
  if (match.pool !== undefined && match.pool !== binary(request.pool)) return 'pool';
  if (match.namespace?.endsWith('*')) {
    if (!namespace.startsWith(match.namespace.slice(0, -1))) return 'namespace';
  } else if (match.namespace !== undefined && match.namespace !== namespace) return 'namespace';
  if (match.tag !== undefined && !tagged(match.tag, request.appMetadata)) return 'tag';
  if (match.prefix !== undefined && !binary(request.object).startsWith(match.prefix)) {
    return 'prefix';
  }
  return undefined;
}

function tagged(tag: NonNullable<OsdMatch['tag']>, metadata: OsdRequest['appMetadata']): boolean {
  return Object.entries(metadata).some(([application, values]) => {
    if (binary(application) !== tag.application) return false;
    if (tag.key === '*' && tag.value === '*') return true;
    return Object.entries(values).some(
      ([key, value]) =>
        (tag.key === '*' || tag.key === binary(key)) &&
        (tag.value === '*' || tag.value === binary(value)),
    );
  });
}

/** Some grant is `*` on everything; networks are not looked at. */
export function allowAllOsd(grants: readonly OsdGrant[]): boolean {
  return grants.some((each) => each.spec.bits === ANY && Object.keys(each.match).length === 0);
}

/**
 * Per written grant, up to the one that allows, what did not fit first; `none` allows. The network
 * is looked at last here. A profile is as near as its nearest grant.
 */
export function explainOsd(grants: readonly OsdGrant[], request: OsdRequest): OsdCondition[] {
  const marks = request.classes.map(() => false);
  const lines: OsdCondition[] = [];
  for (const each of grants) {
    const inside = each.network === undefined || inNetwork(each.network, request.addr);
    // A grant for other networks leaves no marks.
    const mine = inside ? marks : [...marks];
    const parts = each.profile === undefined ? [each] : each.children;
    let nearest: OsdCondition = 'profile';
    for (const part of parts) {
      const found = partCondition(part, request, mine);
      if (found === 'none') {
        nearest = found;
        break;
      }
      if (ORDER.indexOf(found) > ORDER.indexOf(nearest)) nearest = found;
    }
    if (nearest === 'none' && !inside) nearest = 'network';
    lines.push(nearest);
    if (nearest === 'none') break;
  }
  return lines;
}

function partCondition(part: OsdGrant, request: OsdRequest, marks: boolean[]): OsdCondition {
  const { bits } = part.spec;
  const condition = misfit(part.match, request);
  if (condition !== undefined) return condition;
  if ((request.read && !(bits & R)) || (request.write && !(bits & W))) return 'permission';
  return allows(part, request, marks) ? 'none' : 'class';
}

// --- printed form ------------------------------------------------------------------------------

/** The printed form; its characters are bytes. */
export function printOsd(grants: readonly OsdGrant[]): string {
  return `osdcap[${grants.map(printGrant).join(',')}]`;
}

function printGrant(each: OsdGrant): string {
  const match = printMatch(each.match);
  const inside =
    each.profile === undefined
      ? match + printSpec(each.spec)
      : `profile ${each.profile}${match} [${each.children.map(printGrant).join(',')}]`;
  return `grant(${inside}${each.network === undefined ? '' : ` network ${each.network}`})`;
}

function printMatch({ pool, namespace, tag, prefix }: OsdMatch): string {
  let text = '';
  if (pool !== undefined) text += `pool ${pool} `;
  if (namespace !== undefined) text += `namespace ${namespace === '' ? '""' : namespace} `;
  if (tag !== undefined) text += `app ${tag.application} key ${tag.key} val ${tag.value} `;
  if (prefix !== undefined) text += `object_prefix ${prefix} `;
  return text;
}

function printSpec({ bits, className, method }: OsdSpec): string {
  if (className !== undefined)
    return `class '${className}'${method === undefined ? '' : ` '${method}'`}`;
  if (bits === ANY) return '*';
  const letters = (bits & R ? 'r' : '') + (bits & W ? 'w' : '');
  if ((bits & X) === X) return `${letters}x`;
  return letters + (bits & CLASS_R ? ' class-read' : '') + (bits & CLASS_W ? ' class-write' : '');
}

const R = 2;
const W = 4;
const CLASS_R = 8;
const CLASS_W = 16;
const X = 24;
const ANY = 255;
const BLANKS = ' \t';
const ORDER: readonly OsdCondition[] = [
  'profile',
  'pool',
  'namespace',
  'tag',
  'prefix',
  'permission',
  'class',
];
