/** The known name that a mistyped one is closest to. */

/** `, the nearest is "NAME"`, or nothing where no name is near. All begin with `prefix`. */
export function nearestHint(given: string, known: readonly string[], prefix = ''): string {
  const bare = (name: string): string => name.slice(prefix.length);
  const nearest = nearestOf(bare(given), known.map(bare));
  return nearest === undefined ? '' : `, the nearest is "${prefix}${nearest}"`;
}

/** Undefined where more than a third of the letters would have to change. */
export function nearestOf(given: string, known: readonly string[]): string | undefined {
  if (given.length > NAME_LEN_MAX) return undefined;
  let nearest: string | undefined;
  let least = Math.floor(given.length / 3) + 1;
  for (const name of known) {
    const distance = editDistance(given, name);
    if (distance < least) [nearest, least] = [name, distance];
  }
  return nearest;
}

/** Letters to put in, take out, replace or swap with the next, by the rows of the usual table. */
function editDistance(a: string, b: string): number {
  let [before, row] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swap = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = swap ? before[j - 2]! + 1 : replaced;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, replaced, swapped));
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}

/** Longer names come from no keyboard. */
const NAME_LEN_MAX = 64;
