/**
 * Entities as resources: /v1/admin/users/{entity} and its key. Key bytes are only in the answers of
 * `.../key`.
 */

import type { Context } from 'hono';
import { type CommandArgs, type CommandReply, runChange, runCommand } from '../auth/commands.ts';
import { AuthDb, entityNameOf } from '../auth/entities.ts';
import { patchCaps } from '../auth/patch.ts';
import type { AdminDeps, AdminEnv } from './admin.ts';
import { refuseInClear, requireCaps } from './admincaps.ts';
import { AdminProblem } from './adminproblem.ts';
import { type Field, object, optional, readBody, record, text, wrongType } from './body.ts';

type Route = (c: Context<AdminEnv>, deps: AdminDeps) => Promise<Response>;

/** `{entity, caps, key_type, created, pending}`; 404 if there is none. */
export const getUser: Route = async (c, deps) => {
  requireCaps(c, deps, { prefix: 'auth get', args: entityOf(c) });
  return c.json(await userOf(c, deps));
};

/** `{caps, key_type}`: makes the entity, or replaces its caps. */
export const putUser: Route = async (c, deps) => {
  const body = await readBody(c.req, PUT_BODY, deps.body);
  const caps = Object.entries(body.caps ?? {}).flat();
  const keyType = body.key_type === undefined ? {} : { key_type: body.key_type };
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const changed = await run(c, deps, 'auth caps', { caps });
    if (changed.retcode === 0) return c.json(await userOf(c, deps));
    if (changed.retcode !== -ENOENT) throw AdminProblem.of(changed);
    const added = await run(c, deps, 'auth add', { caps, ...keyType });
    if (added.retcode === 0) return c.json(await userOf(c, deps), 201);
    // Somebody may have made it in between.
    const made = await userOf(c, deps).catch(() => undefined);
    if (made === undefined) throw AdminProblem.of(added);
  }
  throw new AdminProblem('store.unavailable', 'others change the entity all the time');
};

/** `{caps}`: a text replaces, null removes, what is not named stays. */
export const patchUser: Route = async (c, deps) => {
  const body = await readBody(c.req, PATCH_BODY, deps.body);
  const entries = Object.entries(body.caps);
  const caps = entries.flatMap(([service, held]) => (held === null ? [] : [service, held]));
  const remove = entries.filter(([, held]) => held === null).map(([service]) => service);
  const args = { ...entityOf(c), caps, remove };
  const request = { prefix: 'auth caps', args, force: forced(c), caller: c.get('caller') };
  const reply = await runChange(deps.command, request, patchCaps);
  if (reply.retcode !== 0) throw AdminProblem.of(reply);
  return c.json(await userOf(c, deps));
};

/** 204; 404 if there is none. */
export const deleteUser: Route = async (c, deps) => {
  requireCaps(c, deps, { prefix: 'auth rm', args: entityOf(c), write: true });
  await userOf(c, deps);
  const reply = await run(c, deps, 'auth rm', {});
  if (reply.retcode !== 0) throw AdminProblem.of(reply);
  return c.body(null, 204);
};

/** `{entity, key, pending_key}`: texts as in a keyring; the last one only where there is one. */
export const getUserKey: Route = async (c, deps) => {
  requireCaps(c, deps, { prefix: 'auth get', args: entityOf(c) });
  refuseInClear(deps);
  return await withEntity(c, deps, (entity) => {
    const { key, pendingKey } = entity;
    const pending = pendingKey && { pending_key: pendingKey.toBase64() };
    return c.json({ ...entityOf(c), key: key.toBase64(), ...pending });
  });
};

interface User {
  readonly entity: string;
  readonly caps: Readonly<Record<string, string>>;
  readonly key_type: string;
  readonly created: string;
  readonly pending: boolean;
}

function userOf(c: Context<AdminEnv>, deps: AdminDeps): Promise<User> {
  return withEntity(c, deps, ({ key, pendingKey, caps }) => ({
    ...entityOf(c),
    caps: Object.fromEntries(caps),
    key_type: key.typeName ?? 'unknown',
    created: new Date(key.created.seconds * 1000).toISOString(),
    pending: pendingKey !== undefined,
  }));
}

async function withEntity<T>(
  c: Context<AdminEnv>,
  deps: AdminDeps,
  use: (entity: NonNullable<Awaited<ReturnType<AuthDb['find']>>>) => T,
): Promise<T> {
  const { store, monKeyring } = deps.command;
  const db = new AuthDb(store, monKeyring);
  try {
    const name = entityNameOf(entityOf(c).entity);
    const entity = name && (await db.find(name));
    if (entity === undefined) throw new AdminProblem('entity.unknown', 'there is no such entity');
    return use(entity);
  } finally {
    db.wipe();
  }
}

function run(
  c: Context<AdminEnv>,
  deps: AdminDeps,
  prefix: string,
  args: CommandArgs,
): Promise<CommandReply> {
  const caller = c.get('caller');
  const request = { prefix, args: { ...entityOf(c), ...args }, force: forced(c), caller };
  return runCommand(deps.command, request);
}

function entityOf(c: Context<AdminEnv>): { readonly entity: string } {
  return { entity: c.req.param('entity') ?? '' };
}

function forced(c: Context<AdminEnv>): boolean {
  return c.req.query('yes_i_really_mean_it') === 'true';
}

const CAPS_TEXT: Field<string> = text(0, 65_536);
const CAPS_OR_NULL: Field<string | null> = (value, at) => {
  if (value === null) return null;
  if (typeof value !== 'string') throw wrongType(at, 'a string or null', value);
  return CAPS_TEXT(value, at);
};
const PUT_BODY = object({
  caps: optional(record(CAPS_TEXT, 16)),
  key_type: optional(text(1, 32)),
});
const PATCH_BODY = object({ caps: record(CAPS_OR_NULL, 16) });

const TRIES_MAX = 5;
const ENOENT = 2;
