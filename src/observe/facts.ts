/**
 * What the sidecar tells of itself: the hook in AppDeps. An observer answers nothing and decides
 * nothing; without one the sidecar works the same.
 */

import type { ReasonCode } from '../engine/codes.ts';
import type { Verdict } from '../engine/verdict.ts';
import type { ProblemCode } from '../http/problem.ts';

/** One HTTP request that was answered. */
export interface RequestFacts {
  readonly requestId: string;
  /** The path as the route table has it, or `unmatched`. */
  readonly route: string;
  readonly method: string;
  readonly status: number;
  /** From the head of the request to the head of the answer. */
  readonly seconds: number;
  readonly problem?: ProblemCode | undefined;
}

/** One decision. */
export interface DecisionFacts {
  readonly id: string;
  /** Place in the answer that has this id, if it holds several. */
  readonly item?: number | undefined;
  readonly requestId?: string | undefined;
  /** `verify`, `check`, `checks`, `sign`, ...: a closed set. */
  readonly call: string;
  /** Id of the caller. */
  readonly caller: string;
  /** Name of the service: osd, mds, mgr, mon, auth or unknown. */
  readonly service: string;
  readonly decision: boolean;
  readonly reason: ReasonCode;
  /** The exact rule that decided: for the operator's files, never for a metric or an answer. */
  readonly check: string;
  readonly verdict?: Verdict | undefined;
  /** The authorizer that was judged. */
  readonly authorizer?: Uint8Array | undefined;
  /** The operation as the request has it (interface section 3.2). */
  readonly op?: unknown;
}

export interface Observer {
  request(facts: RequestFacts): void;
  /** True: the decision is kept in a log of its own and need not stand in the other one. */
  decision(facts: DecisionFacts): boolean;
  /** So many allowed checks of one call that are not told one by one. */
  allowed(call: string, service: string, count: number): void;
  /** A connection of the frames socket has come; one has gone. */
  framesOpened(): void;
  framesClosed(): void;
  /** One was ended here, or not let in; `why` is of a closed set. */
  framesEnded(why: string): void;
  /** The decision log has fallen behind its file: whoever can wait should. */
  behind(): boolean;
  /** The metrics in the text format of Prometheus. */
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
}
