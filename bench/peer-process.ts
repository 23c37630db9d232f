/**
 * A peer in a process of its own: those that are WebAssembly and call back into JavaScript can make
 * Node 20 crash in its compiler. Usage: peer-process cedar|biscuit; see bench/remote.ts.
 */

import { createInterface } from 'node:readline';
import { biscuitPeer } from './peer-biscuit.ts';
import { cedarPeer } from './peer-cedar.ts';

/** What a process can be asked for. */
export interface PeerProcess {
  readonly calls: Readonly<Record<string, (i: number) => unknown>>;
  /** Decisions compared, and how many of them are not as they should be. */
  compare(): { readonly compared: number; readonly wrong: number };
}

// Some say on the console that they are being loaded; answers alone may go there.
console.log = () => undefined;
const peer: PeerProcess = process.argv[2] === 'cedar' ? cedarPeer() : await biscuitPeer();
/** Where results go, so that they are not optimised away. */
export let sink: unknown;

for await (const line of createInterface({ input: process.stdin })) {
  const [command, name = '', from, calls] = line.split(' ');
  process.stdout.write(`${command === 'slice' ? slice(name, +from!, +calls!) : comparison()}\n`);
}

function comparison(): string {
  const { compared, wrong } = peer.compare();
  return `${compared} ${wrong}`;
}

function slice(name: string, from: number, calls: number): number {
  const run = peer.calls[name];
  if (run === undefined) return Number.NaN;
  const start = process.cpuUsage();
  for (let i = from; i < from + calls; i++) sink = run(i);
  const { user, system } = process.cpuUsage(start);
  return user + system;
}
