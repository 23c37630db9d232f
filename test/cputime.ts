/** Time of the processor, for claims about work: the wall clock counts what runs beside, too. */

import process from 'node:process';

/**
 * Milliseconds that this process computed for `work`, all its threads together. The kernel's share
 * is left out: it is memory handed out, and grows when the machine is busy.
 */
export function cpuMs(work: () => void): number {
  const began = process.cpuUsage();
  work();
  return spentMs(began);
}

/** The same for work that awaits. */
export async function cpuMsOf(work: () => Promise<void>): Promise<number> {
  const began = process.cpuUsage();
  await work();
  return spentMs(began);
}

function spentMs(began: NodeJS.CpuUsage): number {
  return process.cpuUsage(began).user / 1000;
}
