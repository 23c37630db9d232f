/**
 * What the parent and a worker of `serve --workers` say to each other, over the channel that only
 * the two have. Secrets pass over it, as they must to be in both.
 */

import type { SecretFact } from '../http/deps.ts';
import type { StateKeys } from '../http/tokens.ts';
import type { EngineChange } from './enginemirror.ts';
import type { AppConfig, LiveState } from './serveapp.ts';

/** What the parent knows of secrets and store, for decisions that do not ask it. */
export interface RingNews {
  readonly snapshot: bigint;
  readonly facts: readonly SecretFact[];
  readonly stale: readonly string[];
  readonly view: ViewNews | undefined;
  readonly users: UsersNews | undefined;
}

/** Of the users of a real cluster. */
export interface UsersNews {
  readonly facts: { readonly entities: number; readonly ageSeconds: number } | undefined;
  readonly stale: boolean;
}

export interface ViewNews {
  readonly snapshot: bigint;
  readonly ageMs: number;
  readonly stale: boolean;
  readonly onStale: 'serve' | 'deny';
}

/** From the parent. */
export type ToWorker =
  /** The first message: `issues` and `stores` say what can be asked for. */
  | {
      readonly kind: 'start';
      readonly config: AppConfig;
      readonly live: LiveState;
      readonly keys: StateKeys;
      readonly changes: readonly EngineChange[];
      readonly news: RingNews;
      readonly issues: boolean;
      readonly stores: boolean;
      readonly storePlaintext: boolean;
    }
  | { readonly kind: 'change'; readonly change: EngineChange }
  | { readonly kind: 'news'; readonly news: RingNews }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: Failure }
  | { readonly kind: 'metrics'; readonly id: number }
  | { readonly kind: 'reload'; readonly live: LiveState }
  | { readonly kind: 'drain' }
  | { readonly kind: 'hurry' };

/** From a worker. */
export type ToParent =
  | { readonly kind: 'hello' }
  | {
      readonly kind: 'listening';
      readonly names: readonly string[];
      readonly framesName: string | undefined;
    }
  | { readonly kind: 'refused'; readonly message: string }
  | {
      readonly kind: 'call';
      readonly id: number;
      readonly name: CallName;
      readonly args: unknown[];
    }
  | { readonly kind: 'metrics'; readonly id: number; readonly metrics: unknown };

/** What only the parent can do. */
export type CallName =
  | 'hello'
  | 'request'
  | 'entities'
  | 'health'
  | 'catchUp'
  | 'reach'
  | 'metrics';

/** An error on its way: its class is known again at the other end where somebody asks for it. */
export interface Failure {
  readonly store: boolean;
  readonly code: string | undefined;
  readonly message: string;
}
