/**
 * `cephgate serve`: puts engine, secrets, state and listeners together, and takes them down again.
 */

import { resolve } from 'node:path';
import process from 'node:process';
import { readEntityCaps } from '../auth/entitycaps.ts';
import type { OpenIssuer } from '../auth/openissuer.ts';
import type { Revocations } from '../auth/revocations.ts';
import type { CephxServiceHandler } from '../auth/servicehandler.ts';
import type { StoreView } from '../auth/storeview.ts';
import { Engine } from '../engine/engine.ts';
import type { Policy } from '../engine/types.ts';
import { CephgateError, ConfigError } from '../errors.ts';
import { HealthCodes } from '../http/adminhealth.ts';
import type { ClusterUsers } from '../http/clusterusers.ts';
import type { AppDeps, LogRecord, SecretRing } from '../http/deps.ts';
import { exists, makePrivateDirectory, writePrivateFile } from '../http/files.ts';
import { type ListenAddress, parseListen } from '../http/listen.ts';
import { RotatingRing, StaticRing } from '../http/ring.ts';
import { formatSecrets, readSecretsFile } from '../http/secretsfile.ts';
import { loadStateKeys } from '../http/statekey.ts';
import type { StateKeys } from '../http/tokens.ts';
import { createLogger } from '../observe/index.ts';
import type { Store } from '../store/store.ts';
import { type ClusterConfig, clusterConfig, openClusterRing } from './cluster.ts';
import { openClusterUsers } from './clusterusers.ts';
import { listenConfig } from './configlisten.ts';
import { type LiveConfig, type LiveParts, reload } from './configreload.ts';
import { drain, endingBySignal } from './drain.ts';
import { mirrorEngine } from './enginemirror.ts';
import { hardenProcess } from './hardening.ts';
import { EXIT_YES, type Io } from './io.ts';
import { likeCeph } from './likeceph.ts';
import { logWriter } from './logwriter.ts';
import { observeConfig } from './observing.ts';
import { formatOptions, parseFlags, refuseWords, type Settings } from './options.ts';
import {
  type AdminConfig,
  type Administered,
  type Administration,
  adminConfig,
  type BootstrappedStore,
  bootstrapStore,
  followRevocations,
  liesPlain,
  openAdministration,
  openServedStore,
} from './serveadmin.ts';
import {
  type AppConfig,
  clock,
  closeAll,
  type MadeApp,
  makeApp,
  random,
  readLive,
  type Serving,
  serveApp,
} from './serveapp.ts';
import { openIssuing } from './serveissuer.ts';
import { policyOf, refuseTogether, SERVE_OPTIONS, settingsOf } from './settings.ts';
import { SystemdNotifier } from './systemdnotify.ts';
import { isWorker, runWorker } from './worker.ts';
import { requireNode, Workers, workersConfig } from './workers.ts';

export const SERVE_HELP: string = `usage: cephgate serve [FLAGS]

Runs the sidecar: HTTP on a unix socket and on loopback TCP.

${formatOptions(SERVE_OPTIONS)}`;

/** Runs until SIGTERM or SIGINT. */
export async function serveCommand(argv: readonly string[], io: Io): Promise<number> {
  if (isWorker) return await workerCommand(io);
  const flags = parseFlags(argv, SERVE_OPTIONS);
  if (flags.help) {
    io.out(SERVE_HELP);
    return EXIT_YES;
  }
  refuseWords(flags);
  const read = (): ServeConfig => serveConfig(settingsOf(SERVE_OPTIONS, flags, io.env), io);
  const config = read();
  const ending = endingBySignal();
  const sidecar = await start(config, io);
  const onHangup = (): void => void sidecar.reload(read);
  process.on('SIGHUP', onHangup);
  // Whoever reads this may send signals at once.
  io.out(announced(config, sidecar));
  await sidecar.notifier.ready();
  await ending.asked;
  process.off('SIGHUP', onHangup);
  await sidecar.close(ending.hurried);
  ending.release();
  return EXIT_YES;
}

/** One of the processes of `--workers`. */
async function workerCommand(io: Io): Promise<number> {
  const { write, dropped } = logWriter(io, clock);
  const log = createLogger({ write, clock, fields: { worker: process.pid } });
  hardenProcess(log);
  await runWorker({ log, logDropped: dropped });
  return EXIT_YES;
}

