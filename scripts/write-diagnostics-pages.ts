/**
 * Writes docs/diagnostics: a page for every code of the catalogue with its cause, the smallest program that is refused
 * for it (from the test fixtures, whose messages are a real kernel's) and the cure.
 *
 *   node --conditions=typebpf-source --import tsx scripts/write-diagnostics-pages.ts
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { CATALOGUE, OTHER } from '../src/verifier/diagnosis/index.ts'
import { diagnosisFixtures } from '../test/verifier/diagnosis/fixtures.ts'

const folder = new URL('../docs/diagnostics/', import.meta.url)
mkdirSync(folder, { recursive: true })
const fixtures = diagnosisFixtures()

for (const { code, category, cause, suggestion } of [...CATALOGUE, OTHER]) {
  const examples = fixtures.filter((fixture) => fixture.code === code)
  const parts = [
    `# ${code}`,
    `Category: ${category}`,
    `## Cause\n\n${cause}`,
    ...examples.map(
      ({ type, program, message, license, flags }) =>
        `## Smallest program\n\nType \`${type}\`${license === undefined ? '' : `, licence \`${license}\``}${flags === undefined ? '' : `, flags \`${flags.join(' ')}\``}:\n\n\`\`\`\n${program
          .map((line) => line.replace(/^@(\d+) (.*)$/, '$2   ; $1 times, {i} counts'))
          .join('\n')}\n\`\`\`\n\nLinux 6.18 says:\n\n\`\`\`\n${message}\n\`\`\``,
    ),
    `## Cure\n\n${suggestion}`,
  ]
  writeFileSync(new URL(`${code}.md`, folder), `${parts.join('\n\n')}\n`)
}

const rows = [...CATALOGUE, OTHER].map(
  ({ code, category, cause }) => `| [${code}](${code}.md) | ${category} | ${cause} |`,
)
writeFileSync(
  new URL('README.md', folder),
  `# Diagnostics

Every rejection of \`typebpf verify\` has a code. Written by \`scripts/write-diagnostics-pages.ts\`; the example programs
are test fixtures that the running kernel refuses with the message shown.

| code | category | cause |
| --- | --- | --- |
${rows.join('\n')}

## Messages that root does not get on Linux 6.18

They belong to other kernels or to loads without privilege, so there is no fixture for them in the 6.18 profile; a log
that has them is explained all the same.

| message | where |
| --- | --- |
| \`invalid indirect read from stack R4 off -64+0 size 64\` | loads without CAP_PERFMON: uninitialised stack read by a helper |
| \`back-edge from insn 91 to 71\` | before Linux 5.3, or loads without CAP_BPF |
| \`unknown func bpf_get_stack#67\` | older wording of \`program of this type cannot use helper\` |
| \`Unreleased reference id=3 alloc_insn=10\` as the last line | 6.18 says so too, then \`BPF_EXIT instruction in main prog would lead to reference leak\` |
`,
)
