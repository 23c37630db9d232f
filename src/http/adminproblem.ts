/** Problem documents of the admin listener, with Ceph's errno and words where they exist. */

import type { CommandReply } from '../auth/commands.ts';

/** Status by code; beside these the codes of problem.ts are answered. */
const STATUS = {
  'command.invalid': [400, 'Bad Request'],
  'entity.unknown': [404, 'Not Found'],
  'command.refused': [409, 'Conflict'],
  'store.unavailable': [503, 'Service Unavailable'],
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
    const code = CODES[-reply.retcode] ?? 'command.invalid';
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

const CODES: Readonly<Record<number, AdminProblemCode>> = {
  1: 'command.refused',
  2: 'entity.unknown',
  17: 'command.refused',
};
const DETAILS: Readonly<Record<AdminProblemCode, string>> = {
  'command.invalid': 'the command is not valid',
  'entity.unknown': 'there is no such entity',
  'command.refused': 'the command was refused',
  'store.unavailable': 'the store does not answer',
};
