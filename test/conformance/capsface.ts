/**
 * The caps of a daemon as src/caps reads and decides them, for OSD and MDS caps through the core.
 * The twin must say the same.
 */

import {
  type CapsService,
  check,
  isAllowAll,
  parse,
  print,
  readRequest,
} from '../../src/caps/index.ts';
import { twinOf } from './capstwin.ts';
import type { Release } from './release.ts';
import { agree, BY_ENGINE, BY_TWIN, type Rig } from './rig.ts';

/** A request as the files write it: the fields of caps.md, with `addr`. */
export type RequestRecord = Readonly<Record<string, unknown>>;

/** One cap of one daemon. */
export interface CapsFace {
  /** Ceph's words if it does not parse. */
  readonly error: string | undefined;
  readonly canonical: string | undefined;
  readonly allowAll: boolean;
  /** False for a cap that does not parse. Throws for a request that is not understood. */
  allows(request: RequestRecord): boolean;
}

export function isCapsService(daemon: unknown): daemon is CapsService {
  return daemon === 'osd' || daemon === 'mds' || daemon === 'mon' || daemon === 'mgr';
}

/** Parses the text; what the two say of it is compared here. */
export function capsFace(rig: Rig, daemon: CapsService, text: string, release: Release): CapsFace {
  const { engine } = rig;
  rig.used.add(BY_CAPS).add(BY_TWIN);
  if (daemon === 'osd' || daemon === 'mds') rig.used.add(BY_ENGINE);
  const parsed = parse(daemon, text, { release, engine });
  const twin = twinOf(daemon, text, release);
  const who = `${daemon} caps and their twin`;
  if (!parsed.ok) {
    agree(who, 'refused', twin.allows === undefined ? 'refused' : 'taken');
    agree(who, `stop ${parsed.stop}`, `stop ${twin.stop ?? parsed.stop}`);
    return { error: parsed.error, canonical: undefined, allowAll: false, allows: () => false };
  }
  const { grants } = parsed;
  const [canonical, allowAll] = [print(grants), isAllowAll(grants)];
  agree(who, 'taken', twin.allows === undefined ? 'refused' : 'taken');
  agree(who, `${allowAll}`, `${twin.allowAll}`);
  if (twin.canonical !== undefined) agree(who, canonical, twin.canonical);
  const allows = (record: RequestRecord): boolean => {
    const request = readRequest(daemon, record);
    if (typeof request === 'string') throw new Error(request);
    const { allowed } = check(grants, request);
    agree(who, `${allowed}`, `${twin.allows?.(request, record)}`);
    return allowed;
  };
  return { error: undefined, canonical, allowAll, allows };
}

const BY_CAPS = 'src/caps';
