/**
 * Engines of other processes that hold what ours holds: each change of secrets and revocations is
 * told, and what is held now can be told again to one that comes later.
 */

import type { Engine } from '../engine/engine.ts';
import type { ServiceSecret } from '../engine/types.ts';

type Revocation = Parameters<Engine['revoke']>;

/** What happened to an engine. */
export type EngineChange =
  | { readonly op: 'put'; readonly secret: ServiceSecret }
  | { readonly op: 'remove'; readonly service: number; readonly secretId: bigint }
  | { readonly op: 'clear'; readonly service: number }
  | { readonly op: 'revoke'; readonly revocation: Revocation };

export interface EngineMirror {
  /** All that another engine needs to be like this one. The keys are those that are kept here. */
  changes(): EngineChange[];
  wipe(): void;
}

/** Watches the engine from now on; it must be new. `told` is called after each change. */
export function mirrorEngine(engine: Engine, told: (change: EngineChange) => void): EngineMirror {
  const secrets = new Map<string, ServiceSecret>();
  let revocations: Revocation[] = [];
  const forget = (holds: (secret: ServiceSecret) => boolean): void => {
    for (const [id, secret] of secrets) {
      if (!holds(secret)) continue;
      secret.key.fill(0);
      secrets.delete(id);
    }
  };
  const { putSecret, removeSecret, clearSecrets, revoke } = engine;
  engine.putSecret = (secret) => {
    putSecret.call(engine, secret);
    forget(sameAs(secret));
    // The bytes are wiped by their owner.
    const kept = { ...secret, key: secret.key.slice() };
    secrets.set(`${secret.service}/${secret.secretId}`, kept);
    told({ op: 'put', secret: kept });
  };
  engine.removeSecret = (service, secretId) => {
    const was = removeSecret.call(engine, service, secretId);
    forget(sameAs({ service, secretId }));
    told({ op: 'remove', service, secretId });
    return was;
  };
  engine.clearSecrets = (service = 0) => {
    clearSecrets.call(engine, service);
    forget((secret) => service === 0 || secret.service === service);
    told({ op: 'clear', service });
  };
  engine.revoke = (...revocation) => {
    revoke.call(engine, ...revocation);
    revocations = revocation[0] === 'clear' ? [] : [...revocations, revocation];
    told({ op: 'revoke', revocation });
  };
  return {
    changes: () => [
      { op: 'clear', service: 0 },
      { op: 'revoke', revocation: ['clear', 'all'] },
      ...[...secrets.values()].map((secret) => ({ op: 'put', secret }) as const),
      ...revocations.map((revocation) => ({ op: 'revoke', revocation }) as const),
    ],
    wipe: () => forget(() => true),
  };
}

/** Does to an engine what was done to the one that is watched. */
export function applyChange(engine: Engine, change: EngineChange): void {
  switch (change.op) {
    case 'put':
      engine.putSecret(change.secret);
      change.secret.key.fill(0);
      return;
    case 'remove':
      engine.removeSecret(change.service, change.secretId);
      return;
    case 'clear':
      engine.clearSecrets(change.service);
      return;
    case 'revoke':
      engine.revoke(...change.revocation);
  }
}

function sameAs(wanted: Pick<ServiceSecret, 'service' | 'secretId'>) {
  return (held: ServiceSecret): boolean =>
    held.service === wanted.service && held.secretId === wanted.secretId;
}
