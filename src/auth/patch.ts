/** Some caps of an entity replaced or removed, the others kept: what no `ceph` command does. */

import { type EntityName, formatEntityName } from '../cephx/protocol.ts';
import { capsOf } from './capwords.ts';
import { type Call, type CommandReply, done, ENOENT, Refusal } from './command.ts';
import { TEXTS } from './commandtexts.ts';
import { refuseLastAdmin, refuseLesserAdmin } from './guardrails.ts';

/** `caps` are put in; the subsystems of `remove` are taken out. */
export async function patchCaps(call: Call, name: EntityName): Promise<CommandReply> {
  const given = await capsOf(call, 'first');
  const { remove = [] } = call.args;
  await call.db.change(name, async (present) => {
    const existing = present ?? call.db.own(name);
    if (existing === undefined) throw new Refusal(ENOENT, TEXTS.noEntry(formatEntityName(name)));
    const caps = new Map([...existing.caps, ...given]);
    for (const service of remove) caps.delete(service);
    const entity = { ...existing, caps };
    refuseLesserAdmin(call, name, existing, entity);
    return { entity, compares: await refuseLastAdmin(call, name, present, entity) };
  });
  return done(TEXTS.updatedCaps(formatEntityName(name)));
}
