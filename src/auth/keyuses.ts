/**
 * Which generation of its key an entity proved last, when and from where: what an operator needs to
 * know before committing a pending key. Kept by this process only, for proven logins only.
 */

/** `key` is the present one, `pending` the one that is to replace it. */
export type KeyGeneration = 'key' | 'pending';

export interface KeyUse {
  readonly timeNs: bigint;
  /** Where the login came from, as the server knows it. */
  readonly source: string;
}

export class KeyUses {
  readonly #uses = new Map<string, Partial<Record<KeyGeneration, KeyUse>>>();

  record(entity: string, generation: KeyGeneration, use: KeyUse): void {
    this.#uses.set(entity, { ...this.#uses.get(entity), [generation]: use });
  }

  /** The last use of each generation, as far as this process has seen any. */
  of(entity: string): Partial<Readonly<Record<KeyGeneration, KeyUse>>> {
    return this.#uses.get(entity) ?? {};
  }

  /** The pending key has become the key: what was known of it is now known of the key. */
  committed(entity: string): void {
    const { pending } = this.of(entity);
    this.#uses.delete(entity);
    if (pending !== undefined) this.record(entity, 'key', pending);
  }
}
