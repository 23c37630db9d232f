/** What goes out cannot be written: one sentence, exit code 3, and the work is done. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { spawnCephgate, temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('cli-output');
afterAll(() => folder.remove());

describe.runIf(existsSync('/dev/full'))('a full disk behind standard output', () => {
  it('is told in one line, after the keyring was made', async () => {
    const keyring = join(folder.path, 'keyring');
    const words = ['authtool', '--create-keyring', '--gen-key', '-n', 'client.a', keyring];
    const run = spawnCephgate(words, { stdout: '/dev/full' });
    expect(await run.ended).toBe(3);
    expect(run.err.split('\n').length).toBe(2);
    expect(run.err).toMatch(/^cephgate: cannot write to standard output: .*no space left/i);
    expect(readFileSync(keyring, 'utf8')).toContain('[client.a]');
  });

  it('does not change the end of a command that has nothing to put there', async () => {
    const run = spawnCephgate(['no-such-command'], { stdout: '/dev/full' });
    expect(await run.ended).toBe(2);
    expect(run.err).not.toContain('standard output');
  });
});
