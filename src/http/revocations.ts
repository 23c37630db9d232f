/**
 * GET, POST and DELETE /v1/admin/revocations (interface section 5). A revocation is written as
 *
 *   {"deny": {"entity" | "global_id": ...}}
 *   {"not_before": {"entity" | "service": ..., or "all": true, "time": ...}}
 *
 * and holds in this process before it is answered.
 */

import type { Context } from 'hono';
import { entityNameOf } from '../auth/entities.ts';
import { ROTATING_SERVICES } from '../auth/keyserver.ts';
import type { Revocation, Revocations } from '../auth/revocations.ts';
import { formatEntityName } from '../cephx/protocol.ts';

import type { RevocationId, RevocationTarget } from '../store/records.ts';
import type { AdminDeps, AdminEnv } from './admin.ts';
import { requireCaps } from './admincaps.ts';
import { commitKey } from './adminkeys.ts';
import { AdminProblem } from './adminproblem.ts';
import { type Field, flag, object, optional, readBody, text, u64, wrongValue } from './body.ts';
import { formatTime, parseTime } from './codec.ts';
import { Problem } from './problem.ts';

type Route = (c: Context<AdminEnv>, deps: AdminDeps) => Promise<Response>;

/** `{revocations: [...]}`, each as it was made, with `created` and `comment`. */
export const getRevocations: Route = async (c, deps) => {
  requireCaps(c, deps, { prefix: 'auth ls' });
  return c.json({ revocations: revocationsOf(deps).list().map(shown) });
};

/**
 * Makes or replaces one. `time` is now if it is left out. With `commit_pending` the entity's
 * pending key becomes its key first: a ticket does not tell by which key it was got.
 */
export const postRevocation: Route = async (c, deps) => {
  const revocations = revocationsOf(deps);
  const body = await readBody(c.req, POST_BODY, deps.body);
  requireCaps(c, deps, { prefix: 'auth rm', args: argsOf(idOf(body)), write: true });
  const nowNs = deps.command.clock();
  const id = idOf(body);
  const { target } = id;
  if (body.commit_pending === true) {
    if (id.kind !== 'not_before' || target.kind !== 'entity') {
      throw new Problem('field.conflict', '"commit_pending" goes with "not_before" of an entity');
    }
    await commitKey(c, deps, target.entity);
  }
  const timeNs = id.kind === 'deny' ? 0n : (body.not_before?.time ?? nowNs);
  const record = { timeNs, createdNs: nowNs, comment: body.comment ?? '' };
  try {
    await revocations.add(id, record);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new AdminProblem('revocation.refused', 'the revocation does not fit: too many, too long');
  }
  return c.json(shown({ id, record }));
};

/** Lifts the one that the body names: `{removed: true}`; 404 if there is none. */
export const deleteRevocation: Route = async (c, deps) => {
  const revocations = revocationsOf(deps);
  const id = idOf(await readBody(c.req, DELETE_BODY, deps.body));
  requireCaps(c, deps, { prefix: 'auth rm', args: argsOf(id), write: true });
  if (await revocations.remove(id)) return c.json({ removed: true });
  throw new AdminProblem('revocation.unknown', 'there is no such revocation');
};

function revocationsOf(deps: AdminDeps): Revocations {
  if (deps.revocations !== undefined) return deps.revocations;
  throw new Problem('route.unknown', 'no revocations are kept here');
}

function shown({ id, record }: Revocation): unknown {
  const { timeNs, createdNs, comment } = record;
  const about = targetFields(id.target);
  const time = id.kind === 'deny' ? {} : { time: formatTime(timeNs) };
  return { [id.kind]: { ...about, ...time }, created: formatTime(createdNs), comment };
}

function targetFields(target: RevocationTarget): Readonly<Record<string, string | true>> {
  switch (target.kind) {
    case 'entity':
      return { entity: target.entity };
    case 'global_id':
      return { global_id: target.globalId.toString() };
    case 'service':
      return { service: target.service };
    case 'all':
      return { all: true };
  }
}

/** What mon caps may be limited to. */
function argsOf({ target }: RevocationId): { entity?: string } {
  return target.kind === 'entity' ? { entity: target.entity } : {};
}

function idOf({ deny, not_before }: RuleFields): RevocationId {
  if ((deny === undefined) === (not_before === undefined)) {
    throw new Problem('field.conflict', 'exactly one of "deny", "not_before" must be given');
  }
  if (deny !== undefined) return { kind: 'deny', target: targetOf('deny', deny) };
  return { kind: 'not_before', target: targetOf('not_before', not_before!) };
}

function targetOf(at: string, fields: TargetFields): RevocationTarget {
  const { entity, global_id, service, all } = fields;
  const targets: (RevocationTarget | undefined)[] = [
    entity === undefined ? undefined : { kind: 'entity', entity },
    global_id === undefined ? undefined : { kind: 'global_id', globalId: global_id },
    service === undefined ? undefined : { kind: 'service', service },
    all === undefined ? undefined : { kind: 'all' },
  ];
  const [target, other] = targets.filter((each) => each !== undefined);
  if (target !== undefined && other === undefined && all !== false) return target;
  throw new Problem('field.conflict', `"${at}" must name exactly one target`);
}

interface RuleFields {
  readonly deny?: TargetFields | undefined;
  readonly not_before?: TargetFields | undefined;
}

interface TargetFields {
  readonly entity?: string | undefined;
  readonly global_id?: bigint | undefined;
  readonly service?: string | undefined;
  readonly all?: boolean | undefined;
}

const entityField: Field<string> = (value, at) => {
  const name = entityNameOf(text(1, 1_024)(value, at));
  if (name === undefined) throw wrongValue(at, 'an entity name, as client.admin');
  return formatEntityName(name);
};
const serviceField: Field<string> = (value, at) => {
  const name = text(1, 16)(value, at);
  if (!SERVICES.includes(name)) throw wrongValue(at, `one of ${SERVICES.join(', ')}`);
  return name;
};
const timeField: Field<bigint> = (value, at) => {
  const ns = parseTime(text(1, 64)(value, at));
  if (ns === undefined || ns >= 1n << 64n) throw wrongValue(at, 'a time in UTC before 2554');
  return ns;
};

const SERVICES: readonly string[] = ROTATING_SERVICES;
const DENY = object({ entity: optional(entityField), global_id: optional(u64) });
const NOT_BEFORE_TARGET = {
  entity: optional(entityField),
  service: optional(serviceField),
  all: optional(flag),
};
const NOT_BEFORE = object({ ...NOT_BEFORE_TARGET, time: optional(timeField) });
const POST_BODY = object({
  deny: optional(DENY),
  not_before: optional(NOT_BEFORE),
  comment: optional(text(0, 1_024)),
  commit_pending: optional(flag),
});
const DELETE_BODY = object({
  deny: optional(DENY),
  not_before: optional(object(NOT_BEFORE_TARGET)),
});
