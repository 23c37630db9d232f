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
process.exitCode = await cephgate(argv, processIo);
// Deno waits for the connections of a server that is closed, however long their clients wait.
if ('Deno' in globalThis && argv[0] === 'serve') process.exit();
