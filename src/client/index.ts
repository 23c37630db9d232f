/**
 * Clients: of cephx, anywhere, and of the sidecar's frames socket, on Node, Deno and Bun.
 */

export * from '../cephx/client.ts';
export type { Address, ClassCall, MdsOp, OsdOp, ServiceId } from '../engine/types.ts';
export {
  type DecideQuestion,
  FramesClient,
  type FramesClientOptions,
  FramesError,
} from './client.ts';
export { type CheckQuestion, FrameVerdict, SESSION_BEFORE, type VerifyQuestion } from './frames.ts';
