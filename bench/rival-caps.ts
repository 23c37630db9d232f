/**
 * OSD caps as an engineer writes them by hand: parsed with expressions into grants, decided in a
 * loop. Covers `allow` with permissions, pool, namespace, object_prefix and network: what the work
 * items use.
 */

import { Buffer } from 'node:buffer';
import type { Address } from '../src/engine/index.ts';
import type { Op } from './items.ts';

export interface Grant {
  readonly read: boolean;
  readonly write: boolean;
  readonly pool: string | undefined;
  readonly namespace: string | undefined;
  readonly prefix: string | undefined;
  /** Undefined: none given; dead: one that no address lies in. */
  readonly network: { readonly address: number; readonly mask: number } | 'dead' | undefined;
}

/** Grants of a caps text, or undefined if it does not parse. */
export type CapsSource = (text: string) => readonly Grant[] | undefined;

/** Parses every time it is asked. */
export const parseCaps: CapsSource = (text) => {
  const grants: Grant[] = [];
  for (const part of text.replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, '').split(/[,;]/)) {
    const match = GRANT_A.exec(part) ?? GRANT_B.exec(part);
    if (match === null) return undefined;
    const { perm = '', pool, ns, prefix, net } = match.groups ?? {};
    const all = perm === '*' || perm === 'all';
    grants.push({
      read: all || perm.includes('r'),
      write: all || perm.includes('w'),
      pool: pool && unquote(pool),
      namespace: ns && unquote(ns),
      prefix: prefix && unquote(prefix),
      network: net === undefined ? undefined : parseNetwork(net),
    });
  }
  return grants;
};

/** Parses a text once. */
export function cachedCaps(): CapsSource {
  const cache = new Map<string, readonly Grant[] | undefined>();
  return (text) => {
    let grants = cache.get(text);
    if (grants === undefined && !cache.has(text)) {
      grants = parseCaps(text);
      cache.set(text, grants);
    }
    return grants;
  };
}

/** Whether some grant covers the whole operation. */
export function decide(grants: readonly Grant[], op: Op, peer: Address): boolean {
  for (const grant of grants) {
    if (op.read && !grant.read) continue;
    if (op.write && !grant.write) continue;
    if (grant.pool !== undefined && grant.pool !== op.pool) continue;
    if (grant.namespace !== undefined && !namespaceFits(grant.namespace, op.namespace)) continue;
    if (grant.prefix !== undefined && !op.object.startsWith(grant.prefix)) continue;
    if (grant.network !== undefined && !inside(grant.network, peer)) continue;
    return true;
  }
  return false;
}

function namespaceFits(wanted: string, given: string): boolean {
  return wanted.endsWith('*') ? given.startsWith(wanted.slice(0, -1)) : wanted === given;
}

function inside(network: NonNullable<Grant['network']>, peer: Address): boolean {
  if (network === 'dead' || peer.family !== 4) return false;
  const { bytes } = peer;
  const address = (bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!;
  return ((address ^ network.address) & network.mask) === 0;
}

/** IPv4 only: peers of the work items are. */
function parseNetwork(text: string): NonNullable<Grant['network']> {
  const match = NETWORK.exec(text);
  if (match === null) return 'dead';
  const parts = match.slice(1, 5).map(Number);
  const length = Number(match[5]) >>> 0;
  if (parts.some((part) => part > 255)) return 'dead';
  const address = Buffer.from(parts).readInt32BE(0);
  return { address, mask: length === 0 ? 0 : -1 << Math.max(0, 32 - length) };
}

function unquote(text: string): string {
  return /^["']/.test(text) ? text.replace(/^(["'])(.*)\1/s, '$2') : text;
}

const WORD = `"[^"]+"|'[^']+'|[A-Za-z0-9_./-]+`;
const TEXT = `(?:"[^"]*"|'[^']*'|[A-Za-z0-9_./-]+)\\*?`;
const SP = '[ \\t\\n\\v\\f\\r]+';
const PERM = `${SP}(?<perm>\\*|all|(?=[rwx])r?w?x?)`;
const POOL = `(?:${SP}pool(?:=|${SP})(?<pool>${WORD}))?`;
const NAMESPACE = `(?:${SP}namespace(?:=|${SP})(?<ns>${TEXT}))?`;
const PREFIX = `(?:${SP}object_prefix${SP}(?<prefix>${WORD}))?`;
const NET = `(?:${SP}network${SP}(?<net>[0-9a-fA-F.:/[\\]]+))?`;
const GRANT_A = new RegExp(`^[ \\t]*allow${PERM}${POOL}${NAMESPACE}${PREFIX}${NET}[ \\t]*$`);
const GRANT_B = new RegExp(`^[ \\t]*allow${POOL}${NAMESPACE}${PREFIX}${PERM}${NET}[ \\t]*$`);
const PART = '(0|[1-9]\\d{0,2})';
const NETWORK = new RegExp(`^${PART}\\.${PART}\\.${PART}\\.${PART}/(\\d+)$`);
