/** Grants as policies of Cedar, in its WebAssembly build. */

import { capsOf, MATCH_OP, type Op } from './items.ts';
import { actionsOf, type Decider } from './peer-json.ts';
import { load } from './peer-load.ts';
import { operations, PEER } from './peer-operations.ts';
import type { PeerProcess } from './peer-process.ts';
import { decide, type Grant, parseCaps } from './rival-caps.ts';

export const CEDAR = '@cedar-policy/cedar-wasm';

/** Deciders over as many grants as the warm check, compared with caps by hand. */
export function cedarPeer(grantCount = 3): PeerProcess {
  const cedar = load<Cedar>(`${CEDAR}/nodejs`);
  const grants = parseCaps(capsOf(grantCount)) ?? [];
  const preparsed = cedarDecider(cedar, grants);
  const parsing = cedarParsing(cedar, grants);
  return {
    calls: { preparsed: () => preparsed(MATCH_OP), parsing: () => parsing(MATCH_OP) },
    compare() {
      const ops = operations(grants);
      const wrong = [preparsed, parsing].flatMap((decider) =>
        ops.filter((op) => decider(op) !== decide(grants, op, PEER)),
      );
      return { compared: 2 * ops.length, wrong: wrong.length };
    },
  };
}

interface Uid {
  readonly type: string;
  readonly id: string;
}

interface CedarCall {
  readonly principal: Uid;
  readonly action: Uid;
  readonly resource: Uid;
  readonly context: Readonly<Record<string, string>>;
  readonly entities: readonly never[];
}

interface CedarAnswer {
  readonly type: 'success' | 'failure';
  readonly response?: { readonly decision: 'allow' | 'deny' };
}

/** What is used of the package. */
interface Cedar {
  preparsePolicySet(id: string, policies: { staticPolicies: string }): { readonly type: string };
  statefulIsAuthorized(call: CedarCall & { preparsedPolicySetId: string }): CedarAnswer;
  isAuthorized(call: CedarCall & { policies: { staticPolicies: string } }): CedarAnswer;
}

/** Policies that Cedar has parsed before, its fastest way. */
function cedarDecider(cedar: Cedar, grants: readonly Grant[]): Decider {
  const id = 'caps';
  const { type } = cedar.preparsePolicySet(id, { staticPolicies: policiesOf(grants) });
  if (type !== 'success') throw new Error('Cannot measure cedar-wasm: it refuses the policies');
  return (op) => allowed(cedar.statefulIsAuthorized({ ...callOf(op), preparsedPolicySetId: id }));
}

function cedarParsing(cedar: Cedar, grants: readonly Grant[]): Decider {
  const policies = { staticPolicies: policiesOf(grants) };
  return (op) => allowed(cedar.isAuthorized({ ...callOf(op), policies }));
}

function allowed(answer: CedarAnswer): boolean {
  if (answer.response === undefined) throw new Error('Cannot measure cedar-wasm: it cannot decide');
  return answer.response.decision === 'allow';
}

function callOf({ pool, namespace, object, read, write }: Op): CedarCall {
  const action = read ? (write ? 'readwrite' : 'read') : 'write';
  return {
    principal: { type: 'Entity', id: 'client.x' },
    action: { type: 'Action', id: action },
    resource: { type: 'Object', id: object },
    context: { pool, namespace, object },
    entities: [],
  };
}

function policiesOf(grants: readonly Grant[]): string {
  return grants
    .map((grant) => {
      const names = [...actionsOf(grant), ...(grant.read && grant.write ? ['readwrite'] : [])];
      const actions = names.map((name) => `Action::"${name}"`).join(', ');
      const conditions = [
        ...(grant.pool === undefined ? [] : [`context.pool == ${JSON.stringify(grant.pool)}`]),
        ...(grant.namespace === undefined
          ? []
          : [`context.namespace == ${JSON.stringify(grant.namespace)}`]),
        ...(grant.prefix === undefined
          ? []
          : [`context.object like ${JSON.stringify(`${grant.prefix}*`)}`]),
      ];
      const when = conditions.length === 0 ? '' : ` when { ${conditions.join(' && ')} }`;
      return `permit(principal, action in [${actions}], resource)${when};`;
    })
    .join('\n');
}
