/**
 * What real daemons allowed: formats network-match/1, osd-enforcement/1 (with the monitor's
 * commands) and mds-enforcement/1. Whose grammar holds, the file's `ceph_version` says.
 */

import { type CapsFace, capsFace, type RequestRecord } from './capsface.ts';
import { type Release, releaseOf } from './release.ts';
import type { Check, Report } from './report.ts';
import { isMdsOperation, mdsRequest, monRequest, osdNeeds } from './requests.ts';
import { agree, type Rig } from './rig.ts';

export interface NetworkFile {
  readonly ceph_version?: string;
  /** The cap, with `<network>` where the network of a row belongs. */
  readonly caps_form?: string;
  readonly rows: readonly {
    readonly family: string;
    readonly network: string;
    readonly caps_accepted: number;
    readonly matches: Readonly<Record<string, number>>;
  }[];
}

/** A network means the same in the caps of every daemon. */
export function runNetwork(rig: Rig, report: Report, file: NetworkFile): void {
  const { caps_form: form = 'allow r network <network>' } = file;
  const release = releaseOf(file);
  for (const row of file.rows) {
    const { network, matches } = row;
    const id = `network ${JSON.stringify(network)}`;
    report.case(
      id,
      { ...row },
      (check) => {
        if (!form.includes('<network>')) throw new Error(`caps_form "${form}" has no <network>`);
        const text = form.replace('<network>', () => network);
        const faces = (['osd', 'mds', 'mon', 'mgr'] as const).map((daemon) => ({
          face: capsFace(rig, daemon, text, release),
          request: READS[daemon],
        }));
        const same = (what: string, ask: (each: (typeof faces)[number]) => boolean): number => {
          const answers = faces.map((each) => `${ask(each)}`);
          for (const answer of answers)
            agree(`caps of the daemons (${what})`, answer, `${answers[0]}`);
          return answers[0] === 'true' ? 1 : 0;
        };
        const accepted = same('parse', ({ face }) => face.error === undefined);
        check.same('caps_accepted', accepted, row.caps_accepted);
        for (const [addr, matched] of Object.entries(matches)) {
          const matching = same(addr, ({ face, request }) => face.allows({ ...request, addr }));
          check.same(`matches/${addr}`, matching, matched);
        }
      },
      row,
    );
  }
}

type OsdRow = readonly [
  pool: string,
  namespace: string,
  object: string,
  list: string,
  digits: string,
];
type MonRow = readonly [command: RequestRecord, allowed: number, rc: number];

interface OsdUser {
  readonly user: string;
  readonly caps: { readonly osd?: string; readonly mon?: string };
  readonly source_address: string;
  readonly connect_rc: number;
  readonly no_osdmap_rc?: number;
  readonly osd?: readonly OsdRow[];
  readonly mon?: readonly MonRow[];
}

export interface OsdFile {
  readonly ceph_version?: string;
  readonly pool_application_metadata: Readonly<Record<string, unknown>>;
  readonly op_lists: Readonly<Record<string, readonly string[]>>;
  readonly users: readonly OsdUser[];
}

export function runOsdEnforcement(rig: Rig, report: Report, file: OsdFile): void {
  const release = releaseOf(file);
  for (const each of file.users) {
    const { user, caps, source_address: addr } = each;
    const fields = { user, source_address: addr };
    report.case(
      user,
      { ...fields, daemon: 'mon' },
      (check) => connects(rig, check, each, release),
      each,
    );
    const parsed = new Map<string, CapsFace>();
    const face = (daemon: 'osd' | 'mon'): CapsFace => {
      const made = parsed.get(daemon) ?? capsFace(rig, daemon, caps[daemon] ?? '', release);
      parsed.set(daemon, made);
      return made;
    };
    for (const row of each.osd ?? []) {
      const [pool, namespace, object, list, digits] = row;
      const id = `${user} ${[pool, namespace, object, list].join('/')}`;
      const known = { ...fields, daemon: 'osd', pool, namespace, object, list };
      const place = { pool, namespace, object, addr };
      report.case(
        id,
        known,
        (check) => {
          const operations = file.op_lists[list];
          if (operations === undefined) throw new Error(`there is no list "${list}"`);
          if (digits.length !== operations.length)
            check.fail(`${digits.length} answers to the list`);
          const appMetadata = file.pool_application_metadata[pool] ?? {};
          for (const [i, operation] of operations.entries()) {
            const request = { ...place, appMetadata, ...osdNeeds(operation) };
            check.same(`4/${i}`, face('osd').allows(request) ? '1' : '0', digits[i]);
          }
        },
        row,
      );
    }
    for (const row of each.mon ?? []) {
      const [command, allowed] = row;
      const known = { ...fields, daemon: 'mon', command: command.prefix };
      report.case(
        `${user} ${JSON.stringify(command)}`,
        known,
        (check) => {
          const request = monRequest(command, user, addr);
          check.same('1', face('mon').allows(request) ? 1 : 0, allowed);
        },
        row,
      );
    }
  }
}

/** A monitor refuses an entity without mon caps, and shows its maps to whom may read. */
function connects(rig: Rig, check: Check, user: OsdUser, release: Release): void {
  const { mon } = user.caps;
  check.same('connect_rc', mon === undefined ? EACCES : 0, user.connect_rc);
  if (mon === undefined) return;
  const asked = { service: 'osd', read: true, entity: user.user, addr: user.source_address };
  const shown = capsFace(rig, 'mon', mon, release).allows(asked);
  check.same('no_osdmap_rc', shown ? undefined : ETIMEDOUT, user.no_osdmap_rc);
}

type MdsRow = readonly [path: string, operation: string, allowed: number | null, rc: number];

export interface MdsFile {
  readonly ceph_version?: string;
  readonly users: readonly {
    readonly user: string;
    readonly mds_caps: string | null;
    readonly caller_uid: number;
    readonly rows: readonly MdsRow[];
  }[];
}

export function runMdsEnforcement(rig: Rig, report: Report, file: MdsFile): void {
  const release = releaseOf(file);
  for (const { user, mds_caps, caller_uid, rows } of file.users) {
    let face: CapsFace | undefined;
    for (const row of rows) {
      const [path, operation, allowed, rc] = row;
      // ENOENT says nothing of caps; such a row of a known operation is the only one left out.
      if (allowed === null && rc === ENOENT && isMdsOperation(operation)) {
        report.skip();
        continue;
      }
      const fields = { daemon: 'mds', user, path, operation, op: operation };
      report.case(
        `${user} ${operation} ${path}`,
        fields,
        (check) => {
          face ??= capsFace(rig, 'mds', mds_caps ?? '', release);
          check.same('2', face.allows(mdsRequest(operation, path, caller_uid)) ? 1 : 0, allowed);
        },
        row,
      );
    }
  }
}

const ENOENT = -2;
const EACCES = -13;
const ETIMEDOUT = -110;

/** A request that `allow r` of the daemon covers. */
const READS: Readonly<Record<'osd' | 'mds' | 'mon' | 'mgr', RequestRecord>> = {
  osd: { pool: 'p', object: 'o', read: true },
  mds: { path: 'a', mask: ['READ'] },
  mon: { service: 'osd', read: true },
  mgr: { service: 'osd', read: true },
};
