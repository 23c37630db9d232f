/**
 * `cephgate serve`: puts engine, secrets, state and listeners together, and takes them down again.
 */

import { resolve } from 'node:path';
import process from 'node:process';
import { LAYOUT_SESSIONS_MAX } from '../../assembly/abi.ts';
import { readEntityCaps } from '../auth/entitycaps.ts';
import type { OpenIssuer } from '../auth/openissuer.ts';
import type { Revocations } from '../auth/revocations.ts';
import type { CephxServiceHandler } from '../auth/servicehandler.ts';
import type { StoreView } from '../auth/storeview.ts';
import { Engine } from '../engine/engine.ts';
import type { Policy } from '../engine/types.ts';
import { CephgateError, ConfigError } from '../errors.ts';
import { HealthCodes } from '../http/adminhealth.ts';
import { createApp } from '../http/app.ts';
import type { ClusterUsers } from '../http/clusterusers.ts';
import { type AppDeps, BODY_LIMITS, type LogRecord, type SecretRing } from '../http/deps.ts';
import { exists, makePrivateDirectory, writePrivateFile } from '../http/files.ts';
import { openFramesSocket } from '../http/framesocket.ts';
import { type ListenAddress, listen, type OpenListener, parseListen } from '../http/listen.ts';
import { RotatingRing, StaticRing } from '../http/ring.ts';
import { formatSecrets, readSecretsFile } from '../http/secretsfile.ts';
import { State } from '../http/state.ts';
import { loadStateKeys } from '../http/statekey.ts';
import { readTls, TlsSource } from '../http/tls.ts';
import { createLogger } from '../observe/index.ts';
import type { Store } from '../store/store.ts';
import { type ClusterConfig, clusterConfig, openClusterRing } from './cluster.ts';
import { openClusterUsers } from './clusterusers.ts';
import { listenConfig } from './configlisten.ts';
import { type LiveConfig, type LiveParts, readTokens, reload } from './configreload.ts';
import { drain, endingBySignal } from './drain.ts';
import { hardenProcess } from './hardening.ts';
import { EXIT_YES, type Io } from './io.ts';
import { likeCeph } from './likeceph.ts';
import { type ObserveConfig, observeConfig, openObserver } from './observing.ts';
import { formatOptions, parseFlags, refuseWords, type Settings } from './options.ts';
import { randomSource } from './randomness.ts';
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
import { openIssuing } from './serveissuer.ts';
import { policyOf, refuseTogether, SERVE_OPTIONS, settingsOf } from './settings.ts';
import { SystemdNotifier } from './systemdnotify.ts';

export const SERVE_HELP: string = `usage: cephgate serve [FLAGS]

Runs the sidecar: HTTP on a unix socket and on loopback TCP.

${formatOptions(SERVE_OPTIONS)}`;

/** Runs until SIGTERM or SIGINT. */
export async function serveCommand(argv: readonly string[], io: Io): Promise<number> {
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
  io.out(`listening on ${sidecar.names.join(', ')}\n`);
  if (sidecar.framesName !== undefined) io.out(`listening for frames on ${sidecar.framesName}\n`);
  if (sidecar.admin !== undefined) io.out(administered(sidecar.admin));
  if (config.secretsFile === undefined) io.out(hints(config.addresses));
  await sidecar.notifier.ready();
  await ending.asked;
  process.off('SIGHUP', onHangup);
  await sidecar.close(ending.hurried);
  ending.release();
  return EXIT_YES;
}

