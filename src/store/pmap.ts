/**
 * A persistent ordered map: setting or deleting a key gives a new map that shares all but one path
 * with the old one. An AVL tree that is never changed in place.
 */

/** Keys compare as JavaScript strings; byte strings are one character (0 to 255) a byte. */
export class PMap<V> {
  readonly #root: Node<V> | undefined;

  private constructor(root: Node<V> | undefined) {
    this.#root = root;
  }

  static empty<V>(): PMap<V> {
    return new PMap<V>(undefined);
  }

  /** From pairs in strictly ascending key order (RangeError otherwise), in linear time. */
  static fromSorted<V>(pairs: readonly (readonly [string, V])[]): PMap<V> {
    for (let i = 1; i < pairs.length; i++) {
      if (pairs[i - 1]![0] >= pairs[i]![0]) throw new RangeError('"pairs" are not in key order');
    }
    return new PMap(balanced(pairs, 0, pairs.length));
  }

  get size(): number {
    return this.#root?.size ?? 0;
  }

  get(key: string): V | undefined {
    let node = this.#root;
    while (node !== undefined && node.key !== key) node = key < node.key ? node.left : node.right;
    return node?.value;
  }

  set(key: string, value: V): PMap<V> {
    return new PMap(withKey(this.#root, key, value));
  }

  /** The same map if the key is absent. */
  delete(key: string): PMap<V> {
    return this.get(key) === undefined ? this : new PMap(withoutKey(this.#root, key));
  }

  /** Pairs with key >= from, ascending. */
  *entriesFrom(from: string): Generator<readonly [string, V]> {
    const path: Node<V>[] = [];
    let node = this.#root;
    while (node !== undefined || path.length > 0) {
      while (node !== undefined) {
        if (node.key >= from) path.push(node);
        node = node.key >= from ? node.left : node.right;
      }
      const next = path.pop();
      if (next === undefined) return;
      yield [next.key, next.value];
      node = next.right;
    }
  }
}

interface Node<V> {
  readonly key: string;
  readonly value: V;
  readonly left: Node<V> | undefined;
  readonly right: Node<V> | undefined;
  readonly height: number;
  readonly size: number;
}

function withKey<V>(node: Node<V> | undefined, key: string, value: V): Node<V> {
  if (node === undefined) return join(key, value, undefined, undefined);
  if (key === node.key) return join(key, value, node.left, node.right);
  return key < node.key
    ? rebalanced(node, withKey(node.left, key, value), node.right)
    : rebalanced(node, node.left, withKey(node.right, key, value));
}

/** The key is in the tree. */
function withoutKey<V>(node: Node<V> | undefined, key: string): Node<V> | undefined {
  if (node === undefined) return undefined;
  if (key < node.key) return rebalanced(node, withoutKey(node.left, key), node.right);
  if (key > node.key) return rebalanced(node, node.left, withoutKey(node.right, key));
  if (node.left === undefined) return node.right;
  if (node.right === undefined) return node.left;
  let successor = node.right;
  while (successor.left !== undefined) successor = successor.left;
  return rebalanced(successor, node.left, withoutKey(node.right, successor.key));
}

/** The pair of `node` over two trees whose heights differ by at most two. */
function rebalanced<V>(
  node: Node<V>,
  left: Node<V> | undefined,
  right: Node<V> | undefined,
): Node<V> {
  const { key, value } = node;
  const lean = heightOf(left) - heightOf(right);
  if (lean > 1 && left !== undefined) {
    if (heightOf(left.left) >= heightOf(left.right)) {
      return join(left.key, left.value, left.left, join(key, value, left.right, right));
    }
    const top = left.right!;
    const low = join(left.key, left.value, left.left, top.left);
    return join(top.key, top.value, low, join(key, value, top.right, right));
  }
  if (lean < -1 && right !== undefined) {
    if (heightOf(right.right) >= heightOf(right.left)) {
      return join(right.key, right.value, join(key, value, left, right.left), right.right);
    }
    const top = right.left!;
    const high = join(right.key, right.value, top.right, right.right);
    return join(top.key, top.value, join(key, value, left, top.left), high);
  }
  return join(key, value, left, right);
}

function balanced<V>(
  pairs: readonly (readonly [string, V])[],
  from: number,
  to: number,
): Node<V> | undefined {
  if (from >= to) return undefined;
  const middle = (from + to) >>> 1;
  const [key, value] = pairs[middle]!;
  return join(key, value, balanced(pairs, from, middle), balanced(pairs, middle + 1, to));
}

function join<V>(
  key: string,
  value: V,
  left: Node<V> | undefined,
  right: Node<V> | undefined,
): Node<V> {
  return {
    key,
    value,
    left,
    right,
    height: Math.max(heightOf(left), heightOf(right)) + 1,
    size: (left?.size ?? 0) + (right?.size ?? 0) + 1,
  };
}

function heightOf(node: Node<unknown> | undefined): number {
  return node?.height ?? 0;
}
