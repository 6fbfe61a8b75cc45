import { readFileSync } from 'node:fs'
import { InputError } from '../../errors/index.ts'

/** CPU numbers of a kernel list such as `0-3,8`. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = []
  for (const part of text.trim().split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part)
    if (match === null) throw new InputError('cpus.list', `${JSON.stringify(text)} is not a list of CPUs`)
    const last = Number(match[2] ?? match[1])
    for (let cpu = Number(match[1]); cpu <= last && cpus.length < 65536; cpu++) cpus.push(cpu)
  }
  return cpus
}

let possible: number | undefined

/** CPUs that could ever be online: a per-CPU map has a value for each of them. */
export function possibleCpus(): number {
  possible ??= Math.max(...parseCpuList(readFileSync('/sys/devices/system/cpu/possible', 'utf8'))) + 1
  return possible
}

/** CPUs that are online now. */
export function onlineCpus(): number[] {
  return parseCpuList(readFileSync('/sys/devices/system/cpu/online', 'utf8'))
}
