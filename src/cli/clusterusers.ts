/** `--users-name`: the view of a real cluster's users, off unless it is asked for. */

import { readDenied } from '../auth/entitycaps.ts';
import { equalBytes } from '../cephx/denc.ts';
import { type EntityName, entityTypeName, formatEntityName } from '../cephx/protocol.ts';
import { ConfigError } from '../errors.ts';
import { ClusterUsers } from '../http/clusterusers.ts';
import type { LogRecord } from '../http/deps.ts';
import { findClientKey } from '../keyring/keyringsearch.ts';
import type { MonClient } from '../mon/monclient.ts';
import type { Store } from '../store/store.ts';
import { type ClusterConfig, type ClusterContext, connectAs, unlessAway } from './cluster.ts';

export interface OpenUsers {
  readonly users: ClusterUsers;
  close(): Promise<void>;
}

interface UsersContext extends ClusterContext {
  readonly log: (record: LogRecord) => void;
  readonly clock: () => bigint;
  /** Who is denied is kept here. */
  readonly store: Store | undefined;
}

/**
 * Begins to look at the users. Undefined if nobody asked for it. A cluster that refuses us is
 * MonError; one that does not answer is asked again and again. Throws ConfigError, FileError.
 */
export async function openClusterUsers(
  config: ClusterConfig,
  context: UsersContext,
): Promise<OpenUsers | undefined> {
  const { users: asked } = config;
  if (asked === undefined) return undefined;
  const { monHost } = config;
  refuseDaemonsKey(config, asked, context);
  const client: MonClient = await connectAs(
    asked.name,
    { monHost, keyring: asked.keyring },
    context,
  );
  const { log, clock, store } = context;
  const denied = async (names: readonly string[]) =>
    store === undefined ? NOBODY : readDenied(store, names);
  const users = new ClusterUsers({ ...asked, client, denied, clock, log });
  const close = async (): Promise<void> => {
    await client.stop();
    await users.stop();
  };
  try {
    await users.start().catch(unlessAway);
  } catch (error) {
    await close();
    throw error;
  }
  return { users, close };
}

/** Whoever has the key of a daemon can act as one: this view is for a lesser entity. */
function refuseDaemonsKey(
  { names, monHost, keyring }: ClusterConfig,
  asked: NonNullable<ClusterConfig['users']>,
  { io }: ClusterContext,
): void {
  const keyOf = (name: EntityName, file: string | undefined) => {
    const options = { name, ...(file && { keyring: file }), ...(monHost && { monHost }) };
    return findClientKey(options, { env: io.env, ...(io.cwd && { cwd: io.cwd }) }).key;
  };
  const own = keyOf(asked.name, asked.keyring);
  const daemons = names.map((name) => keyOf(name, keyring));
  const isShared = daemons.some((key) => equalBytes(key.secret, own.secret));
  for (const key of [own, ...daemons]) key.wipe();
  if (entityTypeName(asked.name.type) === 'client' && !isShared) return;
  const name = formatEntityName(asked.name);
  throw new ConfigError('config.value', `"--users-name" ${name} must be a client of its own`);
}

const NOBODY: ReadonlySet<string> = new Set();
