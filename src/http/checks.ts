/**
 * POST /v1/checks: many at once (interface section 3.3). The answers stand in the order of the
 * items, all judged at one time by one snapshot. An item that cannot be answered is a denial with
 * a reason; only what is wrong with the body as a whole is an HTTP error.
 */

import type { Context } from 'hono';
import { type Field, object, optional, readBody, u64 } from './body.ts';
import { sent } from './bodybytes.ts';
import { requireRight } from './callers.ts';
import { type CheckBody, decideCheck, QUESTION, type Question, readExplain } from './check.ts';
import { readEntities } from './checkentity.ts';
import { type Decision, denial, ending, logDecision, type Outcome } from './decision.ts';
import type { AppDeps, AppEnv } from './deps.ts';
import { anyOp, capsService } from './fields.ts';
import { Problem } from './problem.ts';
import { ERRNO_CHECK } from './reasons.ts';
import { JSON_TYPE, type Reply } from './reply.ts';
import { described, type Schema, schemaOf } from './schema.ts';
import { STALE_CHECK, tooOld } from './staleness.ts';

/** Any list: its items are read one by one, and a bad one is only a denial. */
const items: Field<readonly unknown[]> = described(itemsSchema, (value, at) => {
  if (!Array.isArray(value)) {
    const state = value === undefined ? 'is missing' : 'is not a list';
    throw new Problem(value === undefined ? 'field.missing' : 'field.type', `"${at}" ${state}`);
  }
  return value;
});

const itemOp: Field<unknown> = optional(
  described(
    () => schemaOf(anyOp),
    (value) => value,
  ),
);
// Read where an item has none of its own.
const defaultOp: Field<unknown> = optional(described({}, (value) => value));
const readItem: Field<Question> = object({ ...QUESTION, op: itemOp });
const readDefaults: Field<Question> = object({ ...QUESTION, op: defaultOp });

interface ChecksBody {
  readonly service: CheckBody['service'];
  readonly defaults: Question | undefined;
  readonly items: readonly unknown[];
  readonly min_snapshot: bigint | undefined;
}

export const checksRequest: Field<ChecksBody> = object({
  service: capsService,
  defaults: optional(readDefaults),
  items,
  min_snapshot: optional(u64),
});

export async function checksRoute(c: Context<AppEnv>, deps: AppDeps): Promise<Reply> {
  const caller = c.get('caller');
  const explain = readExplain(c.req.raw.url);
  requireRight(caller, 'verify', 'this call');
  if (explain) requireRight(caller, 'explain', '"explain=true"');
  const request = await readBody(sent(c), checksRequest, deps.body);
  if (request.items.length > ITEMS_MAX) {
    const state = `"items" has ${request.items.length} entries: expected at most ${ITEMS_MAX}`;
    throw new Problem('body.too_large', state);
  }
  const { service, defaults } = request;
  const isTooOld = await tooOld(deps, request.min_snapshot);
  const asked = isTooOld ? [] : [defaults, ...request.items];
  const entities = await readEntities(deps, caller, asked);
  // Nothing is awaited from here on, so no reload comes between two items.
  const nowNs = deps.clock();
  deps.ring.advance(nowNs);
  const id = deps.state.ids.next();
  const asking = { explain, nowNs, entities, parsed: new Map<string, bigint>() };
  const answers = request.items.map((item, index) => {
    let op: unknown;
    const { decision, check, verdict } = outcomeOf(item, index, (question) => {
      const body = merged(service, defaults, question);
      op = body.op;
      return isTooOld ? TOO_OLD : decideCheck(deps, caller, body, asking);
    });
    const context = { call: 'checks', caller, service: service.name, check, verdict, op };
    logDecision(deps, id, decision, context, index);
    return decision;
  });
  const end = ending(deps, id, service.name, entities?.snapshot);
  return { type: JSON_TYPE, body: `{"answers":${JSON.stringify(answers)}${end}` };
}

function outcomeOf(item: unknown, index: number, decide: (question: Question) => Outcome): Outcome {
  try {
    return decide(readItem(item, `items[${index}]`));
  } catch (error) {
    if (error instanceof Problem) return refusal(error);
    throw error;
  }
}

/** What alone would have been an HTTP error; the message names the field, never its value. */
function refusal(problem: Problem): Outcome {
  const decision: Decision = {
    ...denial('record.malformed', ERRNO_CHECK),
    reason: { code: 'record.malformed', message: problem.message },
  };
  return { decision, check: problem.code };
}

function itemsSchema(): Schema {
  return { type: 'array', maxItems: ITEMS_MAX, items: schemaOf(readItem) };
}

/** An item's subject replaces that of the defaults, whichever of the three each of them is. */
function merged(
  service: CheckBody['service'],
  defaults: Question | undefined,
  item: Question,
): CheckBody {
  const named = SUBJECTS.some((name) => item[name] !== undefined) ? item : defaults;
  const { session, entity, caps } = named ?? item;
  const op = item.op ?? defaults?.op;
  if (op === undefined) throw new Problem('field.missing', '"op" is missing');
  return { service, session, entity, caps, peer: item.peer ?? defaults?.peer, op };
}

const TOO_OLD: Outcome = { decision: denial('store.stale', ERRNO_CHECK), check: STALE_CHECK };
/** Most items of a call. */
const ITEMS_MAX = 1_024;
const SUBJECTS = ['session', 'entity', 'caps'] as const;
