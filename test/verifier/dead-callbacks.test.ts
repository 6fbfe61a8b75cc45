import { describe, expect, test } from 'vitest'
import { helperNumber } from '../../src/uapi/index.ts'
import { verify } from '../../src/verifier/index.ts'
import { Code } from '../differential/verifier/code.ts'
import { finished, imageOf } from '../differential/verifier/program.ts'
import { testWith } from '../requirements.ts'

/** A loop of no rounds and a function that is called; `order` is that of the functions behind the program. */
function program(order: readonly ('callback' | 'called')[]) {
  const c = new Code()
  const labels = { callback: c.label(), called: c.label() }
  c.mov(1, 0).functionPointer(2, labels.callback).mov(3, 0).mov(4, 0)
  c.call(helperNumber('loop') ?? 0)
  if (order.includes('called')) c.callLocal(labels.called)
  c.mov(0, 0).exit()
  for (const name of order) c.place(labels[name]).mov(0, 0).exit()
  return imageOf(finished(c, { type: 'socket_filter' }))
}

const ROWS = [
  { order: ['callback'], answer: 'accept' },
  { order: ['callback', 'called'], answer: 'accept' },
  { order: ['called', 'callback'], answer: 'reject verifier bug: No program to jit at insn' },
] as const

function short(verdict: string, message: string | undefined): string {
  return `${verdict} ${message ?? ''}`.replace(/ \d.*/, '').trim()
}

describe('the address of a callback that is never called', () => {
  test.each(ROWS)('$order: $answer', ({ order, answer }) => {
    const { verdict, message } = verify(program(order))
    expect(short(verdict, message)).toBe(answer)
  })

  testWith('bpf')('the running kernel agrees', async () => {
    const { createJudge } = await import('../../src/syscall/index.ts')
    const judge = createJudge()
    expect(
      ROWS.map(({ order }) => {
        const { verdict, message } = judge.judge(program(order))
        return short(verdict, message)
      }),
    ).toEqual(ROWS.map(({ answer }) => answer))
  })
})
