/** Monitors found by DNS SRV, as where ceph.conf names none. */

import { describe, expect, it } from 'vitest';
import { formatAddress } from '../src/mon/address.ts';
import { monSrvHosts, type SrvRecord } from '../src/mon/monsrv.ts';

const ADDRESSES: Readonly<Record<string, readonly string[]>> = {
  'a.example.com': ['10.0.0.1'],
  'b.example.com': ['10.0.0.2', '2001:db8::2'],
  'v1.example.com': ['10.0.0.3'],
};

async function found(
  option: string,
  searched: readonly string[],
  records: Readonly<Record<string, readonly Partial<SrvRecord>[]>>,
): Promise<{ readonly asked: string[]; readonly hosts: string[] }> {
  const asked: string[] = [];
  const hosts = await monSrvHosts(option, searched, {
    async srv(name) {
      asked.push(name);
      if (records[name] === undefined) throw Object.assign(new Error(), { code: 'ENOTFOUND' });
      return records[name].map((each) => ({
        name: '',
        port: 3300,
        priority: 0,
        weight: 0,
        ...each,
      }));
    },
    async lookup(name) {
      return ADDRESSES[name] ?? [];
    },
  });
  const shown = hosts.map(
    ({ addresses, priority }) => `${addresses.map(formatAddress).join('+')} ${priority}`,
  );
  return { asked, hosts: shown };
}

describe('DNS SRV', () => {
  it('gives every address of every target, with its priority', async () => {
    const records = [
      { name: 'a.example.com', priority: 20 },
      { name: 'b.example.com.', port: 7000, priority: 10 },
      { name: 'nosuch.example.com' },
      { name: 'v1.example.com', port: 6789 },
    ];
    expect(await found('ceph-mon', [], { '_ceph-mon._tcp': records })).toEqual({
      asked: ['_ceph-mon._tcp'],
      hosts: ['v2:10.0.0.1:3300 20', 'v2:10.0.0.2:7000 10', 'v2:[2001:db8::2]:7000 10'],
    });
  });

  it('looks in the domains that are searched, then in none', async () => {
    const records = { '_ceph-mon._tcp.two.example': [{ name: 'a.example.com' }] };
    const { asked, hosts } = await found('ceph-mon', ['one.example', 'two.example'], records);
    expect(asked).toEqual(['_ceph-mon._tcp.one.example', '_ceph-mon._tcp.two.example']);
    expect(hosts).toEqual(['v2:10.0.0.1:3300 0']);
  });

  it('takes service and domain from mon_dns_srv_name', async () => {
    const records = { '_mons._tcp.example.com': [{ name: 'a.example.com' }] };
    const { asked } = await found('mons_example.com', ['one.example'], records);
    expect(asked).toEqual(['_mons._tcp.example.com']);
  });

  it.each([
    [{}, 'no SRV record _ceph-mon._tcp'],
    [{ '_ceph-mon._tcp': [{ name: 'v1.example.com', port: 6789 }] }, 'msgr v2'],
    [{ '_ceph-mon._tcp': [{ name: 'nosuch' }] }, 'msgr v2'],
  ])('says what is missing: %j', async (records, words) => {
    const search = found('ceph-mon', [], records);
    await expect(search).rejects.toMatchObject({ code: 'mon.address' });
    await expect(search).rejects.toThrow(words);
  });
});
