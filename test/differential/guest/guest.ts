import { gunzipSync } from 'node:zlib'
import { Btf } from '../../../src/btf/index.ts'
import type { Judgement } from '../../../src/syscall/index.ts'
import { requestArchive } from './initramfs.ts'
import { lastLines, type MachineOptions, type MachineRun, runMachine } from './machine.ts'
import { GuestError } from './tools.ts'

/** What the guest's kernel says of itself. */
export interface GuestKernel {
  readonly release: string
  readonly btf: Btf
  /** Names that have an address; functions of the BTF may have none. */
  readonly symbols: ReadonlySet<string>
}

/**
 * The answer to one request: the kernel's, the loader's own where it cannot ask the kernel (a map that cannot be made, a target
 * that is refused), or what the guest's console said when the request ended the guest.
 */
export type GuestAnswer =
  | { readonly is: 'judged'; readonly judgement: Judgement }
  | { readonly is: 'not-asked'; readonly code: string; readonly message: string }
  | { readonly is: 'ended-guest'; readonly message: string }

/** Starts the machine with these archives; tests put a function in its place. */
export type Start = (
  archives: readonly Uint8Array[],
  told?: (path: string) => void,
) => Promise<Pick<MachineRun, 'output' | 'console' | 'silent'>>

/** @param base the guest's system (initramfs.ts) */
export function starter(options: MachineOptions, base: Uint8Array): Start {
  return (archives, told) => runMachine(options, [base, ...archives], told)
}

/**
 * Starts the guest once to learn what kernel it is.
 * @throws GuestError where it does not come as far, or has no BTF
 */
export async function askKernel(start: Start): Promise<GuestKernel> {
  const { output, console: printed } = await start([])
  const parts = /^release\s+(\S+)\s+types\s+([A-Za-z0-9+/=\s]*?)\s*symbols\s+([A-Za-z0-9+/=\s]+?)\s*end\s*$/.exec(
    output,
  )
  if (parts === null) throw new GuestError(`the guest did not start: ${lastLines(printed)}`)
  const [, release, types, symbols] = parts
  const bytes = unpacked(types)
  if (bytes.length === 0) throw new GuestError(`the guest's kernel ${release} has no BTF (CONFIG_DEBUG_INFO_BTF)`)
  return {
    release,
    btf: new Btf(bytes, { what: `BTF of ${release}` }),
    symbols: new Set(unpacked(symbols).toString('latin1').split('\n')),
  }
}

function unpacked(base64: string): Buffer {
  const bytes = Buffer.from(base64, 'base64')
  try {
    return gunzipSync(bytes)
  } catch {
    return Buffer.alloc(0)
  }
}

/** One line of `load --batch`. */
function answerOf(line: string): GuestAnswer {
  const row = JSON.parse(line) as { error?: { code: string; message: string } } & Judgement
  if (row.error !== undefined) return { is: 'not-asked', ...row.error }
  // Maps are made before the program: what is refused there is not said of the program.
  if (/^map_create\b/.test(row.message ?? ''))
    return { is: 'not-asked', code: 'map_create', message: row.message ?? '' }
  return { is: 'judged', judgement: row }
}

function answersIn(output: string): GuestAnswer[] {
  const lines = output.split('\n')
  // the last line may be cut
  lines.pop()
  return lines.filter((line) => line.trim() !== '').map((line) => answerOf(line))
}

/**
 * The guest's answers, one a request. A guest that ends before its time is started again behind what it has answered: with
 * fewer and fewer requests, until the one that ends it is alone, and then without that one.
 * @throws GuestError where it answers nothing at all
 */
export async function askGuest(
  start: Start,
  requests: readonly string[],
  told?: (path: string) => void,
): Promise<GuestAnswer[]> {
  const answers: GuestAnswer[] = []
  let atOnce = requests.length
  while (answers.length < requests.length) {
    const part = requests.slice(answers.length, answers.length + atOnce)
    const run = await start([requestArchive(part)], told)
    const got = answersIn(run.output).slice(0, part.length)
    answers.push(...got)
    if (got.length === part.length) {
      atOnce = requests.length
      continue
    }
    const why = `${run.silent ? 'silence: ' : ''}${lastLines(run.console)}`
    if (part.length === 1) {
      if (answers.length === 0) throw new GuestError(`the guest answers nothing: ${why}`)
      answers.push({ is: 'ended-guest', message: why })
      atOnce = requests.length
    } else atOnce = Math.ceil(Math.min(part.length - got.length, 256) / 16)
  }
  return answers
}
