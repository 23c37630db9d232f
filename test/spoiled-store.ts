/** A store that is out of sight when a test says so. */

import { MemoryStore, type Store } from '../src/store/index.ts';

/** A store whose watches fall behind, or that answers nothing, when it is told so. */
export function spoiled(): { store: Store; spoil: { ageMs: number; away: boolean } } {
  const spoil = { ageMs: 0, away: false };
  const store = new MemoryStore();
  const watch = store.watch.bind(store);
  const spoilt = new Proxy(store, {
    get(target, name) {
      const method = Reflect.get(target, name, target);
      if (name === 'watch') {
        return (from: bigint) => {
          const inner = watch(from);
          return {
            proofAgeMs: () => spoil.ageMs,
            close: () => inner.close(),
            [Symbol.asyncIterator]: () => inner[Symbol.asyncIterator](),
          };
        };
      }
      return async (...args: unknown[]) => {
        if (spoil.away) throw new Error('no answer');
        return await Reflect.apply(method as (...all: unknown[]) => unknown, target, args);
      };
    },
  });
  return { store: spoilt, spoil };
}
