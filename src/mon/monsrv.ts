/**
 * The monitors of a cluster whose ceph.conf names none: DNS SRV (Ceph: MonMap.cc
 * init_with_dns_srv; option mon_dns_srv_name).
 */

import { MonError } from './errors.ts';
import { hostsAt, type Lookup, type MonHost } from './monhost.ts';

/** One SRV record (RFC 2782). */
export interface SrvRecord {
  /** The target's host name. */
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** Gives the SRV records of a full name; throws or gives none if it has none. */
export type SrvLookup = (name: string) => Promise<readonly SrvRecord[]>;

/**
 * The monitors that `_NAME._tcp` names: by the priority of their records, with the port deciding on
 * the protocol as it does in `mon host`. Throws MonError `mon.address` if there is none.
 *
 * @param option mon_dns_srv_name, as "ceph-mon", or "ceph-mon_example.com" with a domain
 * @param searched domains to look in where the option has none; then without any
 */
export async function monSrvHosts(
  option: string,
  searched: readonly string[],
  { srv, lookup }: { readonly srv: SrvLookup; readonly lookup: Lookup },
): Promise<MonHost[]> {
  const at = option.indexOf('_');
  const service = `_${at < 0 ? option : option.slice(0, at)}._tcp`;
  const names =
    at < 0
      ? [...searched.map((domain) => `${service}.${domain}`), service]
      : [`${service}.${option.slice(at + 1)}`];
  for (const name of names) {
    const records = await srv(name).catch(() => []);
    if (records.length > 0) return hostsOf(records.slice(0, RECORDS_MAX), name, lookup);
  }
  throw new MonError(
    'mon.address',
    `cannot find the monitors: no "mon host", and DNS has no SRV record ${names[0]}`,
  );
}

async function hostsOf(
  records: readonly SrvRecord[],
  name: string,
  lookup: Lookup,
): Promise<MonHost[]> {
  const hosts: MonHost[] = [];
  for (const { name: target, port, priority } of records) {
    // One that has no address is no reason to do without the others.
    const ips = await lookup(target.replace(/\.$/, '')).catch(() => []);
    for (const { addresses } of hostsAt(ips, port)) {
      const v2 = addresses.filter(({ type }) => type === 'v2');
      if (v2.length > 0) hosts.push({ addresses: v2, priority });
    }
  }
  if (hosts.length > 0) return hosts;
  throw new MonError(
    'mon.address',
    `cannot use the SRV records ${name}: none leads to a msgr v2 address`,
  );
}

/** More monitors than that no cluster has. */
const RECORDS_MAX = 64;
