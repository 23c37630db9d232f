/**
 * The long forms of tests: `npm run long -- NAME`. Each is a suite of `npm test` that is told to
 * do more.
 */

import { spawnSync } from 'node:child_process';

interface LongForm {
  /** A file for vitest; or a module of the build with its arguments. */
  readonly suite: string;
  readonly args?: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly about: string;
}

const FORMS: Readonly<Record<string, LongForm>> = {
  fuzz: {
    suite: 'test/fuzz.test.ts',
    env: { FUZZ_CASES: '1000000' },
    about: '10^6 authorizers through each build, beside the twin',
  },
  dudect: {
    suite: 'test/dudect.test.ts',
    env: { DUDECT_SECONDS: '1200' },
    about: '20 minutes of timing, |t| < 4.5',
  },
  oracle: {
    suite: 'test/http-oracle.test.ts',
    env: { ORACLE_CASES: '1000000' },
    about: '10^6 altered tickets under each policy: one answer over HTTP',
  },
  caps: {
    suite: 'test/caps-pairs.test.ts',
    env: { CAPS_PAIRS: '1000000' },
    about: '10^6 caps and requests of each language, beside the twins',
  },
  tickets: {
    suite: 'test/auth-issue-time.test.ts',
    env: { ISSUE_CLIENTS: '10000' },
    about: '9 simulated days of 10^4 clients that renew, with every boundary and clocks apart',
  },
  crash: {
    suite: 'test/auth-crash.test.ts',
    env: { CRASH_ROUNDS: '100' },
    about: '100 times kill -9 of a sidecar under writers and readers',
  },
  chaos: {
    suite: 'test/chaos.test.ts',
    env: { CHAOS_SECONDS: '600' },
    about: '10 minutes of faults of etcd and instances under 50 clients',
  },
  'etcd-users': {
    suite: 'test/etcd-scale.test.ts',
    env: { ETCD_USERS: '1000000' },
    about: '10^6 users on etcd: one instance measured, the traffic of 1,000 computed',
  },
  etcd: {
    suite: 'test/etcd-figures.test.ts',
    env: { ETCD_ROUNDS: '5' },
    about: 'verifying, writing, watching, revoking and recovering on etcd, measured',
  },
  soak: {
    suite: 'test/http-soak.test.ts',
    env: { SOAK_SECONDS: '1800' },
    about: '30 minutes of mixed load on a sidecar, then abuse of eight kinds',
  },
  users: {
    suite: 'test/auth-scale.test.ts',
    env: { USERS: '1000000' },
    about: '10^6 users: imported, listed, served after a restart',
  },
  bench: {
    suite: 'dist/bench/main.js',
    args: ['--runtimes', '--out', 'bench/results'],
    env: {},
    about: 'every row of the benchmark on Node, Deno and Bun; writes bench/results',
  },
  cluster: {
    suite: 'test/mon-faults-live.test.ts',
    env: { CLUSTER_RUN_MS: '600000', REQUIRE_SERVICES: '1' },
    about: '10 minutes of secrets that live 6 s beside a real cluster, then its faults',
  },
};

function main(): number {
  const [name = ''] = process.argv.slice(2);
  const form = Object.hasOwn(FORMS, name) ? FORMS[name] : undefined;
  if (form === undefined) {
    console.error('usage: npm run long -- NAME, with NAME one of');
    for (const [each, { about }] of Object.entries(FORMS)) console.error(`  ${each}: ${about}`);
    return 2;
  }
  console.log(`${name}: ${form.about}; ${new Date().toISOString()}`);
  const [command, args] =
    form.args === undefined
      ? ['npx', ['vitest', 'run', form.suite, '--testTimeout=14400000']]
      : [process.execPath, [form.suite, ...form.args]];
  const env = { ...process.env, ...form.env };
  const done = spawnSync(command, args, { stdio: 'inherit', env });
  return done.status ?? 1;
}

process.exitCode = main();
