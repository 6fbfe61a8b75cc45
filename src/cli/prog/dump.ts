import { writeFileSync } from 'node:fs'
import { NegativeError, UsageError } from '../../errors/index.ts'
import { type ProgramDetails, programDetails, realSys } from '../../syscall/index.ts'
import { CLASS, JMP, SLOT_BYTES } from '../../uapi/index.ts'
import type { DumpOptions } from '../objects/dump-xlated.ts'
import type { Json } from '../objects/json.ts'
import { kernelSymbols, NO_SYMBOLS } from '../objects/kallsyms.ts'
import { liveBtf } from '../objects/live-btf.ts'
import { printJson } from '../objects/options.ts'
import { fullName } from '../objects/program-name.ts'
import { fullWord, select } from '../objects/select.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'
import { headJson, headText } from './head.ts'

const CALL = CLASS.jmp | JMP.call

function hasCalls(xlated: Uint8Array): boolean {
  for (let at = 0; at < xlated.length; at += SLOT_BYTES) if (xlated[at] === CALL) return true
  return false
}

interface Form extends DumpOptions {
  readonly visual?: boolean
  readonly file?: string
}

const WORDS = ['file', 'opcodes', 'visual', 'linum'] as const

function parseForm(words: readonly string[], kind: 'xlated' | 'jited', several: boolean): Form {
  let out: Form = {}
  for (let i = 0; i < words.length; i++) {
    const word = fullWord(words[i], WORDS)
    if (word === undefined)
      throw new UsageError('cli.words', `expected ${WORDS.join(', ')}, got ${JSON.stringify(words[i])}`)
    if (word === 'file') {
      if (words[i + 1] === undefined) throw new UsageError('cli.words', "'file' needs a path")
      out = { ...out, file: words[++i] }
    } else out = { ...out, [word]: true }
  }
  if (out.file !== undefined && several)
    throw new UsageError('cli.words', "several programs match: 'file' writes one, name it by id")
  if (out.visual === true && kind === 'jited')
    throw new UsageError('cli.words', "'visual' draws translated programs, not machine code")
  return out
}

function codeOf(details: ProgramDetails, kind: 'xlated' | 'jited'): Uint8Array {
  const code = kind === 'xlated' ? details.xlated : details.jited
  if (code.length > 0) return code
  if (kind === 'jited' && details.jitedBytes === 0)
    throw new NegativeError('dump.hidden', `program ${details.id} is not jited`)
  throw new NegativeError('dump.hidden', `the kernel hides the ${kind} code of program ${details.id}`, {
    details: ['it needs CAP_SYS_ADMIN, kernel.kptr_restrict below 2 and net.core.bpf_jit_harden below 2'],
  })
}

/** `prog dump xlated|jited PROG [file FILE] [opcodes] [linum] [visual]`. */
export async function dump(words: readonly string[], context: Context): Promise<void> {
  const kind = fullWord(words[0] ?? '', ['xlated', 'jited']) as 'xlated' | 'jited' | undefined
  if (kind === undefined)
    throw new UsageError('cli.words', `expected xlated or jited, got ${JSON.stringify(words[0] ?? '')}`)
  const sys = realSys()
  const { fds, rest } = select(sys, 'program', words.slice(1))
  const several = fds.length > 1
  const form = parseForm(rest, kind, several)
  const documents: Json[] = []
  for (const [index, owned] of fds.entries()) {
    using fd = owned
    const details = programDetails(sys, fd.fd)
    const code = codeOf(details, kind)
    if (form.file !== undefined) {
      writeFileSync(form.file, code)
      continue
    }
    const btf = liveBtf(sys, details.btfId)
    // reading all symbols takes longer than all the rest: only where something is called
    const symbols = kind === 'jited' || hasCalls(details.xlated) ? kernelSymbols() : NO_SYMBOLS
    const name = fullName(details, btf)
    const withHead = (insns: Json): Json => (several ? { ...headJson(details, name), insns } : insns)
    if (several && context.json !== true) print(`${index > 0 ? '\n' : ''}${headText(details, name)}`)
    if (form.visual === true) {
      const { drawXlated } = await import('./draw.ts')
      print(drawXlated(details, btf, symbols, form))
      continue
    }
    if (kind === 'jited') {
      const { disassembleJited, jitedJson, jitedText } = await import('../objects/dump-jited.ts')
      const functions = await disassembleJited(details, btf, symbols.nameAt)
      if (context.json === true) documents.push(withHead(jitedJson(functions, form)))
      else print(jitedText(functions, form))
    } else {
      const { xlatedJson, xlatedText } = await import('../objects/dump-xlated.ts')
      if (context.json === true) documents.push(withHead(xlatedJson(details, btf, symbols, form)))
      else print(xlatedText(details, btf, symbols, form))
    }
  }
  if (form.file !== undefined) {
    if (context.json === true) print('null\n')
  } else if (context.json === true && form.visual !== true) printJson(several ? documents : documents[0], context)
}
