/**
 * The users of a cluster, without their keys: `auth ls`, of which names and caps are kept. The keys
 * that come along are overwritten in the bytes that came, before anything is made of them.
 */

import { MonError, protocolError } from './errors.ts';
import type { MonClient } from './monclient.ts';

/** Caps text by service, by entity name as Ceph prints it. */
export type Users = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Throws MonError. The connection is an encrypted one, or there is no answer. */
export async function fetchUsers(client: Pick<MonClient, 'command'>): Promise<Users> {
  const { result, output } = await client.command({ prefix: 'auth ls', format: 'json' });
  try {
    if (result === 0) return readUsers(output);
  } finally {
    output.fill(0);
  }
  const words = `cannot see the users: the monitor said ${result}`;
  const hint = result === EACCES ? ' (mon caps: allow command "auth ls")' : '';
  throw new MonError('mon.refused', `${words}${hint}`, result);
}

/** Reads `auth ls` in JSON; its keys are gone from `bytes` after that. Throws MonError. */
export function readUsers(bytes: Uint8Array): Users {
  blankKeys(bytes);
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw protocolError('auth ls', 'it is no JSON');
  }
  const { auth_dump: list } = asObject(document);
  if (!Array.isArray(list)) throw protocolError('auth ls', 'it has no list');
  return new Map(
    list.map((each) => {
      const { entity, caps } = asObject(each);
      if (typeof entity !== 'string') throw protocolError('auth ls', 'an entity without a name');
      const texts = Object.entries(asObject(caps));
      if (!texts.every((pair): pair is [string, string] => typeof pair[1] === 'string')) {
        throw protocolError('auth ls', 'caps that are no text');
      }
      return [entity, new Map(texts)];
    }),
  );
}

/**
 * Overwrites every string but names of members, entity names and what is in `caps`: whatever else a
 * release has come to tell of a user, it is none of our business.
 */
function blankKeys(bytes: Uint8Array): void {
  const depth: string[] = [];
  let name = '';
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth.push(name);
    else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth.pop();
    if (byte !== QUOTE) continue;
    const end = endOfText(bytes, at + 1);
    const text = bytes.subarray(at + 1, end);
    if (isMemberName(bytes, end + 1)) name = new TextDecoder().decode(text);
    else if (name !== 'entity' && depth.at(-1) !== 'caps') text.fill(STAR);
    at = end;
  }
}

/** Where the closing quote is. */
function endOfText(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return Math.min(at, bytes.length);
}

function isMemberName(bytes: Uint8Array, from: number): boolean {
  let at = from;
  while (at < bytes.length && bytes[at]! <= BLANK) at++;
  return bytes[at] === COLON;
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  throw protocolError('auth ls', 'an entry that is no object');
}

const EACCES = -13;
const [QUOTE, BACKSLASH, COLON, STAR, BLANK] = [0x22, 0x5c, 0x3a, 0x2a, 0x20];
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = [0x7b, 0x7d, 0x5b, 0x5d];
