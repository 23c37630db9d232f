import { defineConfig, type ViteUserConfig } from 'vitest/config';

const config: ViteUserConfig = defineConfig({
  test: {
    // Deno's worker threads lack what vitest needs; forks run on Node and Deno alike.
    pool: 'forks',
    include: ['test/**/*.test.ts'],
    exclude: ['**/node_modules/**'],
    // No test takes a third of this; a machine with much other work may need it.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // What is waited for comes when it comes on a busy machine; one second was once too short.
    expect: { poll: { timeout: 10_000 } },
  },
});
export default config;
