/** The core and its typed host. No Node API. */

export { CHECK_NAMES, type CheckName, REASON_CODES, type ReasonCode } from './codes.ts';
export { Engine, GENERAL_SECRET_ID } from './engine.ts';
export { DEFAULT_POLICY } from './host.ts';
export { RecordTooLarge, RecordWriter } from './records.ts';
export type * from './types.ts';
export { type GrantDetail, Verdict, type VerdictSecrets } from './verdict.ts';
export type { RevokeOp, RevokeSubject, SealForm } from './work.ts';
