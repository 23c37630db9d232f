/** The commands that only look: get, get-key and its other names, export, ls. */

import { type EntityName, formatEntityName } from '../cephx/protocol.ts';
import { formatEntity, type KeyRingEntity } from '../keyring/keyring.ts';
import { sorted } from './capwords.ts';
import {
  type Call,
  type CommandReply,
  done,
  EINVAL,
  ENOENT,
  printed,
  Refusal,
  until16,
} from './command.ts';
import { TEXTS } from './commandtexts.ts';
import { entityNameOf } from './entities.ts';
import { type ArrayNode, formatItem, formatNode, type Node, type ObjectNode } from './format.ts';

export async function get(call: Call): Promise<CommandReply> {
  if (call.entity === '') throw new Refusal(EINVAL, TEXTS.invalidCommand);
  const name = nameOf(call);
  const entity = await call.db.find(name);
  if (entity === undefined) throw new Refusal(ENOENT, TEXTS.failedToFind(call.entity));
  return done(until16(call, TEXTS.exportedKeyring(call.entity)), keyringText(call, name, entity));
}

export async function getKey(call: Call): Promise<CommandReply> {
  const name = call.entity === '' ? undefined : nameOf(call);
  const entity = name && (await call.db.find(name));
  if (entity === undefined) throw new Refusal(ENOENT, TEXTS.doNotHave(call.entity));
  return done('', keyText(call, entity, ''));
}

/** Ceph: unlike `get` this never looks into the monitor's own keyring. */
export async function exportKeyring(call: Call): Promise<CommandReply> {
  const name = call.entity === '' ? undefined : nameOf(call);
  if (name !== undefined) {
    const entity = await call.db.find(name);
    if (entity === undefined || entity === call.db.own(name)) {
      throw new Refusal(ENOENT, TEXTS.noKeyForNothing);
    }
    const status = TEXTS.exportedAuth(entity.key.toBase64());
    return done(until16(call, status), keyringText(call, name, entity));
  }
  const all = await call.db.list();
  const output = printed(
    call,
    () => all.map((held) => formatEntity(held.name, held.entity)).join(''),
    () => entities(all.map((held) => entityNode(held.name, held.entity))),
  );
  return done(until16(call, TEXTS.exportedMaster), output);
}

export async function list(call: Call): Promise<CommandReply> {
  const { format } = call;
  if (format !== undefined) {
    const items = await call.db.listShown(({ name, key, caps }) =>
      formatItem(ITEM, node(name, [['key', key]], caps), format, LIST_DEPTH),
    );
    return done('', formatNode('auth', { members: [['auth_dump', entities(items)]] }, format));
  }
  const all = await call.db.listShown(({ name, key, caps }) => {
    const lines = [...sorted(caps)].map(([service, text]) => `\tcaps: [${service}] ${text}\n`);
    return `${formatEntityName(name)}\n\tkey: ${key}\n${lines.join('')}`;
  });
  if (all.length === 0) return done(TEXTS.noEntries);
  return done(until16(call, TEXTS.entries), all.join(''));
}

/** The section of an entity in the format of the command. */
export function keyringText(call: Call, name: EntityName, entity: KeyRingEntity): string {
  return printed(
    call,
    () => formatEntity(name, entity),
    () => entities([entityNode(name, entity)]),
  );
}

/** The key alone; `end` follows it where there is no format. */
export function keyText(call: Call, { key }: KeyRingEntity, end: string): string {
  return printed(
    call,
    () => key.toBase64() + end,
    () => ({ members: [['key', key.toBase64()]] }),
  );
}

function nameOf({ entity }: Call): EntityName {
  const name = entityNameOf(entity);
  if (name === undefined) throw new Refusal(EINVAL, TEXTS.invalidEntityAuth(entity));
  return name;
}

function entities(items: Iterable<Node>): ArrayNode {
  return { item: ITEM, items };
}

function entityNode(name: EntityName, { key, pendingKey, caps }: KeyRingEntity): ObjectNode {
  const pending = pendingKey === undefined ? [] : [['pending_key', pendingKey.toBase64()] as const];
  return node(name, [['key', key.toBase64()], ...pending], caps);
}

function node(
  name: EntityName,
  keys: ObjectNode['members'],
  caps: ReadonlyMap<string, string>,
): ObjectNode {
  return {
    members: [
      ['entity', formatEntityName(name)],
      ...keys,
      ['caps', { members: caps.size > 1 ? [...sorted(caps)] : [...caps] }],
    ],
  };
}

/** The name of an entity's element in XML. */
const ITEM = 'auth_entities';
/** An item of `ls` is in an array, and that in an object. */
const LIST_DEPTH = 2;
