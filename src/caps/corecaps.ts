/** OSD and MDS caps: there is one grammar of each, in the core; this asks it. */

import * as abi from '../../assembly/abi.ts';
import type { Engine } from '../engine/engine.ts';
import type { Address, HostContext, MdsOp, OsdOp, ServiceId } from '../engine/types.ts';
import type { Verdict } from '../engine/verdict.ts';
import { fromByteString } from './capgrammar.ts';

export type CoreService = 'osd' | 'mds';

/** Parses a byte string and keeps what was compiled, as long as the core has room for it. */
export function parseCore(
  engine: Engine,
  service: CoreService,
  text: string,
  release: 16 | 20,
): Verdict {
  return engine.capsParse(serviceId(service), bytesOf(text), host(release), { keep: true });
}

/** What Ceph says of a text that the core refused. */
export function coreError(verdict: Verdict, service: CoreService, text: string): string {
  // The upper half of this field of a caps-parse tells which of its two messages the MDS gives.
  if (verdict.globalId >> 32n !== 0n) return MDS_FLAGS_ERROR;
  const rest = fromByteString(text.slice(verdict.stop));
  return `${service} capability parse failed, stopped at '${rest}' of '${fromByteString(text)}'`;
}

/** Answers an operation. The text is parsed again: the core may have dropped it meanwhile. */
export function checkCore(
  engine: Engine,
  caps: { readonly service: CoreService; readonly text: string; readonly release: 16 | 20 },
  op: OsdOp | MdsOp,
  peer: Address | undefined,
  explain: boolean,
): Verdict {
  const { service, text, release } = caps;
  const parsed = parseCore(engine, service, text, release);
  if (!parsed.decision) return parsed;
  const { handle } = parsed;
  return engine.check({ service: serviceId(service), handle, op, peer, explain }, host(release));
}

/** Byte spans of the grants as written. */
export function coreSpans(
  engine: Engine,
  caps: { readonly service: CoreService; readonly text: string; readonly release: 16 | 20 },
): readonly { readonly start: number; readonly end: number }[] {
  const op = caps.service === 'osd' ? { pool: '' } : NO_INODE;
  return checkCore(engine, caps, op, undefined, true).detail;
}

/** The name of a CONDITION_* number; undefined for none. */
export function conditionName(condition: number): string | undefined {
  return condition === abi.CONDITION_NONE ? undefined : (CONDITIONS[condition] ?? 'unknown');
}

function serviceId(service: CoreService): ServiceId {
  return service === 'osd' ? abi.ENTITY_TYPE_OSD : abi.ENTITY_TYPE_MDS;
}

function host(release: 16 | 20): HostContext {
  return { nowNs: 0n, policy: { release } };
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

const MDS_FLAGS_ERROR =
  "Permission flags in MDS capability string must be '*' or 'all' or must start with 'r'";

const NO_INODE: MdsOp = {
  path: '',
  inodeUid: 0,
  inodeGid: 0,
  inodeMode: 0,
  callerUid: 0,
  callerGid: 0,
  mask: 0,
};

const CONDITIONS: Readonly<Record<number, string>> = {
  [abi.CONDITION_PROFILE]: 'profile',
  [abi.CONDITION_POOL]: 'pool',
  [abi.CONDITION_NAMESPACE]: 'namespace',
  [abi.CONDITION_TAG]: 'tag',
  [abi.CONDITION_OBJECT_PREFIX]: 'object_prefix',
  [abi.CONDITION_PERMISSION]: 'permission',
  [abi.CONDITION_CLASS]: 'class',
  [abi.CONDITION_UID]: 'uid',
  [abi.CONDITION_GIDS]: 'gids',
  [abi.CONDITION_PATH]: 'path',
  [abi.CONDITION_MDS_PERMISSION]: 'permission',
  [abi.CONDITION_ROOT_SQUASH]: 'root_squash',
  [abi.CONDITION_CHOWN]: 'chown',
  [abi.CONDITION_CHGRP]: 'chgrp',
  [abi.CONDITION_MODE]: 'mode',
  [abi.CONDITION_NETWORK]: 'network',
  [abi.CONDITION_NOT_EXAMINED]: 'not_examined',
  [abi.CONDITION_FSNAME]: 'fsname',
};
