/**
 * Administration as a Hono app of its own, on a listener of its own (interface section 5): the
 * commands of `ceph auth`, entities as resources, revocations, secrets. Who reaches its unix socket
 * may everything.
 */

import { type Context, Hono, type MiddlewareHandler } from 'hono';
import type { HealthCheck } from '../auth/cipherpolicy.ts';
import { type Caller, type CommandArgs, type CommandDeps, runCommand } from '../auth/commands.ts';
import type { Issuer } from '../auth/issuer.ts';
import type { Revocations } from '../auth/revocations.ts';
import { StoreError } from '../errors.ts';
import { NotedStore } from '../store/noted.ts';
import { givesKeys, refuseInClear } from './admincaps.ts';
import { getHealth } from './adminhealth.ts';
import { getKeys, turnKey } from './adminkeys.ts';
import { AdminProblem } from './adminproblem.ts';
import { type RemoteAdmin, sessionRoute, signedOnly } from './adminremote.ts';
import { deleteUser, getUser, getUserKey, patchUser, putUser } from './adminusers.ts';
import { base64, type Field, flag, readBody, wrongType } from './body.ts';
import type { BodyLimits } from './bodybytes.ts';
import { refuseForeign } from './callers.ts';
import { parseU64 } from './codec.ts';
import type { AppDeps, Bindings, LogRecord, SecretRing } from './deps.ts';
import { Problem } from './problem.ts';
import { deleteRevocation, getRevocations, postRevocation } from './revocations.ts';
import { getSecrets, rotateSecrets, wipeSecrets } from './secretsadmin.ts';
import { isStale, reaches } from './staleness.ts';
import { getWatch } from './watch.ts';

export interface AdminDeps {
  readonly command: CommandDeps;
  readonly body: BodyLimits;
  readonly log: (record: LogRecord) => void;
  /** What holds in this process before it is answered. */
  readonly revocations?: Revocations | undefined;
  readonly ring?: SecretRing | undefined;
  /** Where tickets are issued. */
  readonly issuer?: Pick<Issuer, 'keyServer' | 'uses'> | undefined;
  /** The health codes that are raised now. */
  readonly health?: (() => Promise<readonly HealthCheck[]>) | undefined;
  /** What is known of the store, and how old that is. */
  readonly view?: AppDeps['view'];
  /** Ends what watches. */
  readonly ending?: AbortSignal | undefined;
  /** Others can read what is answered: TCP without TLS. */
  readonly inClear?: boolean;
}

export interface AdminEnv {
  Bindings: Bindings;
  /** `caller`: who signed the request; without one everything is allowed. */
  Variables: { caller: Caller | undefined };
}

/** A keyring of 100,000 entities is 20 MB, and a third more in base64. */
export const ADMIN_BODY_LIMITS: BodyLimits = { lenMax: 67_108_864, timeoutMs: 60_000 };

/**
 * Makes the app. Each request must come with `{ listener }` as its bindings.
 *
 * @param remote for TCP, where callers prove who they are and may what their mon caps say
 */
export function createAdminApp(deps: AdminDeps, remote?: RemoteAdmin): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>();
  app.use('*', async (c, next) => {
    await next();
    c.res.headers.set('cache-control', 'no-store');
    c.res.headers.set('x-content-type-options', 'nosniff');
  });
  app.use('*', async (c, next) => {
    refuseForeign(c.req.raw.headers, c.env.listener);
    // A listener on TCP is never without proof, whatever it was made with.
    if (remote === undefined && c.env.listener.kind !== 'unix') throw NO_ROUTE();
    await next();
  });
  app.use('*', inSight(deps));
  if (remote !== undefined) {
    app.post('/v1/admin/session', (c) => sessionRoute(c, deps, remote));
    app.use('*', signedOnly(deps, remote));
  }
  for (const [path, routes] of Object.entries(ROUTES)) {
    for (const [method, route] of Object.entries(routes)) {
      app.on(method, path, (c) => route(c, deps));
    }
    app.all(path, () => {
      const allow = Object.keys(routes).join(', ');
      throw new Problem('method.not_allowed', 'this route does not know the method', { allow });
    });
  }
  app.notFound(() => NO_ROUTE().toResponse());
  app.onError((error) => problemOf(error, deps).toResponse());
  return app;
}

/**
 * Nothing is administered while the store is out of sight, or before what the caller names with
 * `?min_snapshot=` is here. The answer says in a header which snapshot has all that it speaks of.
 */
