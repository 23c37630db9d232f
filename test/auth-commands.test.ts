/** The monitor's `auth` commands, against what a real one answered (auth-mon-transcript.json). */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type MonTranscript, replayMonTranscript } from './conformance/montranscript.ts';

const file = JSON.parse(
  readFileSync(new URL('./vectors/auth-mon-transcript.json', import.meta.url), 'utf8'),
) as MonTranscript;

describe('auth commands, as a monitor of 16.2.15 answered', () => {
  it('gives the same return code, words and data for every row', async () => {
    const answers = await replayMonTranscript(file);
    expect(answers).toHaveLength(142);
    for (const [index, answer] of answers.entries()) {
      const { cmd, rc, out, err } = file.rows[index]!;
      expect({ cmd, ...answer }).toEqual({ cmd, rc, out, err });
    }
  });
});
