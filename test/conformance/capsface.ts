/**
 * The caps of a daemon as src/caps reads and decides them, for OSD and MDS caps through the core;
 * there the twin must say the same.
 */

import {
  type CapsRequest,
  type CapsService,
  check,
  isAllowAll,
  parse,
  print,
  readRequest,
} from '../../src/caps/index.ts';
import {
  allowAllMds,
  checkMds,
  type MdsGrant,
  type MdsRequest,
  parseMds,
  printMds,
} from '../twin/mdscap.ts';
import {
  allowAllOsd,
  checkOsd,
  type OsdGrant,
  type OsdRequest,
  parseOsd,
  printOsd,
} from '../twin/osdcap.ts';
import { MAY_NAMES } from './requests.ts';
import { agree, BY_ENGINE, BY_TWIN, type Rig } from './rig.ts';

export type Release = 16 | 20;

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
  rig.used.add(BY_CAPS);
  const parsed = parse(daemon, text, { release, engine });
  const twin = twinOf(rig, daemon, text, release);
  const who = `${daemon} caps and their twin`;
  if (!parsed.ok) {
    if (twin !== undefined) agree(who, `stop ${parsed.stop}`, `stop ${twin.stop}`);
    return { error: parsed.error, canonical: undefined, allowAll: false, allows: () => false };
  }
  const { grants } = parsed;
  const [canonical, allowAll] = [print(grants), isAllowAll(grants)];
  if (twin !== undefined) {
    agree(who, `${canonical} ${allowAll}`, `${twin.canonical} ${twin.allowAll}`);
  }
  const allows = (record: RequestRecord): boolean => {
    const request = readRequest(daemon, record);
    if (typeof request === 'string') throw new Error(request);
    const { allowed } = check(grants, request);
    if (twin !== undefined) agree(who, `${allowed}`, `${twin.allows(request, record)}`);
    return allowed;
  };
  return { error: undefined, canonical, allowAll, allows };
}

interface Twin {
  /** Where the parser stopped, if it does not parse. */
  readonly stop?: number;
  readonly canonical?: string;
  readonly allowAll?: boolean;
  allows(request: CapsRequest, record: RequestRecord): boolean;
}

/** There is a second matcher for OSD and MDS caps only. */
function twinOf(rig: Rig, daemon: CapsService, text: string, release: Release): Twin | undefined {
  if (daemon !== 'osd' && daemon !== 'mds') return undefined;
  rig.used.add(BY_ENGINE).add(BY_TWIN);
  const bytes = new TextEncoder().encode(text);
  return daemon === 'osd' ? osdTwin(parseOsd(bytes)) : mdsTwin(parseMds(bytes, release));
}

function osdTwin(grants: OsdGrant[] | { stop: number }): Twin {
  if (!Array.isArray(grants)) return { stop: grants.stop, allows: () => false };
  return {
    canonical: latin(printOsd(grants)),
    allowAll: allowAllOsd(grants),
    allows: ({ op }, { addr }) => {
      const { appMetadata = {}, ...rest } = op as Partial<OsdRequest>;
      const request = { ...NO_OSD_OP, ...rest, appMetadata, addr: addr ?? null };
      return checkOsd(grants, request as OsdRequest);
    },
  };
}

function mdsTwin(grants: MdsGrant[] | { stop: number }): Twin {
  if (!Array.isArray(grants)) return { stop: grants.stop, allows: () => false };
  return {
    canonical: latin(printMds(grants)),
    allowAll: allowAllMds(grants),
    allows: ({ op }, { addr }) => {
      const { mask, ...rest } = op as { mask: number };
      const names = MAY_NAMES.filter(([bit]) => (mask & bit) !== 0).map(([, name]) => name);
      const none = { callerGidList: null, newUid: 0, newGid: 0 };
      const request = { ...none, ...rest, mask: names, addr: addr ?? null };
      return checkMds(grants, request as unknown as MdsRequest);
    },
  };
}

/** The twins have one character per byte. */
function latin(binary: string): string {
  return new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0)));
}

const BY_CAPS = 'src/caps';

const NO_OSD_OP = { namespace: '', object: '', read: false, write: false, classes: [] };
