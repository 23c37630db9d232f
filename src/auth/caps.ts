/** caps: replaces all caps of an entity. */

import { type EntityName, formatEntityName } from '../cephx/protocol.ts';
import type { KeyRingEntity } from '../keyring/keyring.ts';
import { capsOf } from './capwords.ts';
import { type Call, type CommandReply, committed, ENOENT, Refusal } from './command.ts';
import { TEXTS } from './commandtexts.ts';
import { keyringText } from './get.ts';
import { refuseLastAdmin, refuseLesserAdmin } from './guardrails.ts';

export async function caps(call: Call, name: EntityName): Promise<CommandReply> {
  const text = formatEntityName(name);
  let entity: KeyRingEntity | undefined;
  await call.db.change(name, async (present) => {
    const existing = present ?? call.db.own(name);
    // Ceph: before the caps are looked at.
    if (existing === undefined) throw new Refusal(ENOENT, TEXTS.noEntry(text));
    entity = { ...existing, caps: await capsOf(call, 'first') };
    refuseLesserAdmin(call, name, existing, entity);
    return { entity, compares: await refuseLastAdmin(call, name, present, entity) };
  });
  // Since 2023 the command answers with the keyring.
  const output = call.release === 16 ? '' : keyringText(call, name, entity!);
  return committed(TEXTS.updatedCaps(text), output);
}