/** The engine is new: what happens to it from now on happens in the workers too. */
function workersFor(config: ServeConfig, engine: Engine): MakeWorkers {
  requireNode();
  let workers: Workers | undefined;
  const mirror = mirrorEngine(engine, (change) => workers?.changed(change));
  const { framesPath, workers: count } = config;
  const paths = config.addresses.flatMap((each) => (each.kind === 'unix' ? [each.path] : []));
  if (framesPath !== undefined) paths.push(framesPath);
  return (app, keys) => {
    // The listeners are in the workers, and they do take another certificate.
    app.tls?.changed(() => undefined);
    const { settings: _, ...plain } = config;
    const started = { ...plain, admin: undefined, cluster: undefined };
    workers = new Workers({ count, paths, app, config: started, keys, mirror });
    return workers;
  };
}

interface ServeConfig extends AppConfig, LiveConfig {
  readonly admin: AdminConfig | undefined;
  readonly cluster: ClusterConfig | undefined;
  readonly graceNs: bigint;
  /** 0: this process answers itself. */
  readonly workers: number;
}

function serveConfig(settings: Settings, io: Io): ServeConfig {
  const data = resolve(settings.text('data') ?? 'data');
  const defaults = [`unix:${data}/cephgate.sock`, 'tcp:127.0.0.1:6480'];
  const addresses = (settings.list('listen') ?? defaults).map((text) => {
    const address = parseListen(text);
    if (address === undefined) throw settings.wrong('listen', 'unix:PATH or tcp:HOST:PORT');
    return address.kind === 'unix' ? { ...address, path: resolve(address.path) } : address;
  });
  const framesText = settings.text('frames-listen');
  const frames = framesText === undefined ? undefined : parseListen(framesText);
  // On TCP anybody on the machine would be as strong as a service secret.
  if (framesText !== undefined && frames?.kind !== 'unix') {
    throw settings.wrong('frames-listen', 'unix:PATH');
  }
  refuseTogether(settings, ['secrets', 'name']);
  const cluster = clusterConfig(settings);
  const sessionLifetime = settings.oneOf('session-lifetime', ['ticket', 'connection']);
  const sessionMaxAgeNs = settings.seconds('session-max-age');
  return {
    settings,
    data,
    addresses,
    listening: listenConfig(settings),
    framesPath: frames?.kind === 'unix' ? resolve(frames.path) : undefined,
    admin: adminConfig(settings, data, likeCeph(io.env)),
    allowHosts: settings.list('allow-host') ?? [],
    tokenFile: settings.text('token-file'),
    secretsFile: settings.text('secrets'),
    cluster,
    graceNs: settings.seconds('secret-grace') ?? SECRET_GRACE_NS,
    policy: {
      ...policyOf(settings),
      ...(cluster !== undefined && asDaemon(settings)),
      ...(sessionLifetime && { sessionLifetime }),
      ...(sessionMaxAgeNs !== undefined && { sessionMaxAgeNs }),
      msgr1Aes256k: settings.flag('sign-msgr1-aes256k'),
    },
    sign: settings.flag('sign'),
    allowUnchallengedVerdict: settings.flag('allow-unchallenged-verdict'),
    ticketCache: settings.oneOf('ticket-cache', ['on', 'off']) !== 'off',
    observe: observeConfig(settings),
    workers: workersConfig(settings),
  };
}

/** Beside a real cluster tickets and connections live as they do for its daemons. */
function asDaemon(settings: Settings): Partial<Policy> {
  return {
    ...(settings.origin('expiry') === undefined && { expiry: 'ring' }),
    ...(settings.origin('session-lifetime') === undefined && { sessionLifetime: 'connection' }),
  };
}

interface Sidecar {
  readonly names: readonly string[];
  readonly framesName: string | undefined;
  readonly admin: Administration | undefined;
  readonly notifier: SystemdNotifier;
  reload(read: () => LiveConfig): Promise<void>;
  /** Drains; `hurried`: the time for that is over. */
  close(hurried: Promise<void>): Promise<void>;
}

async function start(config: ServeConfig, io: Io): Promise<Sidecar> {
  const { write, dropped: logDropped } = logWriter(io, clock);
  const log = createLogger({ write, clock });
  hardenProcess(log);
  makePrivateDirectory(config.data);
  const engine = await Engine.create({ ticketCache: config.ticketCache });
  const workers = config.workers === 0 ? undefined : workersFor(config, engine);
  const store = config.admin && (await openServedStore(config.admin, log));
  let ring: OpenRing | undefined;
  try {
    ring = await openRing(config, { engine, store, io, log });
    return await startWith(config, { io, engine, log, logDropped, store, workers, ...ring });
  } catch (error) {
    await ring?.close();
    await store?.close();
    throw error;
  }
}

