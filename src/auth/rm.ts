/** rm, and del, its deprecated name. Key and caps go together. */

import { type EntityName, formatEntityName } from '../cephx/protocol.ts';
import { type Call, type CommandReply, done, until16 } from './command.ts';
import { TEXTS } from './commandtexts.ts';
import { refuseLastAdmin } from './guardrails.ts';

export async function rm(call: Call, name: EntityName): Promise<CommandReply> {
  let removed = false;
  await call.db.change(name, async (present) => {
    removed = present !== undefined;
    if (present === undefined) return undefined;
    const compares = await refuseLastAdmin(call, name, present, undefined);
    return { entity: undefined, compares };
  });
  const status = removed ? TEXTS.updated : TEXTS.doesNotExist(formatEntityName(name));
  return done(until16(call, status));
}
