/**
 * Whether a history of operations is linearizable: whether each can be given one moment between its
 * call and its return so that, one after the other, they do what an object that is asked one at a
 * time would do. The search is that of Wing and Gong with the memory of Lowe: what was reached once
 * by the same set of operations in the same state is not tried again.
 */

export interface Operation<I> {
  readonly input: I;
  readonly callMs: number;
  /** Infinity where no answer came: it may be carried out at any time after its call. */
  readonly returnMs: number;
}

/**
 * The object: its state after an operation, as a text, or undefined where the operation cannot have
 * been answered as it was. One without an answer fits every state, so one that was never carried
 * out is the same as one that comes last.
 */
export type Step<I> = (state: string, input: I) => string | undefined;

/** True, false, or undefined when the search became too long. */
export function isLinearizable<I>(
  history: readonly Operation<I>[],
  initial: string,
  step: Step<I>,
  stepsMax = 2_000_000,
): boolean | undefined {
  const head = linked(history);
  const done = new Bits(history.length);
  const tried = new Set<string>();
  const path: { event: Event; state: string }[] = [];
  let state = initial;
  let event = head.next;
  for (let steps = 0; head.next !== undefined; steps++) {
    if (steps > stepsMax) return undefined;
    if (event?.match !== undefined) {
      const after = step(state, history[event.index]!.input);
      if (after !== undefined && isNew(tried, done.with(event.index), after)) {
        done.set(event.index);
        path.push({ event, state });
        state = after;
        lift(event);
        event = head.next;
      } else {
        event = event.next;
      }
      continue;
    }
    // A return, and nothing before it could be the next one: the last choice was wrong.
    const last = path.pop();
    if (last === undefined) return false;
    done.clear(last.event.index);
    state = last.state;
    unlift(last.event);
    event = last.event.next;
  }
  return true;
}

/** Calls and returns in the order of time, as a list from which both are taken at once. */
interface Event {
  readonly index: number;
  /** The return of a call; undefined for a return itself. */
  match: Event | undefined;
  previous: Event | undefined;
  next: Event | undefined;
}

function linked(history: readonly Operation<unknown>[]): Event {
  const make = (index: number): Event => ({
    ...{ index, match: undefined, previous: undefined, next: undefined },
  });
  const timed = history.flatMap(({ callMs, returnMs }, index) => {
    const [call, end] = [make(index), make(index)];
    call.match = end;
    return [
      { atMs: callMs, isEnd: 0, event: call },
      { atMs: returnMs, isEnd: 1, event: end },
    ];
  });
  // Calls first where times are equal: the two may have overlapped.
  timed.sort((a, b) => (a.atMs === b.atMs ? a.isEnd - b.isEnd : a.atMs < b.atMs ? -1 : 1));
  const head = make(-1);
  let last = head;
  for (const { event } of timed) {
    last.next = event;
    event.previous = last;
    last = event;
  }
  return head;
}

function lift(call: Event): void {
  for (const each of [call, call.match!]) {
    each.previous!.next = each.next;
    if (each.next !== undefined) each.next.previous = each.previous;
  }
}

function unlift(call: Event): void {
  for (const each of [call.match!, call]) {
    each.previous!.next = each;
    if (each.next !== undefined) each.next.previous = each;
  }
}

function isNew(tried: Set<string>, done: string, state: string): boolean {
  const key = `${done} ${state}`;
  if (tried.has(key)) return false;
  tried.add(key);
  return true;
}

class Bits {
  readonly #words: Uint16Array;

  constructor(n: number) {
    this.#words = new Uint16Array(Math.ceil(n / 16));
  }

  set(i: number): void {
    this.#words[i >> 4]! |= 1 << (i & 15);
  }

  clear(i: number): void {
    this.#words[i >> 4]! &= ~(1 << (i & 15));
  }

  /** All of them and one more, as a text. */
  with(i: number): string {
    this.set(i);
    const text = String.fromCharCode(...this.#words);
    this.clear(i);
    return text;
  }
}

/** What is asked of one entity, which is there with a value or is not. */
export type RegisterInput =
  | { readonly kind: 'read'; readonly saw: string }
  /** Changes the value of one that is there. */
  | { readonly kind: 'write'; readonly value: string; readonly answer: 'ok' | 'absent' | 'none' }
  /** Makes one that is not there: compare and swap. */
  | { readonly kind: 'create'; readonly value: string; readonly answer: 'ok' | 'present' | 'none' }
  | { readonly kind: 'remove'; readonly answer: 'ok' | 'none' };

export const ABSENT = '';

/**
 * Without the writes that got no answer and that nobody saw: where each value is written once, such
 * a write can be left out of every order and put at the end of every other, so it decides nothing.
 * Each one that stays doubles the orders there are.
 */
export function withoutUnseen(
  history: readonly Operation<RegisterInput>[],
): Operation<RegisterInput>[] {
  const seen = new Set(history.flatMap(({ input }) => (input.kind === 'read' ? [input.saw] : [])));
  return history.filter(
    ({ input }) => !(input.kind === 'write' && input.answer === 'none' && !seen.has(input.value)),
  );
}

export const register: Step<RegisterInput> = (state, input) => {
  const isThere = state !== ABSENT;
  switch (input.kind) {
    case 'read':
      return input.saw === state ? state : undefined;
    case 'write':
      if (input.answer === 'absent') return isThere ? undefined : state;
      if (input.answer === 'ok' && !isThere) return undefined;
      return isThere ? input.value : state;
    case 'create':
      if (input.answer === 'present') return isThere ? state : undefined;
      if (input.answer === 'ok' && isThere) return undefined;
      return isThere ? state : input.value;
    case 'remove':
      return ABSENT;
  }
};
