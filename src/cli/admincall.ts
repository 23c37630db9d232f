/** Calls of the command line to the admin socket of a sidecar. */

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { RequestError } from '../errors.ts';
import type { Io } from './io.ts';
import type { Option, Settings } from './options.ts';
import { post } from './request.ts';
import { SERVE_OPTIONS } from './settings.ts';

/** Where the admin socket is. */
export const ADMIN_OPTIONS: readonly Option[] = SERVE_OPTIONS.filter(({ name }) =>
  ['data', 'admin-listen', 'config'].includes(name),
).map((option) => ({ ...option, repeatable: false }));

export interface AdminAnswer {
  readonly status: number;
  readonly document: Readonly<Record<string, unknown>>;
}

/** One call; a problem document is an answer too. Throws RequestError if there is none. */
export async function adminCall(
  settings: Settings,
  io: Io,
  method: 'GET' | 'POST',
  path: string,
): Promise<AdminAnswer> {
  const socketPath = socketOf(settings, io);
  if (!existsSync(socketPath)) {
    throw new RequestError(
      'request.failed',
      `cannot connect to unix:${socketPath}: no such socket ("cephgate serve" makes it)`,
    );
  }
  const place = { socketPath, host: 'localhost', path: `/v1/admin/${path}`, method };
  const { status, text } = await post(place, undefined);
  try {
    return { status, document: JSON.parse(text) as AdminAnswer['document'] };
  } catch {
    throw new RequestError('request.failed', `cannot ask the sidecar: ${status}: it is no JSON`);
  }
}

/** The document of a 200. Throws RequestError with a problem's code and words. */
export async function adminDocument(
  ...args: Parameters<typeof adminCall>
): Promise<AdminAnswer['document']> {
  const { status, document } = await adminCall(...args);
  if (status === 200) return document;
  const { code, detail } = document;
  throw new RequestError('request.failed', `cannot ask the sidecar: ${status}: ${code}: ${detail}`);
}

function socketOf(settings: Settings, io: Io): string {
  const cwd = io.cwd ?? process.cwd();
  const data = settings.text('data') ?? 'data';
  const listens = settings.list('admin-listen') ?? [];
  const unix = listens.find((each) => each.startsWith('unix:'));
  if (listens.length > 0 && unix === undefined) throw settings.wrong('admin-listen', 'unix:PATH');
  return resolve(cwd, unix?.slice(5) ?? join(data, 'admin.sock'));
}
