import { defineConfig } from 'vitest/config'

// ffi-rs must be loaded in a process's main thread first (it crashes when only a worker thread loads it): forks, not threads.
export default defineConfig({
  resolve: { conditions: ['typebpf-source', 'module', 'node', 'development'] },
  ssr: { resolve: { conditions: ['typebpf-source', 'module', 'node', 'development'] } },
  test: {
    pool: 'forks',
    include: ['test/**/*.test.ts', 'programs/**/*.test.ts'],
    exclude: ['test/package/**', 'node_modules/**', 'dist/**'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default', './test/not-run-reporter.ts'],
  },
})
