/** The demo, in this process and as `npm run demo` runs it. */

import { expect, it } from 'vitest';
import { demo } from '../src/cli/demo.ts';
import { spawnCephgate } from './spawn.ts';

it('shows every step as expected', async () => {
  let out = '';
  const code = await demo({
    out: (text) => {
      out += text;
    },
  });
  expect(out).not.toContain('NOT AS EXPECTED');
  expect(code).toBe(0);
  const steps = out.split('\n').filter((line) => line.startsWith('  as expected: '));
  expect(out).toContain(`${steps.length} of ${steps.length} steps as expected\n`);
  expect(steps.length).toBeGreaterThan(20);
  // The whole story, in this order.
  const story = [
    ...['the first start makes', 'client.admin makes client.john', 'client.john logs in'],
    ...['its authorizer gets', 'the answer:', 'a write to pool liverpool: ok'],
    ...['a write to pool everton: caps.no_matching_grant', 'client.admin gives it pool everton'],
    ...[
      'a write there after a new login: ok',
      'client.john is revoked',
      'a new login: request.ref',
    ],
  ];
  const places = story.map((words) => out.indexOf(words));
  expect(Math.min(...places)).toBeGreaterThan(0);
  expect(places).toEqual([...places].sort((a, b) => a - b));
});

it('runs as a process', async () => {
  const run = spawnCephgate([], { module: 'cli/demo' });
  expect([await run.ended, run.err]).toEqual([0, '']);
  expect(run.out).toMatch(/\n([0-9]+) of \1 steps as expected\n$/);
});
