/** import: adds or replaces every entity of a keyring, all of them or none. */

import { formatEntityName } from '../cephx/protocol.ts';
import { KeyRing, KeyRingError } from '../keyring/keyring.ts';
import { each, inTurns } from '../turns.ts';
import { type Call, type CommandReply, done, EINVAL, Refusal, until16 } from './command.ts';
import { malformedKeyring, TEXTS } from './commandtexts.ts';
import { entityNameOf } from './entities.ts';
import { refuseImportWithoutAdmin } from './guardrails.ts';

export async function importKeyring(call: Call): Promise<CommandReply> {
  if (call.inbuf.length === 0) throw new Refusal(EINVAL, TEXTS.noData);
  const sections = (await parsed(call)).entities();
  const judging = each(sections, ([name, { key, pendingKey }]) => {
    call.db.keep(key);
    if (pendingKey !== undefined) call.db.keep(pendingKey);
    if (entityNameOf(formatEntityName(name)) === undefined) {
      throw new Refusal(EINVAL, TEXTS.badEntityName);
    }
  });
  await inTurns(judging);
  // Ceph: what comes before an entity without caps is imported all the same.
  if (sections.some(([, { caps }]) => caps.size === 0)) throw new Refusal(EINVAL, TEXTS.noCaps);
  // Ceph: a keyring without any section waits for the next change of the map; this one is done.
  const compares = await refuseImportWithoutAdmin(call, sections);
  await call.db.import(sections, compares, call.deps.progress);
  return done(until16(call, TEXTS.imported));
}

async function parsed(call: Call): Promise<KeyRing> {
  try {
    return await inTurns(KeyRing.parseSteps(call.inbuf, call.release));
  } catch (error) {
    if (!(error instanceof KeyRingError)) throw error;
    throw new Refusal(EINVAL, malformedKeyring(error, !call.guard));
  }
}
