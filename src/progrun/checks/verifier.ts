import { release } from 'node:os'
import { UsageError } from '../../errors/index.ts'
import type { ProgramImage } from '../../spec/index.ts'
import { kernelUnavailable } from '../backend/available.ts'
import { type HarnessSource, linkSource, loadSource, needsKernel } from '../harness/source.ts'
import type { Check } from './checks.ts'

export interface VerifierQuestion {
  /** `model`: Linux 6.18 offline (the default); `running`: the kernel of this machine; `both`. */
  readonly kernel?: 'model' | 'running' | 'both'
  /** Only this program. */
  readonly program?: string
}

interface Answer {
  readonly image: ProgramImage
  readonly by: string
  readonly verdict: string
  readonly message: string
  readonly insn?: number
  readonly log: string
}

const KERNELS: readonly string[] = ['model', 'running', 'both']

async function ask(source: HarnessSource, { kernel = 'model', program }: VerifierQuestion): Promise<Answer[]> {
  if (!KERNELS.includes(kernel))
    throw new UsageError('progrun.verifier-kernel', `kernel ${kernel}: ${KERNELS.join(', ')} are possible`)
  const loaded = await loadSource(source)
  const link =
    loaded.object !== undefined && needsKernel(loaded.object)
      ? (await import('../../syscall/inspect/running-kernel.ts')).runningKernel()
      : {}
  const { images } = linkSource(loaded, link, program === undefined ? undefined : [program])
  const out: Answer[] = []
  if (kernel !== 'running') {
    const { verify } = await import('../../verifier/index.ts')
    const { kernelBtf } = link
    for (const image of images) {
      const answer = verify(image, { logLevel: 1, ...(kernelBtf === undefined ? {} : { kernelBtf }) })
      const { verdict, message = '', insn, log = '' } = answer
      out.push({ image, by: 'the model of Linux 6.18', verdict, message, insn, log })
    }
  }
  if (kernel === 'model') return out
  const by = `kernel ${release()}`
  const [missing] = kernelUnavailable()
  if (missing !== undefined)
    return [...out, ...images.map((image) => ({ image, by, verdict: 'not asked', message: missing, log: '' }))]
  const { createJudge } = await import('../../syscall/prog/judge.ts')
  for (const image of images) {
    const { verdict, message = '', log = '' } = createJudge().judge(image, { logLevel: 1 })
    out.push({ image, by, verdict, message, log })
  }
  return out
}

function said({ image, by, verdict, message }: Answer): string {
  return `${image.name}: ${by} says ${verdict}${message === '' ? '' : `: ${message}`}`
}

/** What was said, of a rejection also the user's line and what to do. */
async function explained(answer: Answer): Promise<string> {
  if (answer.verdict !== 'reject' || answer.message === '') return said(answer)
  const { diagnose, excerpt } = await import('../../verifier/diagnosis/index.ts')
  const { source, cause, suggestion } = diagnose(answer.image, answer)
  const lines = [said(answer), `  ${cause}`]
  if (source !== undefined)
    lines.push(
      ...excerpt(source)
        .split('\n')
        .map((line) => `  ${line}`),
    )
  return [...lines, `  what to do: ${suggestion}`].join('\n')
}

/** Every program of the source is accepted. */
export async function checkPassesVerifier(source: HarnessSource, question: VerifierQuestion = {}): Promise<Check> {
  const answers = await ask(source, question)
  const bad = answers.filter(({ verdict }) => verdict !== 'accept')
  return {
    pass: bad.length === 0 && answers.length > 0,
    message:
      answers.length === 0
        ? 'there is no program to verify'
        : bad.length === 0
          ? answers.map(said).join('\n')
          : (await Promise.all(bad.map(explained))).join('\n'),
    actual: answers.map(({ verdict }) => verdict),
    expected: answers.map(() => 'accept'),
  }
}

/** Some program is rejected, for a reason that matches: the line that says why, or any line of the log. */
export async function checkFailsVerifier(
  source: HarnessSource,
  reason: RegExp | string = '',
  question: VerifierQuestion = {},
): Promise<Check> {
  const answers = await ask(source, question)
  const asked = question.kernel === 'both' ? 2 : 1
  const matching = answers.filter(
    ({ verdict, message, log }) =>
      verdict === 'reject' &&
      [message, log].some((text) => (typeof reason === 'string' ? text.includes(reason) : reason.test(text))),
  )
  return {
    pass: new Set(matching.map(({ by }) => by)).size >= asked,
    message: `${answers.map(said).join('\n')}\nexpected a rejection${reason === '' ? '' : ` with ${reason}`}`,
    actual: answers.map(({ message }) => message),
    expected: String(reason),
  }
}
