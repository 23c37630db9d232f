/**
 * A whole authentication system for the live part of the demo: a store with its first entities,
 * the issuing side, and the sidecar on a unix socket (for a node) and on loopback (for a client).
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callerOf } from '../auth/callers.ts';
import { type CommandReply, runCommand } from '../auth/commands.ts';
import { readEntityCaps } from '../auth/entitycaps.ts';
import { openIssuer } from '../auth/openissuer.ts';
import { CephxClientHandler } from '../cephx/client.ts';
import type { CryptoKey } from '../cephx/cryptokey.ts';
import { CephxHttpClient } from '../cephx/httpclient.ts';
import { parseEntityName } from '../cephx/protocol.ts';
import { Engine } from '../engine/engine.ts';
import { createApp } from '../http/app.ts';
import { BODY_LIMITS } from '../http/deps.ts';
import { readPrivateFile } from '../http/files.ts';
import { listen } from '../http/listen.ts';
import { State } from '../http/state.ts';
import { KeyRing } from '../keyring/keyring.ts';
import { engineSealer } from '../sealer.ts';
import { MemoryStore } from '../store/memory.ts';
import { ADMIN_KEYRING, bootstrap } from './bootstrap.ts';
import { post } from './request.ts';

export type Document = Readonly<Record<string, unknown>>;

export interface DemoPlace {
  /** What the first start has made. */
  readonly made: readonly string[];
  /** A command in the name of client.admin, with the key of its keyring. */
  admin(prefix: string, args: Readonly<Record<string, string | string[]>>): Promise<CommandReply>;
  /** Denies an entity, from now on. */
  deny(entity: string): Promise<void>;
  /** A node's call, over the unix socket. */
  ask(path: string, body: unknown): Promise<Document>;
  /** A client, over TCP, with a key that it was given. */
  client(name: string, key: CryptoKey): CephxHttpClient;
  close(): Promise<void>;
}

export async function openDemoPlace(clientEngine: Engine): Promise<DemoPlace> {
  const folder = mkdtempSync(join(tmpdir(), 'cephgate-demo-'));
  const socketPath = join(folder, 'demo.sock');
  const [engine, store] = [await Engine.create({ preset: 'small' }), new MemoryStore()];
  const release = 20;
  const { monKeyring } = await bootstrap({ store, data: folder, release, nowNs: clock(), random });
  const opened = await openIssuer({
    ...{ store, engine, random, clock, log: () => undefined },
    sealer: engineSealer(engine),
    exchangeKeys: { current: random(32), previous: undefined },
  });
  const { handler, ring } = opened;
  const app = createApp({
    ...{ engine, ring, issuer: handler, clock, random, policy: {}, body: BODY_LIMITS },
    state: new State({ keys: { current: random(32), previous: undefined }, random }),
    entities: (names) => readEntityCaps(store, monKeyring, names),
    log: () => undefined,
    sign: false,
    allowUnchallengedVerdict: false,
  });
  const addresses = [
    { kind: 'unix', path: socketPath } as const,
    { kind: 'tcp', host: '127.0.0.1', port: 0 } as const,
  ];
  const open = await listen(app.fetch.bind(app), addresses, { allowHosts: [] });
  const url = open.find(({ name }) => name.startsWith('http:'))!.name;
  const deps = {
    ...({ store, release, guard: true, monKeyring, clock, random } as const),
    engine: async () => engine,
  };
  return {
    made: ['mon.keyring', ADMIN_KEYRING].filter((name) => readPrivateFile(join(folder, name))),
    async admin(prefix, args) {
      const caller = await callerOf(deps, ADMIN, adminKey(join(folder, ADMIN_KEYRING)), undefined);
      if (caller === undefined) return { retcode: -13, status: 'cannot log in', output: '' };
      return await runCommand(deps, { prefix, args, caller });
    },
    async deny(entity) {
      const id = { kind: 'deny', target: { kind: 'entity', entity } } as const;
      const record = { timeNs: 0n, createdNs: clock(), comment: 'demo' };
      await handler.issuer.revocations.add(id, record);
    },
    async ask(path, body) {
      const headers = { 'content-type': 'application/json' };
      const { text } = await post({ socketPath, path, headers }, JSON.stringify(body));
      return JSON.parse(text) as Document;
    },
    client(name, key) {
      const sealer = engineSealer(clientEngine);
      const entity = { name: parseEntityName(name)!, key };
      return new CephxHttpClient(new CephxClientHandler({ ...entity, sealer, random, clock }), {
        url,
      });
    },
    async close() {
      await Promise.all(open.map((each) => each.close(1_000)));
      await opened.close();
      await store.close();
      engine.wipe();
      rmSync(folder, { recursive: true });
    },
  };
}

function adminKey(path: string): CryptoKey {
  return KeyRing.parse(new TextEncoder().encode(readPrivateFile(path))).get(ADMIN)!.key;
}

function clock(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

function random(n: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(n));
}

const ADMIN = parseEntityName('client.admin')!;