interface Opened {
  readonly io: Io;
  readonly engine: Engine;
  readonly log: (record: LogRecord) => void;
  readonly store: Store | undefined;
}

/** @param app of this process, which the workers ask what only it can tell */
type MakeWorkers = (app: MadeApp, keys: StateKeys) => Workers;
type Parts = OpenRing &
  Opened &
  Pick<AppDeps, 'logDropped'> & { readonly workers: MakeWorkers | undefined };

async function startWith(config: ServeConfig, parts: Parts): Promise<Sidecar> {
  const { listening, allowHosts } = config;
  const { io, engine, log, store, ring, issuer, health, close: closeRing } = parts;
  const { view, revocations, users, logDropped } = parts;
  const keys = loadStateKeys(`${config.data}/state.key`, clock(), random);
  const isPlaintext = config.admin !== undefined && liesPlain(config.admin);
  const codes = health && new HealthCodes(health, clock);
  const watched = codes && { health: () => codes.codes() };
  const made = config.admin && store && (await bootstrapStore(config.admin, store, TIME));
  const entities = entitiesOf(config, parts, made);
  const seen = { view, ...(isPlaintext && { storePlaintext: true }) };
  const live = readLive(config);
  const app = makeApp(config, live, keys, {
    engine,
    ring,
    log,
    logDropped,
    issuer,
    entities,
    users,
    ...seen,
    ...watched,
  });
  const { deps, state, observe, tls, tokens } = app;
  const workers = parts.workers?.(app, keys);
  const serving = await (workers?.open() ?? serveApp(config, app));
  const entrance = { tls, allowHosts, insecure: listening.insecure };
  const administered = { deps, issuer, health, revocations, ...entrance };
  const admin = made && (await openAdmin(made, administered, serving.listeners));
  const notifier = new SystemdNotifier(io.env, log);
  const timer = setInterval(() => ring.advance(clock()), ADVANCE_MS);
  return {
    ...serving,
    admin,
    notifier,
    async reload(read) {
      await notifier.reloading();
      const parts = { tokens, tls, state, deps, log, ...liveSecrets(ring) };
      if (reload(config, read, parts)) workers?.reload();
      await notifier.ready();
    },
    async close(hurried) {
      state.draining = true;
      log({ event: 'drain' });
      void notifier.stopping();
      workers?.drain(hurried);
      await drain([...serving.listeners, ...(admin ? [admin] : [])], listening, hurried);
      clearInterval(timer);
      await closeRing();
      await store?.close();
      await observe.close();
      await notifier.close();
      engine.wipe();
    },
  };
}

/** All listeners or none: if this one cannot be opened, the others are closed again. */
async function openAdmin(
  store: BootstrappedStore,
  administered: Administered,
  others: Serving['listeners'],
): Promise<Administration> {
  try {
    return await openAdministration(store, administered);
  } catch (error) {
    await closeAll(others);
    throw error;
  }
}

/** Beside a real cluster they are its users, if those are looked at, and never our own. */
function entitiesOf(
  { cluster }: ServeConfig,
  { store, users }: Parts,
  made: BootstrappedStore | undefined,
): AppDeps['entities'] {
  if (cluster !== undefined) return users && ((names) => users.read(names));
  return store && ((names) => readEntityCaps(store, made?.monKeyring, names));
}

interface OpenRing {
  readonly ring: SecretRing;
  readonly users?: ClusterUsers | undefined;
  readonly issuer?: CephxServiceHandler;
  readonly health?: OpenIssuer['health'];
  readonly view?: StoreView;
  readonly revocations?: Revocations;
  close(): Promise<void>;
}

