/**
 * GET /livez, /readyz, /version (interface section 6).
 */

import type { Context } from 'hono';
import { ABI_VERSION } from '../../assembly/abi.ts';
import { REASON_CODES } from '../engine/codes.ts';
import type { AppDeps, AppEnv } from './deps.ts';
import { REASONS_VERSION } from './reasons.ts';

/** Version of the package. */
export const VERSION = '0.1.0';

/** The process runs: whoever asks too late restarts it. */
export function livezRoute(c: Context<AppEnv>): Response {
  return c.json({ status: 'live' });
}

/** The process can decide: it has secrets and is not about to end. `?verbose` says which holds. */
export function readyzRoute(c: Context<AppEnv>, deps: AppDeps): Response {
  deps.ring.advance(deps.clock());
  const conditions = { service_secrets: deps.ring.size > 0, not_draining: !deps.state.draining };
  const ready = Object.values(conditions).every((holds) => holds);
  const status = ready ? 'ready' : 'not ready';
  const verbose = c.req.query('verbose') !== undefined;
  return c.json(verbose ? { status, conditions } : { status }, ready ? 200 : 503);
}

export function versionRoute(c: Context<AppEnv>, deps: AppDeps): Response {
  return c.json({
    version: VERSION,
    abi: ABI_VERSION,
    build: deps.engine.build,
    reasons: { version: REASONS_VERSION, codes: REASON_CODES },
    key_types: ['aes', 'aes256k'],
  });
}
