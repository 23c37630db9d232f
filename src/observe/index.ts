/** Metrics, logs and the decision log of the sidecar. */

export type { DecisionFacts, Observer, RequestFacts } from './facts.ts';
export { createLogger, formatLine } from './logger.ts';
export {
  type DecisionLogSettings,
  loadHashKey,
  type ObserverOptions,
  type ObserverSource,
  SidecarObserver,
} from './observer.ts';
export { REQUEST_ID_HEADER } from './requestid.ts';
