/** Where a cluster's monitors are: `mon host` of a command line or ceph.conf, else DNS SRV. */

import { lookup, Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import type { CephConf } from '../keyring/cephconf.ts';
import { type MonHost, parseMonHost } from '../mon/monhost.ts';
import { monSrvHosts, type SrvRecord } from '../mon/monsrv.ts';

/** Throws MonError `mon.address`. */
export async function monHostsOf(conf: CephConf): Promise<MonHost[]> {
  const text = conf.get('mon_host') ?? '';
  if (text.trim() !== '') return parseMonHost(text, resolveHost);
  const name = conf.get('mon_dns_srv_name') ?? 'ceph-mon';
  return monSrvHosts(name, searchedDomains(), { srv: resolveSrv, lookup: resolveHost });
}

async function resolveHost(name: string): Promise<readonly string[]> {
  const found = await lookup(name, { all: true });
  return found.map(({ address }) => address);
}

async function resolveSrv(name: string): Promise<readonly SrvRecord[]> {
  return new Resolver({ timeout: DNS_TIMEOUT_MS, tries: DNS_TRIES }).resolveSrv(name);
}

/** The library that asks for records does not look at the domains that resolv.conf names. */
function searchedDomains(): readonly string[] {
  let text: string;
  try {
    text = readFileSync('/etc/resolv.conf', 'utf8');
  } catch {
    return [];
  }
  // The last line of its kind counts, whether it says `domain` or `search`.
  const last = [...text.matchAll(/^\s*(?:search|domain)[ \t]+(.+)$/gm)].at(-1)?.[1] ?? '';
  return last
    .split(/\s+/)
    .map((domain) => domain.replace(/\.$/, ''))
    .filter((domain) => domain !== '')
    .slice(0, SEARCHED_MAX);
}

const DNS_TIMEOUT_MS = 2_000;
const DNS_TRIES = 2;
/** As in the resolver of the C library. */
const SEARCHED_MAX = 6;
