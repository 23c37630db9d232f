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
process.exitCode = await cephgate(process.argv.slice(2), processIo);
