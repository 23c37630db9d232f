#!/usr/bin/env node
/** The executable. */

import process from 'node:process';
import { takeSigusr1 } from './hardening.ts';

takeSigusr1();
// Only now the rest, which takes its time to load: a debugger would be open until then.
const [{ cephgate }, { processIo }] = await Promise.all([
  import('./cephgate.ts'),
  import('./io.ts'),
]);
const argv = process.argv.slice(2);
// Who reads may have enough, as `head` has: the command goes on, and its exit code stays its own.
process.stdout.on('error', (error: Error & { code?: string }) => {
  if (error.code !== 'EPIPE') throw error;
});
process.exitCode = await cephgate(argv, processIo);
// Deno waits for the connections of a server that is closed, however long their clients wait.
if ('Deno' in globalThis && argv[0] === 'serve') process.exit();
