/**
 * Recorded runs of Ceph's own tools: arrays of cases with an `argv` (authtool-golden.json,
 * auth-golden.json). Each is run through the command line of the package, in a folder of its own.
 * All are 16.2.15, but those whose `env` names another release: these are hand-made
 * (auth-release20.json).
 */

import type { Io } from '../../src/cli/io.ts';
import { compareOutcome, type Outcome, replay, type TranscriptCase } from '../transcript.ts';
import { type CephCase, MAP, replayCeph } from './cephtranscripts.ts';
import type { Check, Report } from './report.ts';
import type { Rig } from './rig.ts';

export async function runTranscripts(
  rig: Rig,
  report: Report,
  cases: readonly TranscriptCase[],
): Promise<void> {
  // Loaded here: other files need no command line.
  const { cephgate } = await import('../../src/cli/cephgate.ts');
  rig.used.add(BY_CLI);
  for (const each of cases) {
    const { id, argv } = each;
    const fields = { ...each, program: argv?.[0] };
    if (!report.wants(fields)) {
      report.skip();
      continue;
    }
    const outcome = await attempt(() => runOne(each, cephgate));
    report.case(
      id,
      fields,
      (check) => {
        if (outcome instanceof Error) throw outcome;
        compare(check, each, outcome);
      },
      each,
    );
  }
}

type Command = (argv: readonly string[], io: Io) => Promise<number>;

interface Run {
  /** With what is not among the recorded files as one of them. */
  readonly expected: TranscriptCase;
  readonly outcome: Outcome;
}

async function runOne(each: TranscriptCase, cephgate: Command): Promise<Run> {
  const [program] = each.argv;
  if (program === 'ceph') return replayCeph(each as CephCase, AS_RECORDED, cephgate);
  const command = COMMANDS[program ?? ''];
  if (command === undefined) throw new Error(`there is no command for "${program}"`);
  const run = (argv: readonly string[], io: Io) => cephgate([command, ...argv], io);
  return { expected: each, outcome: await replay(each, AS_RECORDED, run) };
}

async function attempt(run: () => Promise<Run>): Promise<Run | Error> {
  try {
    return await run();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Each value under its path in the record. */
function compare(check: Check, each: TranscriptCase, { expected, outcome }: Run): void {
  const unknown = Object.keys(each).find((name) => !FIELDS.includes(name));
  if (unknown !== undefined) throw new Error(`the field "${unknown}" is not understood`);
  const { failures } = compareOutcome(expected, outcome);
  const names = Object.keys(each.files_after);
  const values: [path: string, what: string][] = [
    ...['exit', 'stdout', 'stderr', 'files'].map((name): [string, string] => [name, name]),
    ...names.map((name): [string, string] => [`files_after/${name}`, name]),
    ...names.map((name): [string, string] => [`modes_after/${name}`, `mode of ${name}`]),
    ...('db_after' in each ? [['db_after', MAP] as [string, string]] : []),
    ...Object.keys(each.generated ?? {}).map((name): [string, string] => [name, name]),
  ];
  for (const [path, what] of values) {
    const failure = failures.find((line) => line.startsWith(`${what}: `));
    check.same(path, failure, undefined);
  }
}

const BY_CLI = 'src/cli';

const COMMANDS: Readonly<Record<string, string>> = { 'ceph-authtool': 'authtool' };

/** No guard rails and the texts of then. */
const AS_RECORDED = { CEPHGATE_RELEASE: '16', CEPHGATE_GUARD: 'off' };

const FIELDS = [
  ...['id', 'argv', 'stdin', 'env', 'files_before', 'modes_before', 'stdout', 'stderr', 'exit'],
  ...['files_after', 'modes_after', 'generated', 'note'],
  ...['conf', 'db_before', 'db_after', 'db_changed', 'db_after_next_auth_change'],
  ...['stderr_loose', 'stderr_note'],
];
