/** Suites of a file that run at the same time: they mostly wait, each for what is its own. */

import { describe } from 'vitest';

/**
 * A suite that runs beside those next to it in the file that are `beside` too; its own tests run in
 * order, hooks included. A poll in it needs the `expect` of its test, `async ({ expect }) => ...`:
 * the common one belongs to the test that began last.
 */
export function beside(name: string, isSkipped: boolean, tests: () => void): void {
  // A suite that is told not to skip would overrule the tests in it that do.
  const skipped = isSkipped ? { skip: true } : {};
  describe(name, { concurrent: true, ...skipped }, () => {
    describe('in order', { concurrent: false }, tests);
  });
}
