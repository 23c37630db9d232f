#!/usr/bin/env node
/** The executable. */

import process from 'node:process';
import { takeSigusr1 } from './hardening.ts';

takeSigusr1();
// Only now the rest, which takes its time to load: a debugger would be open until then.
const [{ cephgate }, { EXIT_TROUBLE, processIo }] = await Promise.all([
  import('./cephgate.ts'),
  import('./io.ts'),
]);
const argv = process.argv.slice(2);
// The command goes on whatever becomes of its output, so that nothing is left half done. Who reads
// may have enough, as `head` has: then the exit code stays its own.
let lost = false;
process.stdout.on('error', (error: Error & { code?: string }) => {
  if (lost || error.code === 'EPIPE') return;
  lost = true;
  processIo.err(`cephgate: cannot write to standard output: ${error.message}\n`);
  process.exitCode = EXIT_TROUBLE;
});
const code = await cephgate(argv, processIo);
process.exitCode = lost ? EXIT_TROUBLE : code;
// Deno waits for the connections of a server that is closed, however long their clients wait.
if ('Deno' in globalThis && argv[0] === 'serve') process.exit();
