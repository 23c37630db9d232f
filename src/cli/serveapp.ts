/**
 * What answers decisions: state, observer, app and listeners. `serve` has one of it, or each of its
 * workers has.
 */

import { LAYOUT_SESSIONS_MAX } from '../../assembly/abi.ts';
import type { Policy } from '../engine/types.ts';
import { createApp } from '../http/app.ts';
import type { TokenEntry } from '../http/callers.ts';
import { type AppDeps, BODY_LIMITS } from '../http/deps.ts';
import { makeDirect } from '../http/direct.ts';
import { openFramesSocket } from '../http/framesocket.ts';
import { type ListenAddress, listen, type OpenListener } from '../http/listen.ts';
import type { RateLimit } from '../http/ratelimit.ts';
import { State } from '../http/state.ts';
import { readTls, type TlsMaterial, TlsSource } from '../http/tls.ts';
import type { StateKeys } from '../http/tokens.ts';
import type { SidecarObserver } from '../observe/index.ts';
import { type LiveConfig, type LiveParts, readTokens } from './configreload.ts';
import { type ObserveConfig, openObserver } from './observing.ts';
import { randomSource } from './randomness.ts';

export interface AppConfig extends Omit<LiveConfig, 'settings'> {
  readonly data: string;
  readonly addresses: readonly ListenAddress[];
  readonly framesPath: string | undefined;
  readonly allowHosts: readonly string[];
  readonly sign: boolean;
  readonly allowUnchallengedVerdict: boolean;
  readonly ticketCache: boolean;
  readonly observe: ObserveConfig;
}

/** What the app is given: all that depends on where secrets and entities come from. */
export type AppSides = Pick<AppDeps, 'engine' | 'ring' | 'log'> &
  Partial<
    Pick<
      AppDeps,
      'logDropped' | 'issuer' | 'entities' | 'users' | 'health' | 'view' | 'storePlaintext'
    >
  >;

/** What can change while we run, as it was read last with success. */
export interface LiveState {
  readonly policy: Partial<Policy>;
  readonly tokens: readonly TokenEntry[] | undefined;
  readonly tls: TlsMaterial | undefined;
  readonly rateLimit: RateLimit | undefined;
}

export interface MadeApp extends Pick<LiveParts, 'tokens' | 'tls' | 'state'> {
  readonly deps: AppDeps & LiveParts['deps'];
  readonly observe: SidecarObserver;
}

/** Open listeners, or what stands for them. */
export interface Serving {
  readonly listeners: readonly Pick<OpenListener, 'close'>[];
  readonly names: readonly string[];
  readonly framesName: string | undefined;
}

/** Reads what the configuration names. Throws FileError, ConfigError. */
export function readLive({ policy, tokenFile, listening }: AppConfig): LiveState {
  const tokens = tokenFile === undefined ? undefined : readTokens(tokenFile);
  const tls = listening.tls && readTls(listening.tls);
  return { policy, tokens, tls, rateLimit: listening.rateLimit };
}

export function liveOf({ deps, tokens, tls, state }: MadeApp): LiveState {
  return { policy: deps.policy, tokens, tls: tls?.material, rateLimit: state.rates.limit };
}

/** Another process has read it: here it counts from now on. */
export function useLive({ deps, tokens, tls, state }: MadeApp, live: LiveState): void {
  deps.policy = live.policy;
  tokens?.splice(0, tokens.length, ...(live.tokens ?? []));
  if (live.tls !== undefined) tls?.replace(live.tls);
  state.rates.set(live.rateLimit);
}

/** Throws FileError where the decision log cannot be opened. */
export function makeApp(
  config: AppConfig,
  live: LiveState,
  keys: StateKeys,
  sides: AppSides,
): MadeApp {
  const { sign, allowUnchallengedVerdict } = config;
  const { policy, rateLimit } = live;
  const state = new State({
    ...{ keys, random },
    sessionsMax: sides.engine.layout.getUint32(LAYOUT_SESSIONS_MAX, true),
    rateLimit,
  });
  const shared = { ...sides, state, policy, clock, random };
  const tokens = live.tokens && [...live.tokens];
  const tls = live.tls && new TlsSource(live.tls);
  const observe = openObserver(config.observe, config.data, shared);
  const { openMetrics } = config.observe;
  const rules = { sign, allowUnchallengedVerdict, openMetrics, body: BODY_LIMITS };
  return { deps: { ...shared, ...rules, observe }, observe, state, tokens, tls };
}

/** All listeners or none. Throws ListenError. */
export async function serveApp(
  config: AppConfig,
  { deps, tokens, tls }: MadeApp,
): Promise<Serving & { readonly listeners: readonly OpenListener[] }> {
  const app = createApp(deps);
  const { allowHosts, listening, framesPath } = config;
  const direct = makeDirect(deps);
  const options = { tokens, allowHosts, tls, direct, insecure: listening.insecure };
  const open = await listen(app.fetch.bind(app), inOrder(config.addresses), options);
  const names = open.map(({ name }) => name);
  if (framesPath === undefined) return { listeners: open, names, framesName: undefined };
  try {
    const frames = await openFramesSocket(deps, framesPath);
    return { listeners: [...open, frames], names, framesName: frames.name };
  } catch (error) {
    await closeAll(open);
    throw error;
  }
}

export async function closeAll(listeners: Serving['listeners']): Promise<void> {
  await Promise.all(listeners.map((each) => each.close(0)));
}

/** TCP first: the first line on stdout names it first. */
function inOrder(addresses: readonly ListenAddress[]): ListenAddress[] {
  return [...addresses].sort((a, b) => Number(a.kind === 'unix') - Number(b.kind === 'unix'));
}

export function clock(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

export const random: (n: number) => Uint8Array = randomSource();
