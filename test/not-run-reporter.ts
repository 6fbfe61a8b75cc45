import type { Reporter, TestCase, TestModule } from 'vitest/node'

/** After the run: how many tests were not run and why, and the closing line `N passed, N failed, N skipped`. */
export default class NotRunReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const count = { passed: 0, failed: 0, skipped: 0 }
    const reasons = new Map<string, number>()
    for (const module of modules) {
      const before = count.failed
      for (const test of module.children.allTests()) {
        const result = (test as TestCase).result()
        if (result.state === 'pending') continue
        count[result.state]++
        if (result.state === 'skipped') {
          const reason = result.note ?? 'skipped without a reason'
          reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
        }
      }
      // a hook that failed or a file that did not load fails no test of its own
      if (module.state() === 'failed' && count.failed === before) count.failed++
    }
    count.failed += unhandled.length
    process.stdout.write(`\nNot run: ${count.skipped}\n`)
    for (const [reason, times] of reasons) process.stdout.write(`  ${times} × ${reason}\n`)
    process.stdout.write(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`)
  }
}
