/** Problem documents of the admin listener, with Ceph's errno and words where they exist. */

import type { CommandReply } from '../auth/commands.ts';

/** Status by code; beside these the codes of problem.ts are answered. */
const STATUS = {
  'command.invalid': [400, 'Bad Request'],
  'signature.invalid': [401, 'Unauthorized'],
  'caps.refused': [403, 'Forbidden'],
  'key.in_clear': [403, 'Forbidden'],
  'entity.unknown': [404, 'Not Found'],
  'revocation.unknown': [404, 'Not Found'],
  'command.refused': [409, 'Conflict'],
  'revocation.refused': [409, 'Conflict'],
  'secrets.not_ours': [409, 'Conflict'],
  'store.stale': [503, 'Service Unavailable'],
  'store.unavailable': [503, 'Service Unavailable'],
  'watch.full': [503, 'Service Unavailable'],
} as const;

export type AdminProblemCode = keyof typeof STATUS;

/** Thrown by a route of the admin app. */
export class AdminProblem extends Error {
  readonly code: AdminProblemCode;
  readonly reply: CommandReply | undefined;

  constructor(code: AdminProblemCode, detail: string, reply?: CommandReply) {
    super(detail);
    this.name = 'AdminProblem';
    this.code = code;
    this.reply = reply;
  }

  /** The problem of a command that failed. */
  static of(reply: CommandReply): AdminProblem {
    const code: keyof typeof DETAILS = CODES[-reply.retcode] ?? 'command.invalid';
    return new AdminProblem(code, DETAILS[code], reply);
  }

  toResponse(): Response {
    const [status, title] = STATUS[this.code];
    const { code, message: detail, reply } = this;
    const ceph = reply && { errno: reply.retcode, ceph_message: reply.status };
    const document = { type: 'about:blank', title, status, code, detail, ...ceph };
    const headers = { 'content-type': 'application/problem+json' };
    return new Response(JSON.stringify(document), { status, headers });
  }
}

/** What a command that failed was told in words of Ceph, which are in the document too. */
const DETAILS = {
  'command.invalid': 'the command is not valid',
  'entity.unknown': 'there is no such entity',
  'command.refused': 'the command was refused',
  'caps.refused': 'the mon caps of the caller do not allow this',
} as const;
const CODES: Readonly<Record<number, keyof typeof DETAILS>> = {
  1: 'command.refused',
  2: 'entity.unknown',
  13: 'caps.refused',
  17: 'command.refused',
};
