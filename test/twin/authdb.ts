/**
 * The auth map as the obvious Map, with the commands of 16.2 written down as plainly as the spec
 * has them: names, caps and errors, and keys only as "which one" (a number a key).
 */

export interface TwinEntity {
  /** Number of the key. */
  readonly key: number;
  readonly caps: ReadonlyMap<string, string>;
}

export type TwinAnswer =
  | { readonly ok: true; readonly entity?: TwinEntity | undefined; readonly said: string }
  | { readonly ok: false; readonly errno: number; readonly said: string };

export class TwinAuthDb {
  readonly entities: Map<string, TwinEntity> = new Map();
  #keys = 0;

  add(name: string, pairs: readonly [string, string][]): TwinAnswer {
    const caps = new Map(pairs);
    const existing = this.entities.get(name);
    if (existing === undefined) {
      this.entities.set(name, { key: ++this.#keys, caps });
      return { ok: true, said: `added key for ${name}` };
    }
    if (caps.size !== existing.caps.size) {
      return refused(22, `entity ${name} exists but caps do not match`);
    }
    for (const service of SERVICES) {
      if (caps.has(service) && caps.get(service) !== existing.caps.get(service)) {
        return refused(22, `entity ${name} exists but cap ${service} does not match`);
      }
    }
    return { ok: true, said: '' };
  }

  getOrCreate(name: string, pairs: readonly [string, string][]): TwinAnswer {
    const caps = new Map(pairs);
    const existing = this.entities.get(name);
    if (existing === undefined) {
      this.entities.set(name, { key: ++this.#keys, caps });
      return { ok: true, entity: this.entities.get(name), said: '' };
    }
    for (const service of SERVICES) {
      if (caps.has(service) && caps.get(service) !== existing.caps.get(service)) {
        return refused(22, `key for ${name} exists but cap ${service} does not match`);
      }
    }
    return { ok: true, entity: existing, said: '' };
  }

  caps(name: string, pairs: readonly [string, string][]): TwinAnswer {
    const existing = this.entities.get(name);
    if (existing === undefined) return refused(2, `couldn't find entry ${name}`);
    const caps = new Map<string, string>();
    for (const [service, text] of pairs) if (!caps.has(service)) caps.set(service, text);
    this.entities.set(name, { ...existing, caps });
    return { ok: true, said: `updated caps for ${name}` };
  }

  get(name: string): TwinAnswer {
    const entity = this.entities.get(name);
    if (entity === undefined) return refused(2, `failed to find ${name} in keyring`);
    return { ok: true, entity, said: `exported keyring for ${name}` };
  }

  rm(name: string): TwinAnswer {
    const known = this.entities.delete(name);
    return { ok: true, said: known ? 'updated' : `entity ${name} does not exist` };
  }

  /** Names in Ceph's order. */
  names(): string[] {
    const rank = (name: string): number => TYPES.indexOf(name.slice(0, name.indexOf('.')));
    return [...this.entities.keys()].sort(
      (a, b) => rank(a) - rank(b) || Buffer.compare(Buffer.from(a), Buffer.from(b)),
    );
  }
}

function refused(errno: number, said: string): TwinAnswer {
  return { ok: false, errno, said };
}

const SERVICES = ['mds', 'mgr', 'mon', 'osd'];
const TYPES = ['mon', 'mds', 'osd', 'client', 'mgr', 'auth'];
