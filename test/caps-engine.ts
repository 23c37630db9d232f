/** The core's caps parser and matcher, asked in the words of the twins. */

import * as abi from '../assembly/abi.ts';
import type { Address, CheckRequest, Engine, OsdOp, Verdict } from '../src/engine/index.ts';
import type { Mask, MdsCondition, MdsRequest, Release } from './twin/mdscap.ts';
import { parseAddress } from './twin/network.ts';
import type { OsdCondition, OsdRequest } from './twin/osdcap.ts';

/** One service's caps in an engine; one release. */
export class CapsCore {
  readonly #engine: Engine;
  readonly #service: number;
  readonly #host: { readonly nowNs: bigint; readonly policy: { readonly release: Release } };

  constructor(engine: Engine, service: 'osd' | 'mds', release: Release = 20) {
    this.#engine = engine;
    this.#service = service === 'osd' ? abi.ENTITY_TYPE_OSD : abi.ENTITY_TYPE_MDS;
    this.#host = { nowNs: 1n, policy: { release } };
  }

  parse(text: Uint8Array, keep = true): Verdict {
    return this.#engine.capsParse(this.#service, text, this.#host, { keep });
  }

  /** With `fs` an MDS request names the file system that it is for. */
  check(
    handle: bigint,
    request: OsdRequest | (MdsRequest & { readonly fs?: string }),
    explain = false,
  ): Verdict {
    const asked = { ...engineRequest(request), service: this.#service, handle, explain };
    return this.#engine.check(asked, this.#host);
  }
}

/** A request of the twins as the engine takes it. */
export function engineRequest(
  request: OsdRequest | (MdsRequest & { readonly fs?: string }),
): Pick<CheckRequest, 'op' | 'peer'> {
  const op = 'pool' in request ? osdOp(request) : { ...request, mask: maskOf(request.mask) };
  return { op, peer: peerOf(request.addr) };
}

/** The printed form, one character per byte. */
export function printed(verdict: Verdict): string {
  const { bytes } = verdict;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = view.getUint32(abi.TAIL_CAPS, true);
  const part = bytes.subarray(at, at + view.getUint32(abi.TAIL_CAPS + 4, true));
  return Array.from(part, (byte) => String.fromCharCode(byte)).join('');
}

/** The twins' name for a CONDITION_*. */
export function conditionName(condition: number): OsdCondition | MdsCondition | undefined {
  return CONDITIONS[condition];
}

/** Index of the grant that allowed, else of the nearest miss: the first of the highest. */
export function nearest(lines: readonly (OsdCondition | MdsCondition)[]): number {
  const ranks = lines.map((line) => (line === 'none' ? Infinity : CONDITIONS.indexOf(line)));
  return ranks.indexOf(Math.max(...ranks));
}

/** The reason that goes with the condition of the nearest miss. */
export function reasonOf(condition: OsdCondition | MdsCondition | undefined): string {
  if (condition === 'none') return 'ok';
  if (condition === 'network') return 'caps.network_mismatch';
  return condition === 'class' ? 'caps.class_not_allowed' : 'caps.no_matching_grant';
}

function osdOp({ addr: _, ...op }: OsdRequest): OsdOp {
  return op;
}

function maskOf(names: readonly Mask[]): number {
  return names.reduce((bits, name) => bits | MASK_BITS[name], 0);
}

function peerOf(addr: string | null): Address | undefined {
  const parsed = addr === null ? undefined : parseAddress(addr);
  if (parsed === undefined) return undefined;
  const octets = parsed.bits.match(/.{8}/g) ?? [];
  const bytes = Uint8Array.from(octets, (bits) => Number.parseInt(bits, 2));
  return { family: parsed.family, bytes };
}

const MASK_BITS: Readonly<Record<Mask, number>> = {
  READ: abi.MAY_READ,
  WRITE: abi.MAY_WRITE,
  EXECUTE: abi.MAY_EXECUTE,
  CHOWN: abi.MAY_CHOWN,
  CHGRP: abi.MAY_CHGRP,
  SET_VXATTR: abi.MAY_SET_VXATTR,
  SNAPSHOT: abi.MAY_SNAPSHOT,
  FULL: abi.MAY_FULL,
};

/** By CONDITION_* number. */
const CONDITIONS: readonly (OsdCondition | MdsCondition)[] = [
  'none',
  'profile',
  'pool',
  'namespace',
  'tag',
  'prefix',
  'permission',
  'class',
  'uid',
  'gids',
  'path',
  'mds_permission',
  'root_squash',
  'chown',
  'chgrp',
  'mode',
  'network',
];
