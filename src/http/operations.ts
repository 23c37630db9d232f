/**
 * GET /livez, /readyz, /version, /metrics, /openapi.json (interface section 6).
 */

import type { Context } from 'hono';
import { ABI_VERSION } from '../../assembly/abi.ts';
import { REASON_CODES } from '../engine/codes.ts';
import { callerOf } from './callers.ts';
import type { AppDeps, AppEnv } from './deps.ts';
import { openApiDocument } from './openapi.ts';
import { Problem } from './problem.ts';
import { REASONS_VERSION } from './reasons.ts';

/** Version of the package. */
export const VERSION = '0.1.0';

/** The process runs: whoever asks too late restarts it. */
export function livezRoute(c: Context<AppEnv>): Response {
  return c.json({ status: 'live' });
}

/**
 * The process can decide: it has secrets and is not about to end. `?verbose` says which holds, and
 * which health codes are raised: what they name is for administrators.
 */
export async function readyzRoute(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  deps.ring.advance(deps.clock());
  const { view } = deps;
  const conditions = {
    service_secrets: deps.ring.size > 0,
    not_draining: !deps.state.draining,
    // With `serve` it still decides, and all instances would be given up at once.
    ...(view?.onStale === 'deny' && { store_fresh: !view.isStale() }),
  };
  const ready = Object.values(conditions).every((holds) => holds);
  const status = ready ? 'ready' : 'not ready';
  const code = ready ? 200 : 503;
  const plain = deps.storePlaintext === true ? { store_plaintext: true } : {};
  if (c.req.query('verbose') === undefined) return c.json({ status, ...plain }, code);
  const stale = deps.ring.stale?.(deps.clock());
  const health = await deps.health?.();
  const store = view && {
    snapshot: view.snapshot.toString(),
    age_seconds: Math.min(Math.round(view.ageMs()), Number.MAX_SAFE_INTEGER) / 1000,
    stale: view.isStale(),
    on_stale: view.onStale,
  };
  const users = usersSeen(deps);
  return c.json({ status, ...plain, conditions, store, users, stale, health }, code);
}

function usersSeen({ users, clock }: AppDeps): object | undefined {
  const facts = users?.facts(clock());
  if (users === undefined) return undefined;
  const { entities = 0, ageSeconds } = facts ?? {};
  return { entities, age_seconds: ageSeconds ?? null, stale: users.isStale(clock()) };
}

/**
 * The metrics. They hold no secret, no name and no exact check, so no right is needed; but they
 * tell how much is asked and refused here. A unix socket has its mode for that, and a listener
 * with bearer tokens or client certificates wants one of them, whatever its rights; callers on
 * loopback TCP without a
 * token, who may be anybody on this machine, read them only if `--metrics` says so.
 */
export async function metricsRoute(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const { listener } = c.env;
  if (listener.kind === 'tcp' && deps.openMetrics !== true) {
    if (listener.tokens === undefined && listener.holder === undefined) {
      throw new Problem('metrics.disabled', 'metrics are not open to callers without a token');
    }
    callerOf(c.get('headers'), listener);
  }
  if (deps.observe === undefined) throw new Problem('route.unknown', 'no metrics are kept here');
  deps.ring.advance(deps.clock());
  const { contentType, text } = await deps.observe.metrics();
  return new Response(text, { headers: { 'content-type': contentType } });
}

/** What can be asked here, as OpenAPI 3.1. */
export function openApiRoute(): Response {
  document ??= JSON.stringify(openApiDocument(VERSION));
  return new Response(document, { headers: { 'content-type': 'application/json' } });
}

let document: string | undefined;

export function versionRoute(c: Context<AppEnv>, deps: AppDeps): Response {
  return c.json({
    version: VERSION,
    abi: ABI_VERSION,
    build: deps.engine.build,
    reasons: { version: REASONS_VERSION, codes: REASON_CODES },
    key_types: ['aes', 'aes256k'],
  });
}
