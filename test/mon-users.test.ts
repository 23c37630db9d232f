/** The users of a cluster: names and caps, and not a byte of a key. */

import { describe, expect, it } from 'vitest';
import { readUsers } from '../src/mon/users.ts';

const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';

function bytesOf(value: unknown): Uint8Array {
  return new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
}

describe('auth ls', () => {
  it('gives names and caps; what else it says is gone from the bytes', () => {
    const caps = { mon: 'allow r', osd: 'allow rw pool="key\\":{"' };
    const list = [
      { entity: 'client.a', key: KEY, caps },
      { entity: 'client.{"[', pending_key: KEY, key: KEY, more: { key: [KEY, { a: KEY }] }, caps },
      { entity: 'osd.0', caps: {}, key: KEY },
    ];
    for (const space of [0, 4]) {
      const bytes = bytesOf(JSON.stringify({ auth_dump: list }, null, space));
      const users = readUsers(bytes);
      expect([...users.keys()]).toEqual(['client.a', 'client.{"[', 'osd.0']);
      expect(Object.fromEntries(users.get('client.{"[')!)).toEqual(caps);
      expect(users.get('osd.0')!.size).toBe(0);
      expect(new TextDecoder().decode(bytes)).not.toContain('AQBw');
    }
  });

  it('does not keep a key that is called caps, or an entity', () => {
    const bytes = bytesOf({
      caps: KEY,
      auth_dump: [{ entity: 'client.a', caps: { mon: 'allow' } }],
    });
    readUsers(bytes);
    expect(new TextDecoder().decode(bytes)).not.toContain(KEY);
  });

  it.each([
    '',
    '[]',
    '{"auth_dump":{}}',
    '{"auth_dump":[1]}',
    '{"auth_dump":[{"entity":1,"caps":{}}]}',
    '{"auth_dump":[{"entity":"a"}]}',
    '{"auth_dump":[{"entity":"a","caps":{"mon":1}}]}',
    '{"auth_dump":[{"entity":"a\\',
    '"',
  ])('refuses %s', (text) => {
    expect(() => readUsers(bytesOf(text))).toThrow(/auth ls/);
  });
});