interface ServeConfig extends LiveConfig {
  readonly data: string;
  readonly addresses: readonly ListenAddress[];
  readonly framesPath: string | undefined;
  readonly admin: AdminConfig | undefined;
  readonly allowHosts: readonly string[];
  readonly cluster: ClusterConfig | undefined;
  readonly graceNs: bigint;
  readonly sign: boolean;
  readonly allowUnchallengedVerdict: boolean;
  readonly observe: ObserveConfig;
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
    observe: observeConfig(settings),
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
  const log = createLogger({ write: (line) => io.err(line), clock });
  hardenProcess(log);
  makePrivateDirectory(config.data);
  const engine = await Engine.create({ ticketCache: true });
  const store = config.admin && (await openServedStore(config.admin, log));
  let ring: OpenRing | undefined;
  try {
    ring = await openRing(config, { engine, store, io, log });
    return await startWith(config, { io, engine, log, store, ...ring });
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

type Parts = OpenRing & Opened;

async function startWith(config: ServeConfig, parts: Parts): Promise<Sidecar> {
  const { policy, sign, allowUnchallengedVerdict, listening } = config;
  const { io, engine, log, store, ring, issuer, health, close: closeRing } = parts;
  const { view, revocations, users } = parts;
  const state = new State({
    keys: loadStateKeys(`${config.data}/state.key`, clock(), random),
    random,
    sessionsMax: engine.layout.getUint32(LAYOUT_SESSIONS_MAX, true),
    rateLimit: listening.rateLimit,
  });
  const isPlaintext = config.admin !== undefined && liesPlain(config.admin);
  const seen = { view, ...(isPlaintext && { storePlaintext: true }) };
  const shared = { engine, ring, state, policy, clock, random, log, ...seen };
  const observe = openObserver(config.observe, config.data, shared);
  const { openMetrics } = config.observe;
  const rules = { sign, allowUnchallengedVerdict, openMetrics, body: BODY_LIMITS };
  const codes = health && new HealthCodes(health, clock);
  const watched = codes && { health: () => codes.codes() };
  const made = config.admin && store && (await bootstrapStore(config.admin, store, shared));
  const entities = entitiesOf(config, parts, made);
  const sides = { observe, issuer, entities, users, ...watched };
  const deps: AppDeps & LiveParts['deps'] = { ...shared, ...rules, ...sides };
  const app = createApp(deps);
  const tokens = config.tokenFile === undefined ? undefined : readTokens(config.tokenFile);
  const tls = listening.tls && new TlsSource(readTls(listening.tls));
  const { allowHosts } = config;
  const fetch = app.fetch.bind(app);
  const options = { tokens, allowHosts, tls, insecure: listening.insecure };
  const open = await listen(fetch, inOrder(config.addresses), options);
  const frames = await openFrames(deps, config.framesPath, open);
  const all = frames === undefined ? open : [...open, frames];
  const entrance = { tls, allowHosts, insecure: listening.insecure };
  const administered = { deps, health, revocations, ...entrance };
  const admin = made && (await openAdmin(made, administered, all));
  const notifier = new SystemdNotifier(io.env, log);
  const timer = setInterval(() => ring.advance(clock()), ADVANCE_MS);
  return {
    names: open.map((each) => each.name),
    framesName: frames?.name,
    admin,
    notifier,
    async reload(read) {
      await notifier.reloading();
      reload(config, read, { tokens, tls, state, deps, log, ...liveSecrets(ring) });
      await notifier.ready();
    },
    async close(hurried) {
      state.draining = true;
      log({ event: 'drain' });
      void notifier.stopping();
      await drain([...all, ...(admin ? [admin] : [])], listening, hurried);
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
async function openFrames(
  deps: AppDeps,
  path: string | undefined,
  others: readonly OpenListener[],
): Promise<OpenListener | undefined> {
  if (path === undefined) return undefined;
  try {
    return await openFramesSocket(deps, path);
  } catch (error) {
    await Promise.all(others.map((each) => each.close(0)));
    throw error;
  }
}

/** As openFrames. */
async function openAdmin(
  store: BootstrappedStore,
  administered: Administered,
  others: readonly OpenListener[],
): Promise<Administration> {
  try {
    return await openAdministration(store, administered);
  } catch (error) {
    await Promise.all(others.map((each) => each.close(0)));
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

/** TCP first: the first line on stdout names it first. */
function inOrder(addresses: readonly ListenAddress[]): ListenAddress[] {
  return [...addresses].sort((a, b) => Number(a.kind === 'unix') - Number(b.kind === 'unix'));
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

function clock(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

const random = randomSource();

/** A day past its expiration. */
const SECRET_GRACE_NS = 86_400_000_000_000n;
/** Ceph: auth_service_ticket_ttl. */
const TICKET_TTL_NS = 3_600_000_000_000n;
/** How often the secrets are looked after when nobody calls. */
const ADVANCE_MS = 10_000;
