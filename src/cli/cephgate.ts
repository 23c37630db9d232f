/**
 * argv -> command -> exit code: 0 yes, 1 no, 2 wrong usage, 3 trouble.
 */

import { ABI_VERSION } from '../../assembly/abi.ts';
import { CephgateError, ConfigError } from '../errors.ts';
import { VERSION } from '../http/operations.ts';
import { authCommand, cephCommand } from './auth.ts';
import { authtoolCommand } from './authtool.ts';
import { capsCommand } from './caps.ts';
import { cephStatusCommand } from './ceph.ts';
import { checkCommand } from './check.ts';
import { clientCommand } from './client.ts';
import { configCommand } from './config.ts';
import { healthCommand } from './health.ts';
import { EXIT_TROUBLE, EXIT_USAGE, EXIT_YES, type Io } from './io.ts';
import { keysCommand } from './keys.ts';
import { parseFlags, refuseWords } from './options.ts';
import { secretsCommand } from './secrets.ts';
import { serveCommand } from './serve.ts';
import { storeCommand } from './store.ts';
import { systemdCommand } from './systemd.ts';
import { verifyCommand } from './verify.ts';

type Command = (argv: readonly string[], io: Io) => Promise<number>;

/** Runs one command line, without the name of the program. */
export async function cephgate(argv: readonly string[], io: Io): Promise<number> {
  const [name = 'help', ...rest] = argv;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name]! : undefined;
  if (command === undefined) {
    io.err(`cephgate: unknown command "${name}": see "cephgate help"\n`);
    return EXIT_USAGE;
  }
  try {
    const code = await command.run(rest, io);
    return argv.length === 0 ? EXIT_USAGE : code;
  } catch (error) {
    if (!(error instanceof CephgateError)) throw error;
    io.err(`cephgate ${name}: ${error.message}\n`);
    return error instanceof ConfigError ? EXIT_USAGE : EXIT_TROUBLE;
  }
}

async function help(argv: readonly string[], io: Io): Promise<number> {
  const [name] = argv;
  if (name !== undefined && Object.hasOwn(COMMANDS, name) && name !== 'help') {
    return COMMANDS[name]!.run(['--help'], io);
  }
  if (name !== undefined && !['help', '--help', '-h'].includes(name)) {
    throw new ConfigError('config.unknown', `unknown command "${name}"`);
  }
  const width = Math.max(...Object.keys(SUMMARIES).map((each) => each.length));
  const list = Object.entries(SUMMARIES).map(
    ([each, text]) => `  ${each.padEnd(width)}  ${text}\n`,
  );
  io.out(
    `usage: cephgate COMMAND [FLAGS]\n\n${list.join('')}\n"cephgate COMMAND --help" says more.\n`,
  );
  return EXIT_YES;
}

async function version(argv: readonly string[], io: Io): Promise<number> {
  const flags = parseFlags(argv, [{ name: 'json', help: 'print JSON' }]);
  refuseWords(flags);
  if (flags.help) io.out('usage: cephgate version [--json]\n');
  else if (flags.values.has('json')) {
    io.out(`${JSON.stringify({ version: VERSION, abi: ABI_VERSION })}\n`);
  } else io.out(`cephgate ${VERSION}, ABI of the core ${ABI_VERSION}\n`);
  return EXIT_YES;
}

const SUMMARIES: Readonly<Record<string, string>> = {
  serve: 'runs the sidecar',
  verify: 'who is the client of an authorizer? (--offline: without a sidecar)',
  check: 'may the subject do an operation?',
  client: 'logs in over cephx: prints an authorizer, or the tickets it got',
  caps: 'parses a cap, asks it, explains it, or runs a file of cases',
  auth: 'ceph auth, argument for argument: users and their keys and caps',
  authtool: 'ceph-authtool, argument for argument',
  ceph: 'ceph, argument for argument, as far as it is about users; and "ceph status"',
  keys: 'shows the keys of a user and when each was used; rotates them',
  health: 'shows the health codes',
  store: 'moves a store, compares two, makes the key that seals one in etcd',
  secrets: 'fetches the rotating secrets of a real cluster',
  config: 'shows the settings and where they came from',
  systemd: 'prints a unit for systemd',
  version: 'prints the version',
  help: 'prints this, or the help of a command',
};

const COMMANDS: Readonly<Record<string, { readonly run: Command }>> = {
  serve: { run: serveCommand },
  verify: { run: verifyCommand },
  check: { run: checkCommand },
  client: { run: clientCommand },
  caps: { run: capsCommand },
  auth: { run: (argv, io) => authCommand(argv, io) },
  authtool: { run: authtoolCommand },
  // What is ours and not Ceph's stands before it: `ceph status` shows what we see of a cluster.
  ceph: {
    run: (argv, io) => (argv[0] === 'status' ? cephStatusCommand : cephCommand)(argv, io),
  },
  keys: { run: keysCommand },
  health: { run: healthCommand },
  store: { run: storeCommand },
  secrets: { run: secretsCommand },
  config: { run: configCommand },
  systemd: { run: systemdCommand },
  version: { run: version },
  '--version': { run: version },
  help: { run: help },
  '--help': { run: help },
  '-h': { run: help },
};
