/** Folders of our own: made for their owner alone, and never a reason to hang. */

import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, expect, it } from 'vitest';
import { makePrivateDirectory } from '../src/http/files.ts';
import { spawnCephgate, temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('files');
afterAll(() => folder.remove());

it('are made with those above them, whatever the umask, and may exist', () => {
  const path = join(folder.path, 'a', 'b');
  const umask = process.umask(0);
  try {
    makePrivateDirectory(path);
    makePrivateDirectory(path);
  } finally {
    process.umask(umask);
  }
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(join(folder.path, 'a')).mode & 0o777).toBe(0o700);
});

it('are refused below a file', () => {
  writeFileSync(join(folder.path, 'file'), '');
  const path = join(folder.path, 'file', 'data');
  expect(() => makePrivateDirectory(path)).toThrow(`cannot make directory "${path}": ENOTDIR`);
});

it.skipIf(process.platform !== 'linux')('are refused where none can be made', async () => {
  // A process of its own: where it hangs, this test fails in its time.
  const spawned = spawnCephgate(['serve', '--data', '/proc/cephgate/data']);
  const timer = setTimeout(() => spawned.raise('SIGKILL'), 20_000);
  expect(await spawned.ended).toBe(3);
  clearTimeout(timer);
  expect(spawned.err).toContain('cannot make directory "/proc/cephgate/data": ENOENT');
});
