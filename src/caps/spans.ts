/** Grants of a cap as pieces of its text, for people. */

import { fromByteString } from './capgrammar.ts';

export interface WrittenGrant {
  readonly text: string;
  /** First character and the one after the last, in characters (code points) of the caps text. */
  readonly span: readonly [number, number];
}

/** The grants at these byte spans, which come in order. */
export function writtenGrants(
  caps: string,
  spans: readonly { readonly start: number; readonly end: number }[],
): WrittenGrant[] {
  // Each part of the text is counted once, however many grants there are.
  let at = 0;
  let characters = 0;
  const advance = (to: number): string => {
    const text = fromByteString(caps.slice(at, to));
    at = to;
    characters += [...text].length;
    return text;
  };
  return spans.map(({ start, end }) => {
    advance(start);
    const from = characters;
    const text = advance(end);
    return { text, span: [from, characters] };
  });
}
