/** Packages of bench/peers, below the working directory, and processes of their own for some. */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { Remote } from './remote.ts';

export function installed(name: string): boolean {
  return existsSync(resolve('bench/peers/node_modules', name));
}

/** A package, as far as it can be required. */
export function load<T>(name: string): T {
  return createRequire(resolve('bench/peers/package.json'))(name);
}

/** Starts bench/peer-process.ts, in the runtime that runs this. */
export function startPeer(name: string): Remote {
  return new Remote(process.execPath, [...command(), name]);
}

function command(): string[] {
  const source = resolve('bench/peer-process.ts');
  if ('Deno' in globalThis) return ['run', '-A', source];
  if (process.versions.bun !== undefined) return [source];
  // Node 20 can crash when it inlines calls of modules that call back into JavaScript.
  const flags = ['--no-turbo-inline-js-wasm-calls', '--experimental-wasm-modules', '--no-warnings'];
  return [...flags, resolve('dist/bench/peer-process.js')];
}
