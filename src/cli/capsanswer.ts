/** What `cephgate caps check` and `explain` say: JSON, lines, or on a terminal a picture. */

import type { CapsExplanation, GrantExplanation } from '../caps/index.ts';
import type { CapsSource, CapsTicket } from './capssource.ts';
import type { Io } from './io.ts';
import { printable } from './request.ts';

/** Prints the answer to `source`; returns whether it is a yes. */
export function printAnswer(
  io: Io,
  source: CapsSource,
  answer: CapsExplanation | undefined,
  { detailed, json }: { readonly detailed: boolean; readonly json: boolean },
): boolean {
  const { entity, ticket } = source;
  const refused = ticket === undefined || ticket.reason === 'ok' ? undefined : ticket.reason;
  const byCaps = ticket?.allow_all === true || answer?.allowed === true;
  const decision = refused === undefined && byCaps;
  if (json) {
    const { grant = null, condition = null, missing = null, grants = [] } = answer ?? {};
    const reason = refused ?? (byCaps ? 'ok' : (answer?.reason ?? 'caps.none'));
    const head = { decision, reason, grant, condition, missing, entity, ticket };
    io.out(`${JSON.stringify(detailed ? { ...head, grants } : head, null, 2)}\n`);
    return decision;
  }
  const said = ticket?.allow_all === true ? 'yes: the ticket allows all' : sentence(answer);
  if (refused === undefined) io.out(`${said}\n`);
  else
    io.out(`no: ${refused}: the ticket is refused${ticket?.opened ? `; its caps: ${said}` : ''}\n`);
  if (!detailed) return decision;
  io.out(origin(source));
  if (answer === undefined) return decision;
  const text =
    typeof source.text === 'string' ? source.text : new TextDecoder().decode(source.text);
  io.out(io.terminal === true && fits(text) ? picture(text, answer) : list(answer));
  return decision;
}

function sentence(answer: CapsExplanation | undefined): string {
  if (answer === undefined) return 'no: caps.none';
  const { allowed, reason, grant, condition, missing } = answer;
  const at = grant === undefined ? '' : ` grant ${grant}`;
  const lacks = missing === undefined ? '' : `, no grant gives ${missing}`;
  const why =
    condition === undefined ? '' : `: nearest is${at}, which fails on ${condition}${lacks}`;
  return allowed ? `yes:${at === '' ? ' a mon always may' : at}` : `no: ${reason}${why}`;
}

/** Whose caps these are, where a keyring or a ticket says it. */
function origin({ service, text, entity, keyring, ticket }: CapsSource): string {
  if (entity === undefined) return '';
  const none = text === undefined && ticket?.allow_all !== true;
  const held = `${printable(entity)} has ${none ? 'no ' : ''}${service} caps`;
  if (ticket === undefined) return `${held} in "${printable(keyring ?? '')}"\n`;
  return `${held} in a ticket until ${ticket.expires}; ${proof(ticket)}\n`;
}

function proof({ proved, reason }: CapsTicket): string {
  if (proved) return 'its client answered the challenge';
  return reason === 'authorizer.challenge_mismatch'
    ? 'its client did not answer this challenge'
    : 'nothing is proved: no answer to a challenge was judged';
}

function list(answer: CapsExplanation): string {
  return answer.grants
    .map((each) => {
      const [from, to] = each.span;
      return `grant ${each.grant}  ${from}-${to}: ${printable(each.text)}: ${fate(each, answer)}\n`;
    })
    .join('');
}

/** The cap, and below it each grant underlined. */
function picture(text: string, answer: CapsExplanation): string {
  const cells = [...text].map(printable);
  const before = (end: number): number => cells.slice(0, end).join('').length;
  const width = before(cells.length);
  const lines = answer.grants.map((each) => {
    const [from, to] = each.span.map(before) as [number, number];
    const line = `${' '.repeat(from)}${'~'.repeat(Math.max(1, to - from))}`;
    return `  ${line.padEnd(width)}  grant ${each.grant}: ${fate(each, answer)}\n`;
  });
  return `  ${cells.join('')}\n${lines.join('')}`;
}

function fate({ grant, failed }: GrantExplanation, answer: CapsExplanation): string {
  if (failed === null) return 'allows';
  return !answer.allowed && grant === answer.grant ? `${failed} (nearest)` : failed;
}

/** Longer ones would wrap, and a line for each grant of a large cap would be without end. */
function fits(text: string): boolean {
  return text.length <= PICTURE_TEXT_MAX;
}

const PICTURE_TEXT_MAX = 160;
