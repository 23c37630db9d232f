/** The core and its typed host, and the error classes. No Node API. */

export * from './engine/index.ts';
export * from './errors.ts';
