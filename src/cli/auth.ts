/**
 * `cephgate auth` and `cephgate ceph`: argument for argument `ceph auth` and `ceph` (Ceph:
 * ceph.in), on a store or through the admin socket of a sidecar. Which Ceph is imitated,
 * CEPHGATE_RELEASE and CEPHGATE_GUARD say.
 */

import { join } from 'node:path';
import process from 'node:process';
import type { CommandReply, CommandRequest } from '../auth/commands.ts';
import { VERSION } from '../http/operations.ts';
import { CephExit } from '../keyring/cephargs.ts';
import { type Backend, openBackend } from './authbackend.ts';
import { CommandOutput, readInput } from './authfiles.ts';
import { cephCommands } from './cephcommands.ts';
import { type CephLine, readCephLine } from './cephline.ts';
import { understand } from './cephwords.ts';
import type { Io } from './io.ts';
import { type LikeCeph, likeCeph } from './likeceph.ts';
import { withProgress } from './progress.ts';

export type OpenBackend = typeof openBackend;

/** `cephgate auth ARGS` is `ceph auth ARGS`. The exit code is that of `ceph`. */
export function authCommand(
  argv: readonly string[],
  io: Io,
  open: OpenBackend = openBackend,
): Promise<number> {
  return cephCommand(['auth', ...argv], io, open, AUTH_HELP);
}

/** `cephgate ceph ARGS` is `ceph ARGS`, as far as the commands on entities go. */
export async function cephCommand(
  argv: readonly string[],
  io: Io,
  open: OpenBackend = openBackend,
  help: string = CEPH_HELP,
): Promise<number> {
  try {
    const like = likeCeph(io.env);
    const line = readCephLine(argv, io.env.CEPH_ARGS);
    if (line.version) io.out(`cephgate ${VERSION}, as ceph of Ceph ${like.release}\n`);
    else if (line.help) io.out(help);
    else return await run(line, like, io, open);
    return 0;
  } catch (error) {
    if (!(error instanceof CephExit)) throw error;
    io.out(error.stdout);
    io.err(error.stderr);
    return error.exitCode;
  }
}

/** Login, files, words, command: in this order, which is the real program's. */
async function run(line: CephLine, like: LikeCeph, io: Io, open: OpenBackend): Promise<number> {
  const backend = await open(line, like, io);
  try {
    const pathOf = (name: string): string =>
      name.startsWith('/') ? name : join(io.cwd ?? process.cwd(), name);
    const inbuf = await readInput(line.inFile, pathOf, io);
    const careful = like.guard && !line.force;
    const output = new CommandOutput(line, pathOf, io, careful);
    try {
      return output.finish(await answer(line, like, io, backend, inbuf));
    } finally {
      output.close();
      inbuf.fill(0);
    }
  } finally {
    await backend.close();
  }
}

async function answer(
  line: CephLine,
  like: LikeCeph,
  io: Io,
  backend: Backend,
  inbuf: Uint8Array,
): Promise<CommandReply> {
  const understood = understand(line.words, backend.commands ?? cephCommands(like.release));
  if ('complaint' in understood) {
    io.err(understood.complaint);
    return { retcode: -EINVAL, status: 'invalid command', output: '' };
  }
  const { prefix, args } = understood;
  const format = line.format === undefined ? {} : { format: line.format };
  const request: CommandRequest = {
    prefix,
    args: { ...args, ...format },
    inbuf,
    force: line.force,
  };
  // While a sidecar works, nothing is known but the time.
  return await withProgress(io, prefix, (tell) => backend.run(request, tell));
}

const EINVAL = 22;

const OPTIONS_HELP = `
  -i FILE, -o FILE          input, output; - is standard input, output
  -f FORMAT                 json, json-pretty, xml, xml-pretty, plain
  -n TYPE.ID, --id ID       who calls, default client.admin
  -k FILES, --key K, -K F   the caller's keyring files, key, key file
  -c FILE                   ceph.conf
  --cluster NAME, -m LIST   a real cluster, by its name (as "ceph") or monitors
  --store ADDRESS           the store itself: sqlite:PATH (CEPHGATE_STORE), or
                            etcd:https://HOST:PORT,... with --store-ca FILE,
                            --store-login FILE, --store-prefix PREFIX, and
                            --store-key FILE or --store-plaintext
  --admin unix:PATH|URL     the admin socket of a sidecar, default
                            data/admin.sock (CEPHGATE_ADMIN_LISTEN), or its
                            admin listener on TCP, with a login at CEPHGATE_URL
  --yes-i-really-mean-it    past the guard rails

CEPHGATE_RELEASE (16 or 20, default 20) and CEPHGATE_GUARD (on or off, default
on) say how closely which Ceph is imitated.
`;

const CEPH_HELP = `usage: cephgate ceph [OPTIONS] auth COMMAND [ARGUMENTS]
       cephgate ceph [OPTIONS] fs authorize FS ENTITY PATH FLAGS...

As the program of that name, for commands on entities.
${OPTIONS_HELP}`;

const AUTH_HELP = `usage: cephgate auth [OPTIONS] COMMAND [ARGUMENTS]

As "ceph auth": ls, get, get-key, export, add, get-or-create,
get-or-create-key, caps, rm, import; since release 20 also rotate,
get-or-create-pending, commit-pending, clear-pending, dump-keys,
wipe-rotating-service-keys.
${OPTIONS_HELP}`;
