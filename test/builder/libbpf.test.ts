import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeObject } from 'typebpf/elf'
import { collectObject } from 'typebpf/spec'
import { describe, expect } from 'vitest'
import { testWith } from '../requirements.ts'
import { after, KINDS } from './programs/kinds.ts'

/**
 * Kinds that Debian's libbpf (1.1) can load here: no policy in the way, section names that it knows (not tcx,
 * sk_skb/verdict, netfilter).
 */
const LOADABLE = Object.entries(KINDS).filter(
  ([name]) => !['fentry', 'fexit', 'fmodRet', 'lsm', 'tcx', 'skSkb', 'netfilter'].includes(name),
)

describe('objects of the builder', () => {
  for (const [name, program] of LOADABLE)
    testWith(
      'bpf',
      'program:bpftool',
      'program:unshare',
    )(`libbpf loads ${name}`, () => {
      const folder = mkdtempSync(join(tmpdir(), 'typebpf-libbpf-'))
      try {
        const file = join(folder, 'x.o')
        writeFileSync(file, writeObject(collectObject({ program, after }, { name: 'kind' })))
        const script = `mount -t bpf bpf /sys/fs/bpf && bpftool prog loadall ${file} /sys/fs/bpf/x 2>&1 && ls /sys/fs/bpf/x`
        const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` }
        let out: string
        try {
          out = execFileSync('unshare', ['-m', 'sh', '-c', script], { encoding: 'utf8', env, stdio: 'pipe' })
        } catch (error) {
          out = (error as { stdout: string }).stdout
        }
        expect(out).toMatch(new RegExp(`^${program.name}$`, 'm'))
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
})
