/**
 * Settings of `serve` about what the sidecar tells of itself: metrics and decision log.
 */

import { resolve } from 'node:path';
import type { AppDeps } from '../http/deps.ts';
import { loadHashKey, type ObserverSource, SidecarObserver } from '../observe/index.ts';
import type { Option, Settings } from './options.ts';

export const OBSERVE_OPTIONS: readonly Option[] = [
  {
    name: 'metrics',
    key: 'metrics',
    help: '/metrics is open to callers on TCP without a bearer token',
    default: 'false',
  },
  {
    name: 'decision-log',
    value: 'FILE',
    key: 'decision_log',
    help: 'decisions as JSON lines in a file of their own, not on stderr; default none',
  },
  {
    name: 'decision-log-sample',
    value: 'N',
    key: 'decision_log_sample',
    help: 'one of N allowed decisions is written; denials always are',
    default: '1',
  },
  {
    name: 'decision-log-hash-objects',
    key: 'decision_log_hash_objects',
    help: 'objects and paths are written as a keyed hash, key in DIR/decision-log.key',
    default: 'false',
  },
  {
    name: 'decision-log-size',
    value: 'MIB',
    key: 'decision_log_size',
    help: 'size at which FILE becomes FILE.1',
    default: '64',
  },
  {
    name: 'decision-log-keep',
    value: 'N',
    key: 'decision_log_keep',
    help: 'how many old files are kept',
    default: '5',
  },
];

export interface ObserveConfig {
  readonly openMetrics: boolean;
  readonly logPath: string | undefined;
  readonly sample: number;
  readonly hashObjects: boolean;
  readonly lenMax: number;
  readonly keep: number;
}

export function observeConfig(settings: Settings): ObserveConfig {
  const logPath = settings.text('decision-log');
  return {
    openMetrics: settings.flag('metrics'),
    logPath: logPath === undefined ? undefined : resolve(logPath),
    sample: whole(settings, 'decision-log-sample', 1, 1_000_000) ?? 1,
    hashObjects: settings.flag('decision-log-hash-objects'),
    lenMax: (whole(settings, 'decision-log-size', 1, 1_048_576) ?? 64) * 1_048_576,
    keep: whole(settings, 'decision-log-keep', 0, 1_000) ?? 5,
  };
}

/** Throws FileError if the decision log or its key cannot be opened. */
export function openObserver(
  config: ObserveConfig,
  data: string,
  source: ObserverSource & Pick<AppDeps, 'random'>,
): SidecarObserver {
  const { logPath: path, sample, lenMax, keep } = config;
  if (path === undefined) return new SidecarObserver(source);
  const keyPath = `${data}/decision-log.key`;
  const hashKey = config.hashObjects ? loadHashKey(keyPath, source.random) : undefined;
  return new SidecarObserver(source, { decisionLog: { path, sample, lenMax, keep, hashKey } });
}

function whole(settings: Settings, name: string, min: number, max: number): number | undefined {
  const text = settings.text(name);
  if (text === undefined) return undefined;
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : -1;
  if (value < min || value > max) {
    throw settings.wrong(name, `a whole number from ${min} to ${max}`);
  }
  return value;
}
