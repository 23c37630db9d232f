/**
 * What a caller of the admin listener may: on the unix socket everything, elsewhere what its mon
 * caps say of the command, as a monitor would decide.
 */

import type { Context } from 'hono';
import { type CommandArgs, mayRun } from '../auth/commands.ts';
import type { AdminDeps, AdminEnv } from './admin.ts';
import { AdminProblem } from './adminproblem.ts';

/** A question to a monitor's caps: a command of service `auth`. */
export interface Asked {
  readonly prefix: string;
  readonly args?: CommandArgs;
  /** It changes something. */
  readonly write?: boolean;
}

/**
 * Routes that are no command of Ceph are asked under the name of the command that shows or changes
 * as much. Throws AdminProblem `caps.refused`.
 */
export function requireCaps(c: Context<AdminEnv>, deps: AdminDeps, asked: Asked): void {
  const caller = c.get('caller');
  if (caller === undefined) return;
  const { prefix, args = {}, write = false } = asked;
  if (mayRun(deps.command.release, caller, { prefix, args, write })) return;
  throw new AdminProblem('caps.refused', 'the mon caps of the caller do not allow this');
}

/** Throws AdminProblem `key.in_clear` where an answer with key bytes could be read on its way. */
export function refuseInClear({ inClear }: AdminDeps): void {
  if (inClear !== true) return;
  throw new AdminProblem('key.in_clear', 'keys are answered only over TLS and on a unix socket');
}

/** Whether what a command gives may hold key bytes. */
export function givesKeys(prefix: string): boolean {
  return !KEYLESS.includes(prefix);
}

/** All others of `auth` and `fs` show a key, or may some day. */
const KEYLESS = [
  'auth add',
  'auth caps',
  'auth rm',
  'auth del',
  'auth import',
  'auth commit-pending',
  'auth clear-pending',
  'auth dump-keys',
  'auth wipe-rotating-service-keys',
  'mon set',
];
