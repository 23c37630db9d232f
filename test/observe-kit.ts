/** A sidecar that is watched: the kit of the HTTP tests with an observer. */

import type { Listener } from '../src/http/callers.ts';
import { type ObserverOptions, SidecarObserver } from '../src/observe/index.ts';
import { Kit, type KitOptions, UNIX } from './http-kit.ts';

export interface Watched {
  readonly kit: Kit;
  readonly observer: SidecarObserver;
  /** Runs what was put off until after the answer. */
  settle(): void;
  /** Value by `name{label="value",...}`, labels in the order in which they are printed. */
  metrics(): Promise<ReadonlyMap<string, number>>;
}

export async function watched(
  options: KitOptions & { readonly openMetrics?: boolean } = {},
  observing: ObserverOptions = {},
): Promise<Watched> {
  const kit = await Kit.create(options);
  const waiting: (() => void)[] = [];
  const later = (run: () => void): void => void waiting.push(run);
  const shadow = { later, ...observing.shadow };
  const observer = new SidecarObserver(kit.deps, { ...observing, shadow });
  Object.assign(kit.deps, { observe: observer, openMetrics: options.openMetrics });
  return {
    kit,
    observer,
    settle: () => {
      for (const run of waiting.splice(0)) run();
    },
    metrics: async () => parse(await textOf(kit)),
  };
}

/** The text of /metrics. */
export async function textOf(kit: Kit, listener: Listener = UNIX): Promise<string> {
  return (await kit.app.request('/metrics', {}, { listener })).text();
}

/** Reads the text format of Prometheus. */
export function parse(text: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const match = /^([a-z0-9_]+(?:\{[^}]*\})?) ([-+0-9.eInfNa]+)$/.exec(line);
    if (match === null) throw new Error(`no line of the text format: ${line}`);
    values.set(match[1]!, Number(match[2]));
  }
  return values;
}
