/**
 * How a sidecar should keep memory, for the unit and for workers: read from the environment when
 * a process starts. Node takes up to 64 KiB of new memory for each piece of a body.
 *
 * By default malloc gives such memory back at once, and its pages are had anew from the kernel for
 * each request; and V8, which frees it when it clears its space of new objects, looks through all
 * of the heap before that space is full. Each is a quarter of what a body of 350 kB costs.
 */

/**
 * For glibc's malloc (mallopt(3)), in bytes: free memory that is kept, what is mapped apart, what
 * is taken ahead. Other C libraries ignore this.
 */
export const MALLOC_ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_TRIM_THRESHOLD_: `${64 * 2 ** 20}`,
  MALLOC_MMAP_THRESHOLD_: `${4 * 2 ** 20}`,
  MALLOC_TOP_PAD_: `${2 ** 20}`,
};

/** For Node: a space of new objects of 8 MiB, half of the default, is cleared early enough. */
export const NODE_OPTIONS = '--max-semi-space-size=8';

/** An environment with both; what it sets itself holds. */
export function withMemory(env: Readonly<NodeJS.ProcessEnv>): NodeJS.ProcessEnv {
  // Of two settings of the same option Node takes the last one.
  const options = [NODE_OPTIONS, env.NODE_OPTIONS].filter(Boolean).join(' ');
  return { ...MALLOC_ENVIRONMENT, ...env, NODE_OPTIONS: options };
}
