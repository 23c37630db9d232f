/** Grants as policies of casbin, decided without waiting: its fastest way. */

import type { Decider } from './peer-json.ts';
import type { Grant } from './rival-caps.ts';

/** What is used of the package. */
export interface Casbin {
  newModel(text: string): unknown;
  newEnforcer(model: unknown, adapter: unknown): Promise<Enforcer>;
  readonly StringAdapter: new (policies: string) => unknown;
}

interface Enforcer {
  enforceSync(...request: readonly string[]): boolean;
  addFunction(name: string, run: (...args: string[]) => boolean): Promise<void>;
}

export async function casbinDecider(casbin: Casbin, grants: readonly Grant[]): Promise<Decider> {
  const policies = grants.map((grant) => {
    const bits = `${grant.read ? 'r' : ''}${grant.write ? 'w' : ''}`;
    return `p, ${grant.pool ?? '*'}, ${grant.namespace ?? '*'}, ${grant.prefix ?? ''}*, ${bits}`;
  });
  const adapter = new casbin.StringAdapter(policies.join('\n'));
  const enforcer = await casbin.newEnforcer(casbin.newModel(MODEL), adapter);
  await enforcer.addFunction('startsWith', (text, pattern) =>
    text.startsWith(pattern.slice(0, -1)),
  );
  await enforcer.addFunction('covers', (given, wanted) =>
    [...wanted].every((bit) => given.includes(bit)),
  );
  return ({ pool, namespace, object, read, write }) =>
    enforcer.enforceSync(pool, namespace, object, `${read ? 'r' : ''}${write ? 'w' : ''}`);
}

const MODEL = `
[request_definition]
r = pool, ns, object, bits
[policy_definition]
p = pool, ns, object, bits
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = (p.pool == r.pool || p.pool == '*') && (p.ns == r.ns || p.ns == '*') && \
startsWith(r.object, p.object) && covers(p.bits, r.bits)
`;
