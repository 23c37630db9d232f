/** `mon host` in every form that was shown to the real parser (release 16.2.15). */

import { describe, expect, it } from 'vitest';
import { formatAddress } from '../src/mon/address.ts';
import { parseMonHost } from '../src/mon/monhost.ts';

const NAMES: Readonly<Record<string, readonly string[]>> = {
  localhost: ['127.0.0.1'],
  mons: ['10.0.0.1', '2001:db8::1'],
};

async function v2Of(text: string): Promise<string[]> {
  const hosts = await parseMonHost(text, async (name) => NAMES[name] ?? []);
  return hosts.map(({ addresses }) => addresses.map(formatAddress).join('+'));
}

const A = 'v2:10.0.0.1:3300';
const B = 'v2:10.0.0.2:3300';

describe('mon host', () => {
  it.each([
    ['10.0.0.1', [A]],
    ['10.0.0.1:3300', [A]],
    ['10.0.0.1:7000', ['v2:10.0.0.1:7000']],
    ['10.0.0.1:0', [A]],
    ['v2:10.0.0.1', [A]],
    ['any:10.0.0.1:3300', [A]],
    ['[v2:10.0.0.1:3300,v1:10.0.0.1:6789]', [A]],
    ['[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]', [A]],
    ['v2:10.0.0.1:3300,v1:10.0.0.1:6789', [A]],
    ['[10.0.0.1:3300,10.0.0.1:7000]', [`${A}+v2:10.0.0.1:7000`]],
    ['10.0.0.1,10.0.0.2', [A, B]],
    ['10.0.0.1 10.0.0.2', [A, B]],
    ['10.0.0.1, 10.0.0.2', [A, B]],
    ['10.0.0.1,,10.0.0.2', [A, B]],
    ['[v2:10.0.0.1:3300,v1:10.0.0.1:6789],[v2:10.0.0.2:3300]', [A, B]],
    ['2001:db8::1', ['v2:[2001:db8::1]:3300']],
    ['2001:DB8:0:0::1', ['v2:[2001:db8::1]:3300']],
    ['[2001:db8::1]', ['v2:[2001:db8::1]:3300']],
    ['[2001:db8::1]:3300', ['v2:[2001:db8::1]:3300']],
    ['v2:[2001:db8::1]:7000', ['v2:[2001:db8::1]:7000']],
    ['[v2:[2001:db8::1]:3300,v1:[2001:db8::1]:6789]', ['v2:[2001:db8::1]:3300']],
    ['[::1]', ['v2:[::1]:3300']],
    ['localhost', ['v2:127.0.0.1:3300']],
    ['localhost:7000', ['v2:127.0.0.1:7000']],
    ['localhost,10.0.0.2', ['v2:127.0.0.1:3300', B]],
    ['mons', [A, 'v2:[2001:db8::1]:3300']],
  ])('%s', async (text, expected) => {
    expect(await v2Of(text)).toEqual(expected);
  });

  it.each([
    ['', 'no monitor'],
    [' , ', 'no monitor'],
    ['10.0.0.1:6789', 'v1:10.0.0.1:6789 is msgr v1'],
    ['v1:10.0.0.1', 'is msgr v1'],
    ['v2:localhost:3300', 'no address'],
    ['V2:10.0.0.1:3300', 'no address'],
    ['[v2:10.0.0.1:3300', 'brackets'],
    ['nosuchhost.invalid', 'the name has no address'],
    ['10.0.0.1/24', 'not 0'],
    ['10.0.0.1:3300/5', 'not 0'],
    ['10.0.0.1:70000', 'no address'],
    ['300.0.0.1', 'no address'],
    ['1:2:3', 'no address'],
  ])('refuses "%s"', async (text, why) => {
    await expect(v2Of(text)).rejects.toThrow(why);
    await expect(v2Of(text)).rejects.toMatchObject({ code: 'mon.address' });
  });
});
