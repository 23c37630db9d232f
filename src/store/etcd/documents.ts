/** Bodies of answers: one whole text, or one JSON document per line for as long as it lasts. */

import { type Json, object } from './codec.ts';
import { PostError } from './post.ts';

/** The whole body. Throws PostError if it is longer than BODY_LEN_MAX or breaks off. */
export async function readAll(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > BODY_LEN_MAX) throw tooLong();
  }
  return text + decoder.decode();
}

/** The documents under `result`. Throws PostError for an `error`, or when the body breaks off. */
export async function* documents(body: AsyncIterable<Uint8Array>): AsyncGenerator<Json, void> {
  const decoder = new TextDecoder();
  let parts: string[] = [];
  let length = 0;
  for await (const chunk of body) {
    const lines = decoder.decode(chunk, { stream: true }).split('\n');
    for (const line of lines.slice(0, -1)) {
      parts.push(line);
      const document = parts.join('');
      parts = [];
      length = 0;
      if (document !== '') yield resultOf(document);
    }
    const rest = lines.at(-1)!;
    parts.push(rest);
    length += rest.length;
    if (length > BODY_LEN_MAX) throw tooLong();
  }
}

function resultOf(document: string): Json {
  let answer: Json;
  try {
    answer = JSON.parse(document);
  } catch {
    throw new PostError('a line of the answer is not JSON', true);
  }
  if (answer.error !== undefined) throw new PostError('etcd ended the stream', true);
  return object(answer, 'result');
}

function tooLong(): PostError {
  return new PostError(`the answer is longer than ${BODY_LEN_MAX} bytes`, true);
}

/** A page of the largest values, and a whole fragment of a watch, are far below it. */
const BODY_LEN_MAX = 268_435_456;
