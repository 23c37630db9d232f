/**
 * Guard rails of the `auth` commands: the real monitor locks everybody out without a word. Each
 * refusal says what would be lost and how to do it all the same.
 */

import { ENTITY_TYPE_MON } from '../../assembly/abi.ts';
import { isAllowAll, parse } from '../caps/index.ts';
import { type EntityName, formatEntityName } from '../cephx/protocol.ts';
import type { KeyRingEntity } from '../keyring/keyring.ts';
import type { Compare } from '../store/store.ts';
import { each, inTurns } from '../turns.ts';
import { type Call, EPERM, Refusal } from './command.ts';
import type { HeldEntity } from './entities.ts';

type Section = readonly [EntityName, KeyRingEntity | undefined];

/**
 * Refuses a change after which nobody may do everything any more. Returns what the transaction has
 * to compare: the entity that still may. Throws Refusal, StoreError.
 */
export async function refuseLastAdmin(
  call: Call,
  name: EntityName,
  present: KeyRingEntity | undefined,
  next: KeyRingEntity | undefined,
): Promise<readonly Compare[]> {
  if (!call.guard || !isAdmin(call, present) || isAdmin(call, next)) return [];
  return remainingAdmin(call, await call.db.list(), [[name, next]]);
}

/** The same for the sections of a keyring that is imported. */
export async function refuseImportWithoutAdmin(
  call: Call,
  sections: readonly (readonly [EntityName, KeyRingEntity])[],
): Promise<readonly Compare[]> {
  if (!call.guard) return [];
  const admins = await count(sections, ([, entity]) => isAdmin(call, entity));
  if (admins > 0) return [];
  const held = await call.db.list();
  const replaced = new Set(sections.map(([name]) => formatEntityName(name)));
  const lost = await count(
    held,
    ({ name, entity }) => replaced.has(formatEntityName(name)) && isAdmin(call, entity),
  );
  return lost > 0 ? remainingAdmin(call, held, sections) : [];
}

/** Refuses to take mon `allow *` from client.admin, whoever else has it. Throws Refusal. */
export function refuseLesserAdmin(
  call: Call,
  name: EntityName,
  present: KeyRingEntity,
  next: KeyRingEntity,
): void {
  const isThatOne = formatEntityName(name) === ADMIN;
  if (!call.guard || !isThatOne || !isAdmin(call, present) || isAdmin(call, next)) return;
  throw refusal(`set caps of ${ADMIN} without mon "allow *"`, 'it could not set them back');
}

function remainingAdmin(
  call: Call,
  held: readonly HeldEntity[],
  changed: readonly Section[],
): readonly Compare[] {
  const names = new Set(changed.map(([name]) => formatEntityName(name)));
  const remaining = held.find(
    // The monitor's own entity is the rescue, not an administrator.
    ({ name, entity }) =>
      name.type !== ENTITY_TYPE_MON && !names.has(formatEntityName(name)) && isAdmin(call, entity),
  );
  if (remaining !== undefined) return [remaining.compare];
  const shown = changed.map(([name]) => formatEntityName(name));
  throw refusal(
    `change ${shown.length === 1 ? shown[0] : `${shown.length} entities`}`,
    'no entity with mon "allow *" would be left',
  );
}

/** How many there are; of a large keyring that takes a while. */
async function count<T>(items: readonly T[], is: (item: T) => boolean): Promise<number> {
  let found = 0;
  const counting = each(items, (item) => {
    if (is(item)) found++;
  });
  await inTurns(counting);
  return found;
}

/** Whether it can log in and do everything. */
function isAdmin(call: Call, entity: KeyRingEntity | undefined): boolean {
  const text = entity?.caps.get('mon');
  if (entity === undefined || text === undefined || !entity.key.usable) return false;
  const parsed = parse('mon', text, { release: call.release });
  return parsed.ok && isAllowAll(parsed.grants);
}

function refusal(action: string, reason: string): Refusal {
  return new Refusal(
    EPERM,
    `refusing to ${action}: ${reason} (--yes-i-really-mean-it or CEPHGATE_GUARD=off does it)`,
  );
}

const ADMIN = 'client.admin';
