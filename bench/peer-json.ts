/** Grants as a policy in JSON, as it is often written by hand. */

import type { Op } from './items.ts';
import type { Grant } from './rival-caps.ts';

export type Decider = (op: Op) => boolean;

interface Statement {
  readonly effect: 'allow' | 'deny';
  readonly actions: readonly string[];
  /** `POOL/NAMESPACE/OBJECT`, with `*` for any text. */
  readonly resources: readonly string[];
}

/** Read once; then each statement is looked at, and one that denies wins. */
export function jsonDecider(grants: readonly Grant[]): Decider {
  const written = JSON.stringify({ statements: grants.map(statementOf) });
  const read = JSON.parse(written) as { statements: readonly Statement[] };
  const statements = read.statements.map((each) => ({
    ...each,
    resources: each.resources.map((pattern) => pattern.split('*')),
  }));
  return (op) => {
    const resource = `${op.pool}/${op.namespace}/${op.object}`;
    const actions = actionsOf(op);
    let allowed = false;
    for (const { effect, actions: given, resources } of statements) {
      if (!actions.every((action) => given.includes(action))) continue;
      if (!resources.some((pattern) => globMatches(pattern, resource))) continue;
      if (effect === 'deny') return false;
      allowed = true;
    }
    return allowed;
  };
}

function statementOf(grant: Grant): Statement {
  const resource = `${grant.pool ?? '*'}/${grant.namespace ?? '*'}/${grant.prefix ?? ''}*`;
  return { effect: 'allow', actions: actionsOf(grant), resources: [resource] };
}

export function actionsOf({
  read,
  write,
}: {
  readonly read: boolean;
  readonly write: boolean;
}): string[] {
  return [...(read ? ['read'] : []), ...(write ? ['write'] : [])];
}

/** @param parts what stands between the `*` of a pattern */
function globMatches(parts: readonly string[], text: string): boolean {
  const head = parts[0] as string;
  const tail = parts[parts.length - 1] as string;
  if (parts.length === 1) return text === head;
  if (!text.startsWith(head)) return false;
  let at = head.length;
  for (let i = 1; i < parts.length - 1; i++) {
    const found = text.indexOf(parts[i] as string, at);
    if (found < 0) return false;
    at = found + (parts[i] as string).length;
  }
  return text.length - at >= tail.length && text.endsWith(tail);
}
