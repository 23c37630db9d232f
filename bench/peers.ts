/**
 * Decision engines of others beside a warm check of ours: Cedar's WebAssembly build and a policy in
 * JSON as it is often written by hand. They decide the same operations by the same grants.
 */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import type { Engine } from '../src/engine/index.ts';
import { HOST } from './contenders.ts';
import type { Ratio } from './goals.ts';
import { capsOf, MATCH_OP, type Op, SERVICE } from './items.ts';
import { type Measured, ratio } from './measure.ts';
import { decide, type Grant, parseCaps } from './rival-caps.ts';
import type { Section, Table } from './section.ts';
import { warmCheck, warmCheckRecord } from './tables.ts';

const PEERS_MISSING = 'peers are not installed: npm ci --prefix bench/peers --ignore-scripts';

export const peersSection: Section = {
  name: 'peers',
  about: 'decision engines of others beside our warm check',
  everywhere: false,
  async run(bench) {
    const made = makePeers(bench.engine);
    if (made === undefined) {
      bench.say(`\n${PEERS_MISSING}`);
      return [];
    }
    const { table, compared, differences } = made;
    bench.say(`\n${compared} decisions compared, ${differences.length} differ`);
    for (const line of differences) bench.differs(line);
    return [await bench.table(table, peerRatios)];
  },
};

export interface Peers {
  readonly table: Table;
  /** Decisions compared. */
  readonly compared: number;
  /** One line per disagreement. */
  readonly differences: readonly string[];
}

/** Undefined where the peers are not installed. Looks below the working directory. */
export function makePeers(engine: Engine): Peers | undefined {
  const home = resolve('bench/peers/package.json');
  if (!existsSync(resolve('bench/peers/node_modules', CEDAR))) return undefined;
  const cedar: Cedar = createRequire(home)(`${CEDAR}/nodejs`);
  const text = capsOf(GRANTS);
  const grants = parseCaps(text) ?? [];
  const deciders: Readonly<Record<string, Decider>> = {
    'JSON policy by hand': jsonDecider(grants),
    'cedar-wasm': cedarDecider(cedar, grants),
    'cedar-wasm, policies parsed each time': cedarParsing(cedar, grants),
  };
  const name = `${GRANTS} grants`;
  const cases = [
    { name: `cephgate, warm check of ${name}`, items: 1, run: warmCheck(engine, GRANTS) },
    { name: 'cephgate, warm check, record', items: 1, run: warmCheckRecord(engine, GRANTS) },
    ...Object.entries(deciders).map(([each, decider]) => ({
      ...{ name: each, items: 1, run: () => decider(MATCH_OP) },
    })),
  ];
  const table = { title: `other engines, ${name}`, cases };
  return { table, ...agreement(engine, text, grants, deciders) };
}

/** Each peer against our check as objects and as a record. */
function peerRatios(rows: readonly Measured[]): Ratio[] {
  const [object, record, ...peers] = rows as [Measured, Measured, ...Measured[]];
  return peers.flatMap((peer) => [
    { name: `${peer.name} / warm check`, value: ratio(peer, object), goal: undefined },
    { name: `${peer.name} / warm check, record`, value: ratio(peer, record), goal: undefined },
  ]);
}

type Decider = (op: Op) => boolean;

/** Every operation on pools, namespaces and objects in and beside the grants. */
function agreement(
  engine: Engine,
  text: string,
  grants: readonly Grant[],
  deciders: Readonly<Record<string, Decider>>,
): Pick<Peers, 'compared' | 'differences'> {
  const { handle } = engine.capsParse(SERVICE, text, HOST, { keep: true });
  const peer = { family: 4, bytes: Uint8Array.of(10, 0, 0, 1) } as const;
  const all: Readonly<Record<string, Decider>> = {
    ...deciders,
    'caps by hand': (op) => decide(grants, op, peer),
  };
  const differences: string[] = [];
  let compared = 0;
  for (const op of operations(grants)) {
    const ours = engine.check({ service: SERVICE, handle, op }, HOST).decision;
    for (const [name, decider] of Object.entries(all)) {
      compared++;
      if (decider(op) !== ours) {
        differences.push(`${name} says ${!ours}, cephgate ${ours}: ${JSON.stringify(op)}`);
      }
    }
  }
  return { compared, differences };
}

function operations(grants: readonly Grant[]): Op[] {
  const of = (field: 'pool' | 'namespace' | 'prefix', ...more: readonly string[]): string[] => [
    ...new Set([...grants.map((grant) => grant[field] ?? ''), ...more]),
  ];
  const objects = of('prefix', MATCH_OP.object, 'x').flatMap((name) => [name, `${name}.1`]);
  const modes = [
    { read: true, write: false },
    { read: false, write: true },
    { read: true, write: true },
  ];
  return of('pool', 'none').flatMap((pool) =>
    of('namespace', 'ns').flatMap((namespace) =>
      objects.flatMap((object) => modes.map((mode) => ({ pool, namespace, object, ...mode }))),
    ),
  );
}

// --- a policy in JSON ---------------------------------------------------------------------------

interface Statement {
  readonly effect: 'allow' | 'deny';
  readonly actions: readonly string[];
  /** `POOL/NAMESPACE/OBJECT`, with `*` for any text. */
  readonly resources: readonly string[];
}

/** Read once; then each statement is looked at, and one that denies wins. */
function jsonDecider(grants: readonly Grant[]): Decider {
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

function actionsOf({ read, write }: { readonly read: boolean; readonly write: boolean }): string[] {
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

// --- Cedar --------------------------------------------------------------------------------------

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

const CEDAR = '@cedar-policy/cedar-wasm';
const GRANTS = 3;