async function openRing(config: ServeConfig, opened: Opened): Promise<OpenRing> {
  const { engine, io, log, store } = opened;
  const nowNs = clock();
  const close = async (): Promise<void> => undefined;
  if (config.cluster !== undefined) {
    const ring = await openClusterRing(config.cluster, config.graceNs, { engine, io, log });
    return await withRevocations(await withUsers(ring, config.cluster, opened), config, opened);
  }
  if (config.secretsFile !== undefined) {
    const secrets = readSecretsFile(config.secretsFile);
    const generalSecret = config.policy.generalSecret === true;
    const ring = new StaticRing(engine, secrets, nowNs, generalSecret);
    return await withRevocations({ ring, close }, config, opened);
  }
  if (store !== undefined && config.admin !== undefined) {
    const keys = loadStateKeys(`${config.data}/state.key`, nowNs, random);
    return await openIssuing(config.admin, config.policy, { engine, store, log, keys });
  }
  const path = `${config.data}/secrets.json`;
  const ring = new RotatingRing(engine, nowNs, {
    ttlNs: TICKET_TTL_NS,
    random,
    load: () => (exists(path) ? readSecretsFile(path) : []),
    save: (secrets) => writePrivateFile(path, formatSecrets(secrets)),
    failed: (error) => log({ level: 'error', event: 'rotate', message: messageOf(error) }),
  });
  return { ring, close };
}

/** The ring of a cluster, and the view of its users if that was asked for. */
async function withUsers(
  ring: OpenRing,
  cluster: ClusterConfig,
  opened: Opened,
): Promise<OpenRing> {
  try {
    const view = await openClusterUsers(cluster, { ...opened, clock });
    if (view === undefined) return ring;
    const close = async (): Promise<void> => {
      await view.close();
      await ring.close();
    };
    return { ...ring, users: view.users, close };
  } catch (error) {
    await ring.close();
    throw error;
  }
}

/** The secrets are given to us, but who is revoked is in a store of ours, if there is one. */
async function withRevocations(
  opened: OpenRing,
  config: ServeConfig,
  parts: Opened,
): Promise<OpenRing> {
  const { store } = parts;
  if (store === undefined || config.admin === undefined) return opened;
  try {
    const own = await followRevocations(config.admin, store, parts);
    const { revocations, view } = own;
    return {
      ...{ ...opened, revocations, view },
      async close() {
        await own.close();
        await opened.close();
      },
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Secrets of our own are not read again: nobody else writes them. */
function liveSecrets(ring: SecretRing): Pick<LiveParts, 'replaceSecrets' | 'facts'> {
  return {
    replaceSecrets:
      ring instanceof StaticRing ? (secrets) => ring.replace(secrets, clock()) : undefined,
    facts: () => ({ secrets: ring.size, snapshot: ring.snapshot.toString() }),
  };
}

/** In one piece: who has read the first line has the others too. */
function announced(config: ServeConfig, { names, framesName, admin }: Sidecar): string {
  const frames = framesName === undefined ? '' : `listening for frames on ${framesName}\n`;
  const more = admin === undefined ? '' : administered(admin);
  const examples = config.secretsFile === undefined ? hints(config.addresses) : '';
  return `listening on ${names.join(', ')}\n${frames}${more}${examples}`;
}

function administered({ names, adminKeyring }: Administration): string {
  const made =
    adminKeyring === undefined ? '' : `made client.admin: its key is in ${adminKeyring}\n`;
  return `listening for administration on ${names.join(', ')}\n${made}`;
}

/** Two calls to paste: one that is allowed and one that is not, with the reason. */
function hints(addresses: readonly ListenAddress[]): string {
  const unix = addresses.find((address) => address.kind === 'unix');
  if (unix === undefined) return '';
  const curl = (url: string, body: unknown): string =>
    `curl -s -w '\\n' --unix-socket ${quote(unix.path)} -H 'content-type: application/json' ` +
    `-d ${quote(JSON.stringify(body))} ${quote(url)}\n`;
  const caps = 'allow rw pool=liverpool';
  const op = { object: 'o1', write: true };
  const yes = { service: 'osd', caps, op: { pool: 'liverpool', ...op } };
  const no = { service: 'osd', caps, op: { pool: 'everton', ...op } };
  return (
    `# may "${caps}" write there? yes:\n${curl('http://localhost/v1/check', yes)}` +
    `# and here? no, because:\n${curl('http://localhost/v1/check?explain=true', no)}`
  );
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function messageOf(error: unknown): string {
  // Only our own errors are known to hold no key bytes.
  return error instanceof CephgateError || error instanceof ConfigError ? error.message : 'failed';
}

const TIME = { clock, random };
/** A day past its expiration. */
const SECRET_GRACE_NS = 86_400_000_000_000n;
/** Ceph: auth_service_ticket_ttl. */
const TICKET_TTL_NS = 3_600_000_000_000n;
/** How often the secrets are looked after when nobody calls. */
const ADVANCE_MS = 10_000;
