/** The twins of the four capability languages behind one face. */

import type { BitOp, CapsRequest, CapsService } from '../../src/caps/index.ts';
import {
  allowAllMds,
  checkMds,
  type MdsGrant,
  type MdsRequest,
  parseMds,
  printMds,
} from '../twin/mdscap.ts';
import * as mgr from '../twin/mgrcap.ts';
import * as mon from '../twin/moncap.ts';
import {
  allowAllOsd,
  checkOsd,
  type OsdGrant,
  type OsdRequest,
  parseOsd,
  printOsd,
} from '../twin/osdcap.ts';
import type { RequestRecord } from './capsface.ts';
import { MAY_NAMES } from './requests.ts';

/** What a twin makes of a text. */
export interface CapsTwin {
  /** Where the parser stopped, if it did; a mgr profile that is refused has no such place. */
  readonly stop?: number;
  /** The twins of mon and mgr caps do not print. */
  readonly canonical?: string;
  readonly allowAll?: boolean;
  /** Absent if the text does not parse. */
  readonly allows?: (request: CapsRequest, record: RequestRecord) => boolean;
}

export function twinOf(daemon: CapsService, text: string, release: 16 | 20): CapsTwin {
  const bytes = new TextEncoder().encode(text);
  const newer = release === 20;
  if (daemon === 'osd') return osdTwin(parseOsd(bytes));
  if (daemon === 'mds') return mdsTwin(parseMds(bytes, release));
  if (daemon === 'mon') {
    return bitTwin(mon.parse(text), (grants, request) => mon.allows(grants, request, newer));
  }
  return bitTwin(mgr.parse(text, newer), (grants, request) => mgr.allows(grants, request));
}

function osdTwin(grants: OsdGrant[] | { stop: number }): CapsTwin {
  if (!Array.isArray(grants)) return { stop: grants.stop };
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

function mdsTwin(grants: MdsGrant[] | { stop: number }): CapsTwin {
  if (!Array.isArray(grants)) return { stop: grants.stop };
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

function bitTwin(
  grants: mon.BitGrant[] | { stop: number } | { profile: string },
  decide: (grants: readonly mon.BitGrant[], request: mon.BitRequest) => boolean,
): CapsTwin {
  if (!Array.isArray(grants)) return 'stop' in grants ? { stop: grants.stop } : {};
  return {
    allowAll: grants.some(
      ({ form, perm, fsname }) => form === 'plain' && perm === '*' && fsname === undefined,
    ),
    allows: ({ op }, { addr }) => {
      const request = { ...NO_BIT_OP, ...(op as BitOp), addr: (addr ?? null) as string | null };
      return decide(grants, request);
    },
  };
}

/** The twins have one character per byte. */
function latin(binary: string): string {
  return new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0)));
}

const NO_OSD_OP = { namespace: '', object: '', read: false, write: false, classes: [] };

const NO_BIT_OP = {
  ...{ entity: '', service: '', command: '', args: {} },
  ...{ read: false, write: false, exec: false },
};
