/**
 * SIGHUP: config file, secrets, bearer tokens, TLS and rights are read again. All of it is read and
 * checked before any of it counts: what cannot be read leaves all as it was.
 */

import type { Policy } from '../engine/types.ts';
import { CephgateError } from '../errors.ts';
import { parseTokens, type TokenEntry } from '../http/callers.ts';
import type { LogRecord } from '../http/deps.ts';
import { readPrivateFile } from '../http/files.ts';
import { readSecretsFile, type Secret } from '../http/secretsfile.ts';
import type { State } from '../http/state.ts';
import { readTls, type TlsFiles, type TlsMaterial, type TlsSource } from '../http/tls.ts';
import type { ListenConfig } from './configlisten.ts';
import type { Settings } from './options.ts';
import { KNOWN_OPTIONS } from './settings.ts';

/** As much of the configuration as can change while we run. */
export interface LiveConfig {
  readonly settings: Settings;
  readonly policy: Partial<Policy>;
  readonly tokenFile: string | undefined;
  readonly secretsFile: string | undefined;
  readonly listening: ListenConfig;
}

/** What a reload changes. */
export interface LiveParts {
  /** Takes a new set of static secrets; undefined: the secrets come from elsewhere. */
  readonly replaceSecrets: ((secrets: readonly Secret[]) => void) | undefined;
  /** Changed in place: the listeners hold this very list. */
  readonly tokens: TokenEntry[] | undefined;
  readonly tls: TlsSource | undefined;
  readonly state: State;
  /** Its policy is replaced, never changed: the engine takes one as unchanging. */
  readonly deps: { policy: Partial<Policy> };
  /** What there is to say of the secrets after a reload. */
  readonly facts: () => LogRecord;
  readonly log: (record: LogRecord) => void;
}

/**
 * Reads again; `read` gives the configuration as it is now. Settings that only a restart can change
 * are named in the log. False: all is as it was.
 */
export function reload(started: LiveConfig, read: () => LiveConfig, live: LiveParts): boolean {
  const { log } = live;
  try {
    const fresh = read();
    const { policy, secretsFile, tokenFile, listening } = fresh;
    const late = new Set(restartNeeded(started.settings, fresh.settings));
    const useSecrets = replacing(live.replaceSecrets, secretsFile, 'secrets', late);
    const useTokens = replacing(live.tokens, tokenFile, 'token-file', late);
    const useTls = replacing(live.tls, listening.tls, 'tls-cert', late);
    const secrets = useSecrets && readSecretsFile(useSecrets[1]);
    const tokens = useTokens && readTokens(useTokens[1]);
    const tls = useTls && readTls(sameProof(useTls[1], started.listening.tls, late));
    if (secrets !== undefined) useSecrets![0](secrets);
    if (tokens !== undefined) useTokens![0].splice(0, useTokens![0].length, ...tokens);
    if (tls !== undefined) replaceTls(useTls![0], tls, late);
    live.state.rates.set(listening.rateLimit);
    live.deps.policy = withFixed(policy, started.policy);
    const restart = late.size === 0 ? undefined : [...late].join(',');
    log({ level: 'info', event: 'reload', ...live.facts(), restart_needed: restart });
    return true;
  } catch (error) {
    // Only our own errors are known to hold no key bytes.
    const message = error instanceof CephgateError ? error.message : 'failed';
    log({ level: 'error', event: 'reload', message });
    return false;
  }
}

export function readTokens(path: string): TokenEntry[] {
  return parseTokens(readPrivateFile(path), path);
}

/** The part and its file; what was not there at the start cannot come or go. */
function replacing<P, F>(
  part: P | undefined,
  file: F | undefined,
  name: string,
  late: Set<string>,
): readonly [P, F] | undefined {
  if ((part === undefined) !== (file === undefined)) late.add(name);
  return part === undefined || file === undefined ? undefined : [part, file];
}

function replaceTls(source: TlsSource, tls: TlsMaterial, late: Set<string>): void {
  if (!source.canChange && source.differs(tls)) late.add('tls-cert');
  source.replace(tls);
}

/** Whether clients are asked for certificates is settled when a listener opens. */
function sameProof(files: TlsFiles, started: TlsFiles | undefined, late: Set<string>): TlsFiles {
  if ((files.clientCa === undefined) === (started?.clientCa === undefined)) return files;
  late.add('tls-client-ca');
  const { clientCa, clientRights } = started ?? {};
  return { ...files, clientCa, clientRights };
}

function withFixed(policy: Partial<Policy>, started: Partial<Policy>): Partial<Policy> {
  const { release, generalSecret, msgr1Aes256k, ...rest } = policy;
  return {
    ...rest,
    ...(started.release !== undefined && { release: started.release }),
    ...(started.generalSecret !== undefined && { generalSecret: started.generalSecret }),
    ...(started.msgr1Aes256k !== undefined && { msgr1Aes256k: started.msgr1Aes256k }),
  };
}

function restartNeeded(before: Settings, now: Settings): string[] {
  const names = KNOWN_OPTIONS.map(({ name }) => name).filter((name) => !LIVE.includes(name));
  const shown = (settings: Settings, name: string): string =>
    JSON.stringify(settings.list(name) ?? 0);
  return names.filter((name) => shown(before, name) !== shown(now, name));
}

const LIVE: readonly string[] = [
  'policy',
  'expiry',
  'skew',
  'types',
  'session-lifetime',
  'session-max-age',
  'secrets',
  'token-file',
  'tls-cert',
  'tls-key',
  'tls-client-ca',
  'tls-client-rights',
  'rate-limit',
  'rate-burst',
  'drain-delay',
  'drain-deadline',
];