function inSight(deps: AdminDeps): MiddlewareHandler<AdminEnv> {
  return async (c, next) => {
    if (isStale(deps)) throw new AdminProblem('store.stale', 'the store is out of sight');
    const text = c.req.query('min_snapshot');
    const least = text === undefined ? 0n : parseU64(text);
    if (least === undefined) {
      throw new Problem('field.value', '"min_snapshot" is not a snapshot number');
    }
    if (least > 0n && !(await reaches(deps, least))) {
      throw new AdminProblem('store.stale', 'the snapshot that is asked for did not come in time');
    }
    await next();
    const { store } = deps.command;
    if (!(store instanceof NotedStore)) return;
    const noted = c.req.method === 'GET' ? store.seen : store.committed;
    c.res.headers.set(SNAPSHOT_HEADER, noted.toString());
  };
}

/** `{prefix, ..., input, yes_i_really_mean_it}` -> `{retcode, status, output}`. */
async function commandRoute(c: Context<AdminEnv>, deps: AdminDeps): Promise<Response> {
  const { prefix, args, inbuf, force } = await readBody(c.req, COMMAND_BODY, deps.body);
  try {
    if (givesKeys(prefix)) refuseInClear(deps);
    const caller = c.get('caller');
    return c.json(await runCommand(deps.command, { prefix, args, inbuf, force, caller }));
  } finally {
    inbuf.fill(0);
  }
}

interface CommandBody {
  readonly prefix: string;
  readonly args: CommandArgs;
  /** The file that comes with the command. */
  readonly inbuf: Uint8Array;
  readonly force: boolean;
}

/** Which fields a command has is the command's affair; here they are texts or lists of texts. */
const COMMAND_BODY: Field<CommandBody> = (value, at) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongType(at, 'an object', value);
  }
  const {
    prefix,
    input,
    yes_i_really_mean_it: insists,
    ...rest
  } = value as Record<string, unknown>;
  if (typeof prefix !== 'string') throw wrongType('prefix', 'a string', prefix);
  for (const [name, held] of Object.entries(rest)) {
    const texts = Array.isArray(held) ? held : [held];
    if (!texts.every((each) => typeof each === 'string')) {
      throw wrongType(name, 'a string or a list of strings', held);
    }
  }
  const inbuf =
    input === undefined ? new Uint8Array(0) : base64(0, ADMIN_BODY_LIMITS.lenMax)(input, 'input');
  const force = insists !== undefined && flag(insists, 'yes_i_really_mean_it');
  return { prefix, args: rest as CommandArgs, inbuf, force };
};

function problemOf(error: unknown, deps: AdminDeps): Problem | AdminProblem {
  if (error instanceof Problem || error instanceof AdminProblem) return error;
  const { name, message } = error instanceof Error ? error : { name: 'unknown', message: '' };
  deps.log({ level: 'error', event: 'error', name, message });
  if (error instanceof StoreError) {
    return new AdminProblem('store.unavailable', STORE_DETAILS[error.code] ?? STORE_DETAIL);
  }
  return new Problem('internal', 'the request could not be processed');
}

/** Decimal; of use as `min_snapshot` elsewhere. */
export const SNAPSHOT_HEADER = 'cephgate-snapshot';
const NO_ROUTE = (): Problem => new Problem('route.unknown', 'no such route');

/** What an administrator can do something about; the log has the store's own words. */
const STORE_DETAILS: Readonly<Record<string, string>> = {
  'store.full': 'cannot change the store: its disk is full',
  'store.readonly': 'cannot change the store: it is read-only',
  'store.busy': 'cannot change the store: others are changing it',
};
const STORE_DETAIL = 'the store did not answer as it should';

type Route = (c: Context<AdminEnv>, deps: AdminDeps) => Promise<Response>;

const ROUTES: Readonly<Record<string, Readonly<Record<string, Route>>>> = {
  '/v1/admin/command': { POST: commandRoute },
  '/v1/admin/users/:entity': {
    GET: getUser,
    PUT: putUser,
    PATCH: patchUser,
    DELETE: deleteUser,
  },
  '/v1/admin/users/:entity/key': { GET: getUserKey },
  '/v1/admin/keys/:entity': { GET: getKeys },
  '/v1/admin/keys/:entity/:turn{rotate|commit|clear}': { POST: turnKey },
  '/v1/admin/secrets': { GET: getSecrets },
  '/v1/admin/secrets/rotate': { POST: rotateSecrets },
  '/v1/admin/secrets/wipe': { POST: wipeSecrets },
  '/v1/admin/revocations': {
    GET: getRevocations,
    POST: postRevocation,
    DELETE: deleteRevocation,
  },
  '/v1/admin/watch': { GET: getWatch },
  '/v1/admin/health': { GET: getHealth },
};
