/** New keys for entities that exist: rotate at once, or by way of a pending key. */

import { type EntityName, formatEntityName } from '../cephx/protocol.ts';
import type { KeyRingEntity } from '../keyring/keyring.ts';
import { foundOrMade } from './add.ts';
import { type Call, type CommandReply, done, ENOENT, Refusal } from './command.ts';
import { TEXTS } from './commandtexts.ts';
import { keyringText } from './get.ts';
import { keyTypeOf, newKey } from './keytypes.ts';

/** The old key ends at once; caps and a pending key stay. */
export async function rotate(call: Call, name: EntityName): Promise<CommandReply> {
  const type = await keyTypeOf(call);
  const entity = await foundOrMade(call, name, (existing) => {
    if (existing === undefined) throw new Refusal(ENOENT, TEXTS.noEntity);
    return { ...existing, key: newKey(call, type) };
  });
  return done('', keyringText(call, name, entity));
}

/** Both keys are good from now on. */
export async function getOrCreatePending(call: Call, name: EntityName): Promise<CommandReply> {
  const type = await keyTypeOf(call, PREFERRED);
  const entity = await foundOrMade(call, name, (existing) => {
    const known = existingOf(name, existing);
    return known.pendingKey === undefined ? { ...known, pendingKey: newKey(call, type) } : known;
  });
  return done('', keyringText(call, name, { ...entity, caps: new Map() }));
}

export async function commitPending(call: Call, name: EntityName): Promise<CommandReply> {
  await keyTypeOf(call, PREFERRED);
  let committed = false;
  await foundOrMade(call, name, (existing) => {
    const { pendingKey, ...rest } = existingOf(name, existing);
    committed = pendingKey !== undefined;
    return pendingKey === undefined ? existing! : { ...rest, key: pendingKey };
  });
  return done(committed ? '' : TEXTS.noPendingKey);
}

export async function clearPending(call: Call, name: EntityName): Promise<CommandReply> {
  await keyTypeOf(call, PREFERRED);
  await foundOrMade(call, name, (existing) => {
    const { pendingKey, ...rest } = existingOf(name, existing);
    return pendingKey === undefined ? existing! : rest;
  });
  return done();
}

function existingOf(name: EntityName, existing: KeyRingEntity | undefined): KeyRingEntity {
  if (existing !== undefined) return existing;
  throw new Refusal(ENOENT, TEXTS.doesNotExist(formatEntityName(name)));
}

/** Ceph: the code reads a key type here, and the command has no argument for it. */
const PREFERRED = 'preferred';
