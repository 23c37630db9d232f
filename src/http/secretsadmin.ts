/**
 * /v1/admin/secrets: the rotating service secrets, by their ids and times and never by their bytes;
 * rotation before its time, and the wipe.
 */

import type { Context } from 'hono';
import { type KeyServer, ROTATING_SERVICES, type RotatingService } from '../auth/keyserver.ts';
import type { AdminDeps, AdminEnv } from './admin.ts';
import { requireCaps } from './admincaps.ts';
import { AdminProblem } from './adminproblem.ts';
import { list, object, oneOf, optional, readBody } from './body.ts';
import { formatTime } from './codec.ts';
import { Problem } from './problem.ts';

type Route = (c: Context<AdminEnv>, deps: AdminDeps) => Promise<Response>;

/** `{snapshot, secrets: [{service, secret_id, key_type, created, expires}]}`. */
export const getSecrets: Route = async (c, deps) => {
  requireCaps(c, deps, { prefix: 'auth dump-keys', write: true });
  return c.json(secretsOf(deps));
};

/** Turns the rings of the services in `{services}` by one, of all where none are named. */
export const rotateSecrets: Route = async (c, deps) => {
  const keyServer = keyServerOf(deps);
  requireCaps(c, deps, { prefix: 'auth wipe-rotating-service-keys', write: true });
  const { services = ROTATING_SERVICES } = await bodyOf(c, deps, ROTATE_BODY);
  await keyServer.rotate(services, deps.command.clock());
  return c.json(secretsOf(deps));
};

/** Makes all secrets but those of AUTH anew: every service ticket is worthless from now on. */
export const wipeSecrets: Route = async (c, deps) => {
  const keyServer = keyServerOf(deps);
  requireCaps(c, deps, { prefix: 'auth wipe-rotating-service-keys', write: true });
  await bodyOf(c, deps, object({}));
  await keyServer.wipe(deps.command.clock());
  return c.json(secretsOf(deps));
};

function secretsOf(deps: AdminDeps): unknown {
  if (deps.ring === undefined) throw new Problem('route.unknown', 'no secrets are kept here');
  const { snapshot, facts } = deps.ring;
  const secrets = facts.map(({ service, secretId, keyType, createdNs, expiresNs }) => ({
    service,
    secret_id: secretId.toString(),
    key_type: keyType,
    created: formatTime(createdNs),
    expires: expiresNs === undefined ? null : formatTime(expiresNs),
  }));
  return { snapshot: snapshot.toString(), secrets };
}

function keyServerOf({ issuer }: AdminDeps): KeyServer {
  if (issuer !== undefined) return issuer.keyServer;
  throw new AdminProblem('secrets.not_ours', 'the secrets are not made here: they are given to us');
}

/** A body that may be left out. */
async function bodyOf<T>(
  c: Context<AdminEnv>,
  deps: AdminDeps,
  field: (value: unknown, at: string) => T,
): Promise<T> {
  return c.req.raw.body === null ? field({}, '') : await readBody(c.req, field, deps.body);
}

const ROTATE_BODY = object({
  services: optional(list(oneOf<RotatingService>(ROTATING_SERVICES), ROTATING_SERVICES.length)),
});
