/**
 * One answer until part b has opened: whatever is wrong with an `aes` ticket or part b, the body of
 * the answer is the same, so that nothing can be learned by altering ciphertext (padding oracle).
 */

import { expect, it } from 'vitest';
import { b64, Kit, osdTicket, TCP, UNIX, withoutId } from './http-kit.ts';

it.each([
  ['unix', UNIX],
  ['tcp', TCP],
] as const)('every altered byte of an aes ticket gives one answer on %s', async (_, listener) => {
  const kit = await Kit.create();
  const ticket = osdTicket({ aes: true, sessionType: 'aes' });
  const good = ticket.authorizer();
  const ticketAt = 26;
  const partBAt = ticketAt + ticket.blob.blob.length + 4;
  const answers = new Map<string, number>();
  const ask = async (authorizer: Uint8Array): Promise<void> => {
    const answer = await kit.verify({ service: 'osd', authorizer: b64(authorizer) }, listener);
    const { code } = answer.body.reason;
    // A change that is not seen (a garbled caps block, say) or that opened part b is no oracle
    // for the ticket: these are judged after part b.
    if (code !== 'authorizer.invalid') {
      expect(['ok', 'authorizer.challenge_required', 'ticket.implausible']).toContain(code);
      return;
    }
    const text = `${answer.status} ${withoutId(answer)} ${[...answer.headers].join()}`;
    answers.set(text, (answers.get(text) ?? 0) + 1);
  };
  for (let at = ticketAt; at < good.length; at++) {
    if (at >= partBAt - 4 && at < partBAt) continue;
    for (const mask of [0x01, 0x80, 0xff]) {
      const altered = good.slice();
      altered[at]! ^= mask;
      await ask(altered);
    }
  }
  // All 256 values of the byte that decides on the padding, of the ticket and of part b.
  for (const at of [partBAt - 4 - 17, good.length - 17]) {
    for (let mask = 1; mask < 256; mask++) {
      const altered = good.slice();
      altered[at]! ^= mask;
      await ask(altered);
    }
  }
  // Claims that the ticket does not make, and a part b under another key.
  const claim = good.slice();
  claim[1]! ^= 1;
  await ask(claim);
  const other = osdTicket({ aes: true, sessionType: 'aes' });
  const stolen = good.slice();
  stolen.set(other.authorizer().subarray(partBAt), partBAt);
  await ask(stolen);
  expect(answers.size).toBe(1);
  expect([...answers.values()][0]).toBeGreaterThan(500);
});
