#!/usr/bin/env node
/** The executable. */

import process from 'node:process';
import { cephgate } from './cephgate.ts';
import { processIo } from './io.ts';

process.exitCode = await cephgate(process.argv.slice(2), processIo);
