import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PATH = `${process.env['PATH']}:/usr/sbin:/sbin`

/**
 * Loads an object's programs with libbpf (through bpftool, into a bpf file system of our own) and gives the translated
 * code of each with its source lines, ids removed.
 */
export function loadWithBpftool(object: Uint8Array): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'typebpf-'))
  try {
    const file = join(folder, 'object.o')
    writeFileSync(file, object)
    const mounted = join(folder, 'bpf')
    mkdirSync(mounted)
    const script = `mount -t bpf bpf "$1" && bpftool prog loadall "$2" "$1/programs" >&2 && for p in "$1"/programs/*; do
      echo "program $(basename "$p")"; bpftool prog dump xlated pinned "$p" linum; done`
    const output = execFileSync('unshare', ['-m', 'sh', '-c', script, 'sh', mounted, file], {
      encoding: 'utf8',
      env: { ...process.env, PATH },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const programs: Record<string, string> = {}
    for (const part of output.split(/^program /m).slice(1)) {
      const end = part.indexOf('\n')
      programs[part.slice(0, end)] = part.slice(end + 1).replaceAll(/\[id:\d+\]/g, '[id]')
    }
    return programs
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Runs a program on an object's bytes; the answer is both outputs together. */
export function runOn(object: Uint8Array, program: string, args: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'typebpf-'))
  try {
    const file = join(folder, 'object.o')
    writeFileSync(file, object)
    return execFileSync('sh', ['-c', 'file="$1"; shift; "$@" "$file" 2>&1', 'sh', file, program, ...args], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      env: { ...process.env, PATH },
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
