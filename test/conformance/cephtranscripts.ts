/**
 * Recorded runs of `ceph` on a cluster (auth-golden.json): each is run through the command line of
 * the package, on a store that holds the map from before, and the map is compared after.
 */

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuthDb } from '../../src/auth/entities.ts';
import type { Io } from '../../src/cli/io.ts';
import { KeyRing } from '../../src/keyring/keyring.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import { type Outcome, replay, type TranscriptCase } from '../transcript.ts';

export interface CephCase extends TranscriptCase {
  /** What ceph.conf holds beside the monitor's address. */
  readonly conf?: string;
  /** The map, as `auth export` prints it. */
  readonly db_before: string;
  readonly db_after: string;
  readonly db_changed: boolean;
  /** Of stderr only the last line counts: the lines before it are a library's log. */
  readonly stderr_loose?: boolean;
}

type Command = (argv: readonly string[], io: Io) => Promise<number>;

/** Runs a case; its map is among the files afterwards, under MAP. */
export async function replayCeph(
  each: CephCase,
  env: Readonly<Record<string, string>>,
  cephgate: Command,
): Promise<{ readonly expected: TranscriptCase; readonly outcome: Outcome }> {
  const folder = mkdtempSync(join(tmpdir(), 'cephgate-map-'));
  const path = join(folder, 'cephgate.db');
  try {
    chmodSync(folder, 0o700);
    writeFileSync(join(folder, 'mon.keyring'), MON_KEYRING, { mode: 0o600 });
    await load(path, each.db_before);
    const given = { ...each, files_before: { ...each.files_before, ...impliedFiles(each) } };
    const around = { ...env, CEPHGATE_STORE: `sqlite:${path}` };
    const outcome = await replay(given, around, (argv, io) => cephgate(['ceph', ...argv], io));
    return comparable(each, outcome, await dump(path));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Without the files that are always there, with the map as one more. */
function comparable(
  each: CephCase,
  outcome: Outcome,
  map: string,
): { readonly expected: TranscriptCase; readonly outcome: Outcome } {
  const files: Record<string, Uint8Array> = { [MAP]: new TextEncoder().encode(map) };
  const modes: Record<string, string> = { [MAP]: '' };
  for (const [name, bytes] of Object.entries(outcome.files)) {
    if (IMPLIED.includes(name)) continue;
    files[name] = bytes;
    modes[name] = outcome.modes[name]!;
  }
  const shown = each.stderr_loose === true ? lastLine : String;
  return {
    expected: {
      ...each,
      stderr: shown(each.stderr),
      files_after: { ...each.files_after, [MAP]: each.db_after },
      modes_after: { ...each.modes_after, [MAP]: '' },
    },
    outcome: { ...outcome, stderr: shown(outcome.stderr), files, modes },
  };
}

async function load(path: string, text: string): Promise<void> {
  const store = await openSqliteStore(path);
  try {
    const keyring = KeyRing.parse(new TextEncoder().encode(text));
    await new AuthDb(store, undefined).import(keyring.entities());
  } finally {
    await store.close();
  }
}

async function dump(path: string): Promise<string> {
  const store = await openSqliteStore(path);
  try {
    const keyring = new KeyRing();
    const held = await new AuthDb(store, undefined).list();
    for (const { name, entity } of held) keyring.add(name, entity);
    return keyring.format();
  } finally {
    await store.close();
  }
}

function impliedFiles(each: CephCase): Record<string, string> {
  const conf = each.conf ?? 'keyring = admin.keyring\n';
  return {
    'ceph.conf': `[global]\nmon_host = 127.0.0.1\n${conf}`,
    'admin.keyring': ADMIN_KEYRING,
  };
}

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}

/** The name under which the map is compared. */
export const MAP = 'the map';
const IMPLIED = ['ceph.conf', 'admin.keyring'];
/** The keys of the lab, which are in no use. */
const MON_KEYRING =
  '[mon.]\n\tkey = AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==\n\tcaps mon = "allow *"\n';
const ADMIN_KEYRING = '[client.admin]\n\tkey = AQBwZWxgAAAAABAAEBESExQVFhcYGRobHB0eHw==\n';
