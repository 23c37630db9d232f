/**
 * Settings of `serve` about its TCP listeners and its callers: TLS, certificates of clients, how
 * often a caller may ask, how long it has when we end.
 */

import { resolve } from 'node:path';
import { ConfigError } from '../errors.ts';
import type { RateLimit } from '../http/ratelimit.ts';
import type { TlsFiles } from '../http/tls.ts';
import type { Option, Settings } from './options.ts';

export const LISTEN_OPTIONS: readonly Option[] = [
  {
    name: 'tls-cert',
    value: 'FILE',
    key: 'tls_cert',
    help: 'PEM certificate: TCP listeners speak TLS',
  },
  { name: 'tls-key', value: 'FILE', key: 'tls_key', help: 'its PEM key, mode 0600' },
  {
    name: 'tls-client-ca',
    value: 'FILE',
    key: 'tls_client_ca',
    help: 'PEM CA: callers on TCP prove themselves with a certificate (Node only)',
  },
  {
    name: 'tls-client-rights',
    value: 'FILE',
    key: 'tls_client_rights',
    help: 'lines RIGHT[,RIGHT] NAME (verify, accept): what the names in certificates may',
  },
  {
    name: 'insecure-listen',
    key: 'insecure_listen',
    help: 'serve addresses that are not loopback without TLS or without proof of the caller',
    default: 'false',
  },
  {
    name: 'rate-limit',
    value: 'N',
    key: 'rate_limit',
    help: 'requests a second of one caller; 0: no limit',
    default: '0',
  },
  {
    name: 'rate-burst',
    value: 'N',
    key: 'rate_burst',
    help: 'requests of one caller at once; 0: as many as in two seconds',
    default: '0',
  },
  {
    name: 'drain-delay',
    value: 'SECONDS',
    key: 'drain_delay',
    help: 'after SIGTERM: not ready, but still serving, for so long',
    default: '0',
  },
  {
    name: 'drain-deadline',
    value: 'SECONDS',
    key: 'drain_deadline',
    help: 'after that: how long running requests may take to end',
    default: '10',
  },
];

export interface ListenConfig {
  readonly tls: TlsFiles | undefined;
  readonly insecure: boolean;
  readonly rateLimit: RateLimit | undefined;
  readonly drainDelayMs: number;
  readonly drainDeadlineMs: number;
}

/** Throws ConfigError, also where one of these is missing that another needs. */
export function listenConfig(settings: Settings): ListenConfig {
  const perSecond = count(settings, 'rate-limit') ?? 0;
  const burst = count(settings, 'rate-burst') ?? 0;
  const rateLimit = { perSecond, burst: burst === 0 ? 2 * perSecond : burst };
  return {
    tls: tlsFiles(settings),
    insecure: settings.flag('insecure-listen'),
    rateLimit: perSecond === 0 ? undefined : rateLimit,
    drainDelayMs: milliseconds(settings, 'drain-delay') ?? 0,
    drainDeadlineMs: milliseconds(settings, 'drain-deadline') ?? 10_000,
  };
}

function tlsFiles(settings: Settings): TlsFiles | undefined {
  const [cert, key, clientCa, clientRights] = [
    'tls-cert',
    'tls-key',
    'tls-client-ca',
    'tls-client-rights',
  ].map((name) => {
    const text = settings.text(name);
    return text === undefined ? undefined : resolve(text);
  });
  needs(settings, 'tls-cert', 'tls-key');
  needs(settings, 'tls-key', 'tls-cert');
  needs(settings, 'tls-client-ca', 'tls-cert');
  needs(settings, 'tls-client-ca', 'tls-client-rights');
  needs(settings, 'tls-client-rights', 'tls-client-ca');
  if (clientCa !== undefined && settings.text('token-file') !== undefined) {
    const why = 'a caller is known by its certificate or by its token';
    throw new ConfigError('config.value', `cannot use a token file and a client CA: ${why}`);
  }
  if (cert === undefined || key === undefined) return undefined;
  return { cert, key, clientCa, clientRights };
}

function needs(settings: Settings, name: string, other: string): void {
  if (settings.text(name) === undefined || settings.text(other) !== undefined) return;
  throw new ConfigError('config.value', `"--${name}" needs "--${other}": it is missing`);
}

function count(settings: Settings, name: string): number | undefined {
  const text = settings.text(name);
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,7}$/.test(text)) throw settings.wrong(name, 'a whole number up to 9999999');
  return Number(text);
}

function milliseconds(settings: Settings, name: string): number | undefined {
  const ns = settings.seconds(name);
  if (ns === undefined) return undefined;
  // What a timer of JavaScript takes is less.
  if (ns > 86_400_000_000_000n) throw settings.wrong(name, 'at most a day in seconds');
  return Number(ns / 1_000_000n);
}
