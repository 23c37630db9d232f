/** Which runner a file is for, by its `format` or its shape. */

import type { LabFile } from '../lab.ts';
import type { SessionFile } from '../mon-vectors.ts';
import type { TranscriptCase } from '../transcript.ts';
import { type AcceptFile, type CapCase, runAccept, runCapCases } from './caps.ts';
import { runVectors, type VectorFile } from './crypto.ts';
import {
  type MdsFile,
  type NetworkFile,
  type OsdFile,
  runMdsEnforcement,
  runNetwork,
  runOsdEnforcement,
} from './enforcement.ts';
import { type MonTranscript, runMonTranscript } from './montranscript.ts';
import { runMsgr2 } from './msgr2.ts';
import { type CasesFile, type ObservedFile, runCases, runObserved } from './observed.ts';
import type { Report } from './report.ts';
import type { Rig } from './rig.ts';
import { runSessions } from './sessions.ts';
import { runSynthetic, type SyntheticFile } from './synthetic.ts';
import { runTranscripts } from './transcripts.ts';

/** Runs all cases of a parsed file. A file that is not understood is one failing case. */
export async function runFile(rig: Rig, report: Report, file: unknown): Promise<void> {
  rig.used.clear();
  const format = Array.isArray(file) ? arrayFormat(file) : formatOf(file);
  const runner = RUNNERS[format];
  await report.guard('file', async () => {
    if (runner === undefined) throw new Error(`the format "${format}" is not supported`);
    await runner(rig, report, file as never);
    if (report.cases === 0) throw new Error('the file has no cases');
  });
  for (const by of rig.used) report.by.add(by);
}

function formatOf(file: unknown): string {
  const { format } = (file ?? {}) as { format?: unknown };
  return typeof format === 'string' ? format : 'none';
}

/** Arrays have no `format`: cases of caps say their `daemon`, runs of a program its `argv`. */
function arrayFormat(file: readonly unknown[]): string {
  const some = (name: string): boolean =>
    file.some((each) => typeof each === 'object' && each !== null && name in each);
  if (some('daemon')) return 'cap cases';
  return some('argv') ? 'transcripts' : 'array';
}

type Runner = (rig: Rig, report: Report, file: never) => void | Promise<void>;

const RUNNERS: Readonly<Record<string, Runner>> = {
  'crypto-vectors/1': (rig, report, file: VectorFile) => runVectors(rig, report, file),
  'cephx-synthetic/1': (rig, report, file: SyntheticFile) => runSynthetic(rig, report, file),
  'cephx-observed/1': (rig, report, file: ObservedFile) => runObserved(rig, report, file),
  'authorizer-cases/1': (rig, report, file: CasesFile) => runCases(rig, report, file),
  'cephx-lab-vectors/1': (rig, report, file: LabFile) => runSessions(rig, report, file),
  'cap cases': (rig, report, file: readonly CapCase[]) => runCapCases(rig, report, file),
  transcripts: (rig, report, file: readonly TranscriptCase[]) => runTranscripts(rig, report, file),
  'auth-commands/1': (rig, report, file: MonTranscript) => runMonTranscript(rig, report, file),
  'caps-accept/1': (rig, report, file: AcceptFile) => runAccept(rig, report, file),
  'network-match/1': (rig, report, file: NetworkFile) => runNetwork(rig, report, file),
  'osd-enforcement/1': (rig, report, file: OsdFile) => runOsdEnforcement(rig, report, file),
  'msgr2-session/1': (rig, report, file: SessionFile) => runMsgr2(rig, report, file),
  'mds-enforcement/1': (rig, report, file: MdsFile) => runMdsEnforcement(rig, report, file),
};
