/** import: adds or replaces every entity of a keyring, all of them or none. */

import { formatEntityName } from '../cephx/protocol.ts';
import { KeyRing, KeyRingError } from '../keyring/keyring.ts';
import { type Call, type CommandReply, done, EINVAL, Refusal, until16 } from './command.ts';
import { malformedKeyring, TEXTS } from './commandtexts.ts';
import { entityNameOf } from './entities.ts';
import { refuseImportWithoutAdmin } from './guardrails.ts';

export async function importKeyring(call: Call): Promise<CommandReply> {
  if (call.inbuf.length === 0) throw new Refusal(EINVAL, TEXTS.noData);
  const sections = parsed(call).entities();
  for (const [name, { key, pendingKey }] of sections) {
    call.db.keep(key);
    if (pendingKey !== undefined) call.db.keep(pendingKey);
    if (entityNameOf(formatEntityName(name)) === undefined) {
      throw new Refusal(EINVAL, TEXTS.badEntityName);
    }
  }
  // Ceph: what comes before an entity without caps is imported all the same.
  if (sections.some(([, { caps }]) => caps.size === 0)) throw new Refusal(EINVAL, TEXTS.noCaps);
  // Ceph: a keyring without any section waits for the next change of the map; this one is done.
  await call.db.import(sections, await refuseImportWithoutAdmin(call, sections));
  return done(until16(call, TEXTS.imported));
}

function parsed(call: Call): KeyRing {
  try {
    return KeyRing.parse(call.inbuf, call.release);
  } catch (error) {
    if (!(error instanceof KeyRingError)) throw error;
    throw new Refusal(EINVAL, malformedKeyring(error, !call.guard));
  }
}
