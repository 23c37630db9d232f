/** The client of the frames socket. Node, Deno, Bun. */

export type { Address, ClassCall, MdsOp, OsdOp, ServiceId } from '../engine/types.ts';
export {
  type DecideQuestion,
  FramesClient,
  type FramesClientOptions,
  FramesError,
} from './client.ts';
export { type CheckQuestion, FrameVerdict, SESSION_BEFORE, type VerifyQuestion } from './frames.ts';
