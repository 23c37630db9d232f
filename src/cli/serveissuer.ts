/** The issuing side of `cephgate serve`, on the store that was asked for. */

import { createHmac, getRandomValues } from 'node:crypto';
import type { Cipher } from '../auth/cipherpolicy.ts';
import { DEFAULT_TTLS, ROTATING_SERVICES, type RotatingService } from '../auth/keyserver.ts';
import { type IssuerOptions, type OpenIssuer, openIssuer } from '../auth/openissuer.ts';
import type { Revocations } from '../auth/revocations.ts';
import type { CephxServiceHandler } from '../auth/servicehandler.ts';
import type { StoreView } from '../auth/storeview.ts';
import type { Engine } from '../engine/engine.ts';
import type { Policy } from '../engine/types.ts';
import type { LogRecord, SecretRing } from '../http/deps.ts';
import type { StateKeys } from '../http/tokens.ts';
import { engineSealer } from '../sealer.ts';
import type { Store } from '../store/store.ts';
import type { Option, Settings } from './options.ts';
import { type AdminConfig, liesPlain } from './serveadmin.ts';
import { staleness } from './storeplace.ts';

export const ISSUER_OPTIONS: readonly Option[] = [
  {
    name: 'auth-mon-ticket-ttl',
    value: 'SECONDS',
    key: 'auth_mon_ticket_ttl',
    help: 'life of a login, and of the secrets under it',
    default: '259200',
  },
  {
    name: 'auth-service-ticket-ttl',
    value: 'SECONDS',
    key: 'auth_service_ticket_ttl',
    help: 'life of a service ticket, and of the secrets under it',
    default: '3600',
  },
  {
    name: 'auto-commit',
    key: 'auto_commit',
    help: 'a login with a pending key makes it the key, as in Ceph; else only "commit" does',
    default: 'false',
  },
  {
    name: 'emergency-ciphers',
    value: 'LIST',
    key: 'mon_auth_emergency_allowed_ciphers',
    help: 'key types that may log in besides auth_allowed_ciphers: the way back in',
  },
];

/** What ISSUER_OPTIONS say. Throws ConfigError. */
function issuerSettings(
  settings: Settings,
): Pick<IssuerOptions, 'ttls' | 'autoCommit' | 'ciphers'> {
  const ttlNs = (name: string): bigint | undefined => {
    const ns = settings.seconds(name);
    if (ns === 0n) throw settings.wrong(name, 'at least a second');
    return ns;
  };
  const { authMonTicketTtlNs, authServiceTicketTtlNs } = DEFAULT_TTLS;
  const names = settings.text('emergency-ciphers')?.split(/[\s,]+/) ?? [];
  const emergencyAllowed = names.map((name): Cipher => {
    if (name === 'aes' || name === 'aes256k') return name;
    throw settings.wrong('emergency-ciphers', 'aes and aes256k by commas');
  });
  return {
    ttls: {
      authMonTicketTtlNs: ttlNs('auth-mon-ticket-ttl') ?? authMonTicketTtlNs,
      authServiceTicketTtlNs: ttlNs('auth-service-ticket-ttl') ?? authServiceTicketTtlNs,
    },
    autoCommit: settings.flag('auto-commit'),
    ciphers: { emergencyAllowed },
  };
}

export interface Issuing {
  readonly ring: SecretRing;
  readonly issuer: CephxServiceHandler;
  readonly health: OpenIssuer['health'];
  readonly view: StoreView;
  readonly revocations: Revocations;
  close(): Promise<void>;
}

/**
 * @param keys of state.key: instances that share it go on with logins that others began
 * Throws StoreError.
 */
export async function openIssuing(
  config: AdminConfig,
  policy: Partial<Policy>,
  parts: {
    readonly engine: Engine;
    readonly store: Store;
    readonly log: (record: LogRecord) => void;
    readonly keys: StateKeys;
  },
): Promise<Issuing> {
  const { engine, store, log, keys } = parts;
  const { current, previous } = keys;
  const shared = config.store.startsWith('etcd:');
  if (liesPlain(config)) {
    const message = 'keys lie in etcd as they are: whoever reads it or its backups has them all';
    log({ level: 'warning', event: 'store', message });
  }
  const opened = await openIssuer({
    ...{ store, engine, policy, ...issuerSettings(config.settings) },
    ...staleness(config.settings),
    sealer: engineSealer(engine),
    random: (n) => getRandomValues(new Uint8Array(n)),
    clock: () => BigInt(Date.now()) * 1_000_000n,
    exchangeKeys: {
      current: exchangeKey(current),
      previous: previous && exchangeKey(previous),
    },
    shared,
    log: (record) => log(record as LogRecord),
  });
  await settled(opened.handler);
  const { ring, handler: issuer, health, view } = opened;
  const { revocations } = issuer.issuer;
  return { ring, issuer, health, view, revocations, close: () => opened.close() };
}

/**
 * Waits until tickets can be sealed: on a new store that several share, nothing is before all have
 * the first secrets. Not for ever: verifying needs none of it.
 */
async function settled({ issuer }: CephxServiceHandler): Promise<void> {
  const { keyServer, clock } = issuer;
  const end = performance.now() + SETTLE_MS;
  const seals = (service: RotatingService): boolean =>
    keyServer.sealing(service, clock()) !== undefined;
  while (!ROTATING_SERVICES.every(seals) && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
  }
}

/** Of a state key, but of no use as one. */
function exchangeKey(stateKey: Uint8Array): Uint8Array {
  return Uint8Array.from(createHmac('sha256', stateKey).update('cephx exchange').digest());
}

const SETTLE_MS = 15_000;
const SETTLE_POLL_MS = 50;
