/**
 * Texts of caps: cases with their answers (caps-examples.json and any array of such cases) and
 * what a real monitor took (format caps-accept/1).
 */

import { capsFace, isCapsService, type RequestRecord } from './capsface.ts';
import { type Release, releaseOf } from './release.ts';
import type { Check, Report } from './report.ts';
import type { Rig } from './rig.ts';

/** A case of caps.md section 8. */
export interface CapCase {
  readonly daemon: string;
  readonly cap: string;
  readonly parses: boolean;
  readonly checks?: readonly { readonly request: RequestRecord; readonly allowed: boolean }[];
  readonly canonical?: string;
  readonly allowAll?: boolean;
  readonly roundTrip?: boolean;
  readonly why?: string;
  /** First release of which it holds, when it does not hold of 16.2.15. */
  readonly since?: string;
}

export function runCapCases(rig: Rig, report: Report, cases: readonly CapCase[]): void {
  for (const [i, each] of cases.entries()) {
    const id = `${i} ${each.daemon} ${JSON.stringify(each.cap)}`;
    report.case(id, { ...each }, (check) => capCase(rig, check, each), each);
  }
}

function capCase(rig: Rig, check: Check, each: CapCase): void {
  const { daemon, cap } = each;
  if (!isCapsService(daemon)) throw new Error(`no matcher for daemon ${daemon}`);
  const unknown = Object.keys(each).find((name) => !CASE_FIELDS.includes(name));
  if (unknown !== undefined) throw new Error(`the field "${unknown}" is not understood`);
  if (typeof cap !== 'string') throw new Error('"cap" is no text');
  for (const release of releasesOf(each)) {
    const face = capsFace(rig, daemon, cap, release);
    check.same('parses', face.error === undefined, each.parses);
    if (each.canonical !== undefined) check.same('canonical', face.canonical, each.canonical);
    if (each.allowAll !== undefined) check.same('allowAll', face.allowAll, each.allowAll);
    if (each.roundTrip === true) {
      const printed = face.canonical ?? '';
      const text = printed.replace(/^MDSAuthCaps\[(.*)\]$/s, '$1');
      check.same('printed again', capsFace(rig, daemon, text, release).canonical, printed);
    }
    for (const [i, { request, allowed }] of (each.checks ?? []).entries()) {
      check.same(`checks/${i}/allowed`, face.allows(request), allowed);
    }
  }
}

/** A case holds of both releases unless it says since when. */
function releasesOf({ since }: CapCase): readonly Release[] {
  if (since === undefined) return [16, 20];
  const first = Number(since);
  if (!(first > 16 && first <= 20)) throw new Error(`since "${since}" is not understood`);
  return [20];
}

interface AcceptRow {
  readonly caps: string;
  readonly accept: boolean;
  readonly rc?: number;
  readonly error?: string;
  readonly stored?: string;
}

export interface AcceptFile {
  readonly ceph_version?: string;
  readonly service: string;
  readonly rows: readonly AcceptRow[];
}

export function runAccept(rig: Rig, report: Report, file: AcceptFile): void {
  const { service, rows } = file;
  const release = releaseOf(file);
  for (const [i, row] of rows.entries()) {
    const fields = { daemon: service, service, ...row };
    report.case(
      `${i} ${JSON.stringify(row.caps)}`,
      fields,
      (check) => {
        if (!isCapsService(service)) throw new Error(`no matcher for daemon ${service}`);
        const { error } = capsFace(rig, service, row.caps, release);
        check.same('accept', error === undefined, row.accept);
        if (row.error !== undefined) check.same('error', error, row.error);
        if (row.rc !== undefined) check.same('rc', error === undefined ? 0 : EINVAL, row.rc);
        // Stored as given, never in the printed form.
        if (row.stored !== undefined) check.same('stored', row.caps, row.stored);
      },
      row,
    );
  }
}

const EINVAL = -22;

const CASE_FIELDS = [
  ...['daemon', 'cap', 'parses', 'checks', 'canonical', 'allowAll', 'roundTrip', 'why', 'since'],
];
