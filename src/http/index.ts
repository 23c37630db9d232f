/** The sidecar: createApp, what it needs, and its listeners. */

export { createApp } from './app.ts';
export type { BodyLimits } from './bodybytes.ts';
export { type Caller, type Listener, parseTokens, type Right, type TokenEntry } from './callers.ts';
export { ClusterRing } from './clusterring.ts';
export {
  type AppDeps,
  type Bindings,
  BODY_LIMITS,
  type LogRecord,
  type SecretRing,
} from './deps.ts';
export { type Direct, makeDirect } from './direct.ts';
export { type ListenAddress, listen, type OpenListener, parseListen } from './listen.ts';
export { VERSION } from './operations.ts';
export { REASON_MESSAGES, REASONS_VERSION } from './reasons.ts';
export { RotatingRing, StaticRing } from './ring.ts';
export { formatSecrets, readSecretsFile, type Secret } from './secretsfile.ts';
export { State } from './state.ts';
export { loadStateKeys } from './statekey.ts';
