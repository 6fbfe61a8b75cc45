/**
 * Records what the running kernel's verifier allows: for every program type and attach type that loads here the helpers,
 * the context accesses and the return range, each found by loading one small program per question.
 * Writes src/uapi/profiles/ARCH-VERSION.json; run it as root on the kernel that the profile is for, then diff.
 *
 *   node --conditions=typebpf-source --import tsx scripts/record-profile/main.ts [OUTPUT]
 */
import { writeFileSync } from 'node:fs'
import { arch, release } from 'node:os'
import { deflate } from './compact.ts'
import { recordPrograms } from './programs.ts'

const version = release().split('.').slice(0, 2).join('.')
const name = `${arch() === 'x64' ? 'x86_64' : arch()}-${version}`
const output = process.argv[2] ?? new URL(`../../src/uapi/profiles/${name}.json`, import.meta.url).pathname
const recorded = recordPrograms((text) => process.stderr.write(`${text} `))
process.stderr.write('\n')
writeFileSync(
  output,
  deflate({ kernel: { version, release: release().split('-')[0], architecture: name.split('-')[0] }, ...recorded }),
)
