/**
 * `mon host`: the monitors of a cluster as ceph.conf and `--mon-host` say them (Ceph: MonMap.cc
 * init_with_hosts, msg_types.cc; msgr2-mon.md 14). We speak msgr2 only: of each entry its v2
 * addresses count.
 */

import { type AddressType, canonicalHost, type EntityAddress, formatAddress } from './address.ts';
import { MonError } from './errors.ts';

/** Gives the IP addresses of a host name; throws or gives none if it has none. */
export type Lookup = (name: string) => Promise<readonly string[]>;

/** A monitor before the cluster's own map is known. */
export interface MonHost {
  readonly addresses: readonly EntityAddress[];
  /** Lower ones are tried first; default 0. */
  readonly priority?: number;
}

/**
 * Parses the value and looks up its names; monitors with a v1 address alone are left out. Throws
 * MonError `mon.address` if nothing is left, if an entry cannot be parsed, or if a name has no
 * address.
 */
export async function parseMonHost(text: string, lookup: Lookup): Promise<MonHost[]> {
  const hosts: MonHost[] = [];
  let v1Only: EntityAddress | undefined;
  for (const entry of splitEntries(text)) {
    for (const host of await parseEntry(entry, text, lookup)) {
      const addresses = host.addresses.filter(({ type }) => type === 'v2');
      if (addresses.length > 0) hosts.push({ addresses });
      else v1Only ??= host.addresses[0];
    }
  }
  if (hosts.length > 0) return hosts;
  if (v1Only === undefined) throw wrong(text, 'it names no monitor');
  throw wrong(text, `${formatAddress(v1Only)} is msgr v1, only v2 is spoken`);
}

/** The entries of a list: between commas and blanks, but not within brackets. */
function splitEntries(text: string): string[] {
  const entries: string[] = [];
  let depth = 0;
  let entry = '';
  for (const char of text) {
    if (char === '[') depth++;
    else if (char === ']') depth--;
    if (depth === 0 && /[,\s;]/.test(char)) {
      if (entry !== '') entries.push(entry);
      entry = '';
    } else entry += char;
  }
  if (depth !== 0) throw wrong(text, 'its brackets do not match');
  if (entry !== '') entries.push(entry);
  return entries;
}

async function parseEntry(entry: string, text: string, lookup: Lookup): Promise<MonHost[]> {
  const inner = /^\[(.*)\]$/s.exec(entry)?.[1];
  if (inner !== undefined && canonicalHost(inner) === undefined) {
    const parts = splitEntries(inner);
    return [{ addresses: parts.flatMap((part) => parseAddress(part) ?? fail(part, text)) }];
  }
  const addresses = parseAddress(entry);
  if (addresses !== undefined) return [{ addresses }];
  const named = NAME.exec(entry);
  if (named === null) fail(entry, text);
  const [, name, port] = named!;
  const ips = await lookup(name!).catch(() => []);
  if (ips.length === 0) throw wrong(entry, 'the name has no address');
  return hostsAt(ips, Number(port ?? 0));
}

/** Monitors at IP addresses, whose port tells the protocol; 0: both, on their own ports. */
export function hostsAt(ips: readonly string[], port: number): MonHost[] {
  return ips.map((ip) => {
    const host = ip.includes(':') ? `[${ip}]` : ip;
    return { addresses: parseAddress(`${host}:${port}`) ?? [] };
  });
}

/** The addresses of `[TYPE:]IP[:PORT][/NONCE]`, undefined if it is not of this form. */
function parseAddress(text: string): EntityAddress[] | undefined {
  const parts = ADDRESS.exec(text);
  if (parts === null) return undefined;
  const [, type, bracketed, plain, portText, nonceText] = parts;
  const host = canonicalHost(bracketed ?? plain!);
  const bareIpv6 = canonicalHost(text.replace(/^(?:v1|v2|any):/, ''));
  const isBare = host === undefined || (bracketed === undefined && host.includes(':'));
  const found = isBare ? bareIpv6 : host;
  if (found === undefined) return undefined;
  const port = isBare ? 0 : Number(portText ?? 0);
  if (port > 65_535) return undefined;
  // A monitor's nonce is 0: one with another number is no monitor, and would not answer.
  if (Number(nonceText ?? 0) !== 0) throw wrong(text, 'the number after "/" is not 0');
  return expand(type as AddressType | undefined, found, port);
}

/** Without type and port an address stands for two, of both protocols. */
function expand(type: AddressType | undefined, host: string, port: number): EntityAddress[] {
  const address = (of: 'v1' | 'v2', at: number): EntityAddress => ({
    type: of,
    nonce: 0,
    host,
    port: at,
  });
  if (type === 'v1') return [address('v1', port || PORT_V1)];
  if (type === 'v2') return [address('v2', port || PORT_V2)];
  if (port === 0) return [address('v2', PORT_V2), address('v1', PORT_V1)];
  return [address(port === PORT_V1 && type === undefined ? 'v1' : 'v2', port)];
}

function fail(entry: string, text: string): never {
  throw wrong(text, `"${entry}" is no address`);
}

function wrong(text: string, state: string): MonError {
  return new MonError('mon.address', `cannot use mon host "${text}": ${state}`);
}

const PORT_V2 = 3300;
const PORT_V1 = 6789;
const ADDRESS = /^(?:(v1|v2|any):)?(?:\[([^\][]*)\]|([^\][/]*?))(?::(\d{1,5}))?(?:\/(\d+))?$/;
/** A host name, and a port. Names take no type. */
const NAME = /^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?::(\d{1,5}))?$/;
