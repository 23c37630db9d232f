/**
 * /v1/admin/keys/{entity}: which generations of its key an entity has, when each was used last, and
 * the way from one to the next.
 */

import type { Context } from 'hono';
import { runChange } from '../auth/commands.ts';
import { AuthDb, entityNameOf } from '../auth/entities.ts';
import type { KeyGeneration, KeyUse } from '../auth/keyuses.ts';
import { clearPending, commitPending, getOrCreatePending } from '../auth/rotate.ts';
import type { CryptoKey } from '../cephx/cryptokey.ts';
import { utimeNs } from '../cephx/denc.ts';
import { formatEntityName } from '../cephx/protocol.ts';
import type { AdminDeps, AdminEnv } from './admin.ts';
import { requireCaps } from './admincaps.ts';
import { AdminProblem } from './adminproblem.ts';
import { formatTime } from './codec.ts';

type Route = (c: Context<AdminEnv>, deps: AdminDeps) => Promise<Response>;

/**
 * `{entity, key, pending}`, each `{key_type, created, last_used}` or null; `last_used` is
 * `{time, source}`, or null where this process has seen no login with it.
 */
export const getKeys: Route = async (c, deps) => {
  const entity = c.req.param('entity') ?? '';
  requireCaps(c, deps, { prefix: 'auth get', args: { entity } });
  return c.json(await keysOf(deps, entity));
};

/** Makes, commits or drops a pending key: `{entity, pending}`; `commit` may add `warning`. */
export const turnKey: Route = async (c, deps) => {
  const entity = c.req.param('entity') ?? '';
  const turn = c.req.param('turn') ?? '';
  if (turn === 'commit') return c.json(await commitKey(c, deps, entity));
  await change(c, deps, entity, turn);
  return c.json(await pendingOf(deps, entity));
};

/** Makes the pending key the key. The warning: who still uses the old one. */
export async function commitKey(
  c: Context<AdminEnv>,
  deps: AdminDeps,
  entity: string,
): Promise<{ readonly entity: string; readonly pending: boolean; readonly warning?: string }> {
  const { key, pending } = usesOf(deps, entity);
  const before = await change(c, deps, entity, 'commit');
  if (before && deps.issuer !== undefined) deps.issuer.uses.committed(canonical(entity));
  const inUse = before && key !== undefined && key.timeNs >= (pending?.timeNs ?? 0n);
  const warning = inUse
    ? `the old key was used last at ${formatTime(key.timeNs)} from ${key.source}`
    : undefined;
  return { ...(await pendingOf(deps, entity)), ...(warning && { warning }) };
}

/** Whether there was a pending key. Throws AdminProblem. */
async function change(
  c: Context<AdminEnv>,
  deps: AdminDeps,
  entity: string,
  turn: string,
): Promise<boolean> {
  const found = TURNS[turn]!;
  const caller = c.get('caller');
  const request = { prefix: found.prefix, args: { entity }, caller };
  const reply = await runChange(deps.command, request, found.change);
  if (reply.retcode !== 0) throw AdminProblem.of(reply);
  return reply.status === '';
}

async function pendingOf(
  deps: AdminDeps,
  entity: string,
): Promise<{ readonly entity: string; readonly pending: boolean }> {
  return { entity, pending: (await keysOf(deps, entity)).pending !== null };
}

interface ShownKey {
  readonly key_type: string;
  readonly created: string;
  readonly last_used: { readonly time: string; readonly source: string } | null;
}

async function keysOf(
  deps: AdminDeps,
  entity: string,
): Promise<{ entity: string; key: ShownKey; pending: ShownKey | null }> {
  const { store, monKeyring } = deps.command;
  const db = new AuthDb(store, monKeyring);
  try {
    const name = entityNameOf(entity);
    const found = name && (await db.find(name));
    if (found === undefined) throw new AdminProblem('entity.unknown', 'there is no such entity');
    const { key, pendingKey } = found;
    const uses = usesOf(deps, entity);
    const pending = pendingKey === undefined ? null : shown(pendingKey, uses.pending);
    return { entity, key: shown(key, uses.key), pending };
  } finally {
    db.wipe();
  }
}

function shown(key: CryptoKey, use: KeyUse | undefined): ShownKey {
  return {
    key_type: key.typeName ?? 'unknown',
    created: formatTime(utimeNs(key.created)),
    last_used: use === undefined ? null : { time: formatTime(use.timeNs), source: use.source },
  };
}

function usesOf(deps: AdminDeps, entity: string): Partial<Readonly<Record<KeyGeneration, KeyUse>>> {
  return deps.issuer?.uses.of(canonical(entity)) ?? {};
}

function canonical(entity: string): string {
  const name = entityNameOf(entity);
  return name === undefined ? entity : formatEntityName(name);
}

interface Turn {
  /** As the monitor calls the command, for the caller's caps. */
  readonly prefix: string;
  readonly change: Parameters<typeof runChange>[2];
}

const TURNS: Readonly<Record<string, Turn>> = {
  rotate: { prefix: 'auth get-or-create-pending', change: getOrCreatePending },
  commit: { prefix: 'auth commit-pending', change: commitPending },
  clear: { prefix: 'auth clear-pending', change: clearPending },
};
