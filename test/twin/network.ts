/** A slow, obvious twin of `network ADDR/LEN` in caps: parsing and matching on strings of bits. */

import type { Peg } from './peg.ts';

/** Address family and the bits that a client's address must begin with. */
export interface Network {
  readonly family: 4 | 6;
  readonly bits: string;
}

/** sp "network" sp netchars; `sp` is the language's own white space. */
export function networkClause(peg: Peg, spaces: string): string | undefined {
  return peg.attempt(() =>
    peg.some(spaces) && peg.literal('network') && peg.some(spaces) ? peg.some(NETCHARS) : undefined,
  );
}

/** The network, or undefined where it is unusable. */
export function parseNetwork(text: string): Network | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const length = text.slice(slash + 1);
  if (!/^[0-9]+$/.test(length)) return undefined;
  // Ceph reads a C long, which stops at its largest value, and keeps 32 bits of it.
  const long = BigInt(length) < LONG_MAX ? BigInt(length) : LONG_MAX;
  const kept = Number(long % 2n ** 32n);
  const address = parseAddress(text.slice(0, slash));
  return address && { family: address.family, bits: address.bits.slice(0, kept) };
}

/** Whether a client at `address` (text; null has no family) lies in the network. */
export function inNetwork(text: string, address: string | null): boolean {
  const network = parseNetwork(text);
  const client = address === null ? undefined : parseAddress(address);
  if (network === undefined || client === undefined) return false;
  return client.family === network.family && client.bits.startsWith(network.bits);
}

/** Strict dotted quad, else strict IPv6 text; all bits of it. */
export function parseAddress(text: string): Network | undefined {
  const four = quad(text);
  if (four !== undefined) return { family: 4, bits: four };
  const six = groups(text);
  return six === undefined ? undefined : { family: 6, bits: six };
}

function quad(text: string): string | undefined {
  const parts = text.split('.');
  const good = parts.length === 4 && parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part));
  if (!good || parts.some((part) => Number(part) > 255)) return undefined;
  return parts.map((part) => Number(part).toString(2).padStart(8, '0')).join('');
}

function groups(text: string): string | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const sides = halves.map((half, i) => side(half, i === halves.length - 1));
  const [before, after] = sides;
  if (before === undefined) return undefined;
  if (halves.length === 1) return before.length === 128 ? before : undefined;
  if (after === undefined) return undefined;
  const missing = 128 - before.length - after.length;
  return missing < 16 ? undefined : before + '0'.repeat(missing) + after;
}

/** One side of `::`; only the last group of all may be a dotted quad. */
function side(text: string, last: boolean): string | undefined {
  if (text === '') return '';
  let bits = '';
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    const four = last && i === parts.length - 1 ? quad(part) : undefined;
    if (four !== undefined) bits += four;
    else if (/^[0-9a-f]{1,4}$/i.test(part)) {
      bits += Number.parseInt(part, 16).toString(2).padStart(16, '0');
    } else return undefined;
  }
  return bits;
}

const LONG_MAX = 2n ** 63n - 1n;
const NETCHARS = '0123456789abcdefABCDEF.:/[]';
