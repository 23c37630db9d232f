/**
 * Entities as subjects of checks (interface section 3.2): their caps come from the store, and
 * nothing is proved. What is not in the store does not exist.
 */

import type { EntitySnapshot } from '../auth/entitycaps.ts';
import { StoreError } from '../errors.ts';
import type { Caller } from './callers.ts';
import { denial, type Outcome } from './decision.ts';
import type { AppDeps } from './deps.ts';
import { Problem } from './problem.ts';
import { ERRNO_CHECK } from './reasons.ts';

/**
 * What the store has of all entities that are asked about, at one snapshot; undefined where none
 * is, where this caller may not ask, and where there is no store.
 *
 * @param questions whatever the body holds: what is no entity name is not read
 * @throws Problem `store.unavailable`
 */
export async function readEntities(
  { entities, log }: Pick<AppDeps, 'entities' | 'log'>,
  { rights }: Caller,
  questions: readonly unknown[],
): Promise<EntitySnapshot | undefined> {
  const names = questions.map(entityIn).filter((name) => name !== undefined);
  if (entities === undefined || names.length === 0 || !rights.has('explain')) return undefined;
  try {
    return await entities(names);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    // The words of the store may speak of our files.
    log({ level: 'error', event: 'store', message: error.message });
    throw new Problem('store.unavailable', 'the store did not answer as it should');
  }
}

function entityIn(question: unknown): string | undefined {
  if (typeof question !== 'object' || question === null) return undefined;
  const { entity } = question as { entity?: unknown };
  return typeof entity === 'string' ? entity : undefined;
}

/**
 * Decides by the caps that an entity has for a service. One that is denied may nothing, as no
 * ticket of it is taken; `not_before` speaks of tickets, and here is none.
 */
export function checkEntity(
  held: EntitySnapshot | undefined,
  asked: string | undefined,
  service: string,
  decide: (caps: string, name: string) => Outcome,
): Outcome {
  const found = asked === undefined ? undefined : held?.entities.get(asked);
  if (found === undefined) {
    return { decision: denial('entity.unknown', ERRNO_CHECK), check: 'sidecar.entity' };
  }
  const { name, caps, denied } = found;
  const outcome = denied
    ? { decision: denial('ticket.revoked', ERRNO_CHECK), check: 'ticket.revoked' }
    : decideBy(caps.get(service), name, decide);
  return { ...outcome, decision: { ...outcome.decision, entity: name } };
}

function decideBy(
  caps: string | undefined,
  name: string,
  decide: (caps: string, name: string) => Outcome,
): Outcome {
  if (caps !== undefined) return decide(caps, name);
  return { decision: denial('caps.none', ERRNO_CHECK), check: 'caps.none' };
}
