import {
  array,
  type Bool,
  type BpfProgram,
  be16,
  be32,
  be64,
  fn,
  type Int,
  i8,
  i16,
  i32,
  i64,
  map,
  ref,
  struct,
  u8,
  u16,
  u32,
  u64,
  xdp,
} from 'typebpf'
import { inside } from '../../../src/builder/context.ts'
import { numbers } from '../../../src/builder/kinds/iterators.ts'
import { ownOperand } from '../../../src/builder/values/int.ts'
import {
  type Condition,
  type Expression,
  type GeneratedProgram,
  INPUTS,
  INTS,
  type IntId,
  type Statement,
  usesPlaces,
  VARIABLES,
} from './language.ts'
import { places, READS, seen, TESTS, WRITES } from './places.ts'

// The trees are typed at run time only; the builder checks every width by itself.
type AnyInt = Int<'u64'>
const TYPES = { u8, u16, u32, u64, i8, i16, i32, i64 } as unknown as Record<IntId, typeof u64>
const WIRES = { u16: be16, u32: be32, u64: be64 } as unknown as Record<string, typeof be64>

const Packet = struct('input', Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`w${i}`, u64])))
const Locals = struct('locals', {
  m0: TYPES[VARIABLES[0]],
  m1: TYPES[VARIABLES[1]],
  m2: TYPES[VARIABLES[2]],
  m3: TYPES[VARIABLES[3]],
  m4: TYPES[VARIABLES[4]],
  m5: TYPES[VARIABLES[5]],
  elements: array(u32, 4),
})

const cells = map.array('cells', { value: u64, maxEntries: 4 })
const combine = fn('combine', { a: u64, c: u32 }, u64, (b, { a, c }) =>
  b.select(a.gt(c.to(u64)), a.mul(31).add(c.to(u64)), a.xor(0xffn)),
)
const poke = fn('poke', { p: ref(Locals), v: u64 }, 'void', (b, { p, v }) => {
  p.m1.set((p.m1 as unknown as Int<'u64'>).mul(5).add(v) as never)
  b.if(v.lt(1000), () => b.return())
  p.elements.at(2).set(v.to(u32))
})

/** The generated program, written with the builder. */
export function construct(program: GeneratedProgram): BpfProgram {
  return xdp('generated', { target: '6.18' }, (b) => {
    const packet = b.packet.at(0, Packet).orReturn(b.ABORTED) as unknown as Record<
      string,
      AnyInt & { set(v: AnyInt): void }
    >
    const words = Array.from({ length: INPUTS }, (_, i) => packet[`w${i}`])
    const variables = VARIABLES.map((id, i) => b.let(TYPES[id], words[i].to(TYPES[id])))
    const locals = b.local(Locals)
    const members = locals as unknown as Record<string, AnyInt & { set(v: AnyInt): void; [atomic: string]: unknown }>
    for (let i = 0; i < 4; i++) locals.elements.at(i).set(i + 1)
    const usesMemory = usesPlaces(program.statements)
    const memory = (usesMemory ? places(b) : undefined) as ReturnType<typeof places>

    const literal = (type: IntId, value: bigint): AnyInt => TYPES[type](value)
    const value = (e: Expression): AnyInt => {
      switch (e.k) {
        case 'literal':
          return literal(e.type, e.value)
        case 'input':
          return words[e.index].to(TYPES[e.type])
        case 'variable':
          return variables[e.index].get()
        case 'member':
          return members[`m${e.index}`]
        case 'unary':
          return value(e.a)[e.op]()
        case 'convert':
          return value(e.a).to(TYPES[e.type])
        case 'swapped':
          return value(e.a).to(WIRES[e.type]).raw() as AnyInt
        case 'select': {
          const yes = value(e.a)
          const no = value(e.b)
          return b.select(holds(e.condition), yes, no)
        }
        case 'element':
          return locals.elements.masked(value(e.index) as unknown as Int<'u32'>).to(u32) as unknown as AnyInt
        case 'place':
          return READS[e.op].build(memory, e.n, value(e.a)) as AnyInt
        case 'binary':
          return binary(e, value)
      }
    }
    const holds = (c: Condition): Bool => {
      switch (c.k) {
        case 'not':
          return holds(c.a).not()
        case 'place':
          return TESTS[c.op].build(memory, c.n, value(c.a))
        case 'and':
        case 'or': {
          const left = holds(c.a)
          return c.lazy ? left[c.k](() => holds(c.b)) : left[c.k](holds(c.b))
        }
        case 'compare': {
          const a = value(c.a)
          return a[c.op](value(c.b))
        }
      }
    }
    const run = (list: readonly Statement[]): void => {
      for (const s of list)
        switch (s.k) {
          case 'set':
            variables[s.index].set(value(s.value))
            break
          case 'store':
            members[`m${s.index}`].set(value(s.value))
            break
          case 'element':
            locals.elements.at(s.index).set(value(s.value) as unknown as Int<'u32'>)
            break
          case 'call':
            b.cpu()
            variables[1].set(value(s.value).mul(3).add(variables[1].get()))
            break
          case 'place': {
            const first = value(s.a)
            WRITES[s.op].build(memory, s.n, first, value(s.c))
            break
          }
          case 'while': {
            const round = b.let(u32, 0)
            b.while(
              () =>
                round
                  .get()
                  .lt(s.count)
                  .and(() => holds(s.condition)),
              () => {
                round.update((now) => now.add(1))
                run(s.body)
              },
            )
            break
          }
          case 'times': {
            const count = (value(s.count) as unknown as Int<'u32'>).and(3)
            const round = (i: Int<'u32'>): void => {
              variables[0].set(variables[0].get().xor(i as unknown as AnyInt))
              run(s.body)
            }
            if (s.form === 'iterator' && inCallback()) iterator(count, round)
            else b.range(count, { max: 3, as: s.form }, round)
            break
          }
          case 'atomic': {
            const operand = value(s.value)
            const name = s.op[0].toUpperCase() + s.op.slice(1)
            const field = members['m1'] as unknown as Record<string, (v: AnyInt) => AnyInt>
            if (s.fetch) variables[1].set(field[`fetch${name}`](operand))
            else field[`atomic${name}`](operand)
            break
          }
          case 'if':
            b.if(holds(s.condition), () => run(s.yes), s.no.length > 0 ? () => run(s.no) : undefined)
            break
          case 'switch':
            b.switch(
              value(s.value),
              s.cases.map(([n, body]) => [n, () => run(body)] as const),
              () => run(s.otherwise),
            )
            break
          case 'cell': {
            const index = (value(s.cell) as unknown as Int<'u32'>).and(3)
            const next = value(s.value) as unknown as Int<'u64'>
            cells.lookup(index).match((cell) => {
              const before = cell.to(u64)
              variables[1].set(before as unknown as AnyInt)
              cell.set(before.mul(3).add(next))
            })
            break
          }
          case 'function':
            variables[1].set(
              combine({
                a: value(s.value) as unknown as Int<'u64'>,
                c: value(s.other) as unknown as Int<'u32'>,
              }) as unknown as AnyInt,
            )
            break
          case 'poke':
            poke({ p: locals, v: value(s.value) as unknown as Int<'u64'> })
            break
          case 'each': {
            const outside = value(s.value)
            cells.forEach((key, cell) => {
              variables[1].update((now) => now.add(key.to(u64).mul(7).xor(cell) as unknown as AnyInt).add(outside))
              if (s.stop) b.if(holds(s.stop), () => b.break())
              if (s.quit) b.if(holds(s.quit), () => b.return(b.TX))
            })
            break
          }
          case 'loop': {
            const round = (i: Int<'u32'>): void => {
              variables[0].set(variables[0].get().add(i as unknown as AnyInt))
              if (s.quit) b.if(holds(s.quit), () => b.return(b.TX))
              if (s.leave) b.if(holds(s.leave), () => b.break())
              if (s.skip) b.if(holds(s.skip), () => b.continue())
              run(s.body)
            }
            if (s.form === 'iterator' && inCallback()) iterator(u32(s.count), round)
            else b.range(s.count, { as: s.form }, round)
          }
        }
    }
    run(program.statements)
    const result = b.let(u64, 0)
    const mix = (v: AnyInt): void => result.set(result.get().mul(31).add(v.to(u64)))
    VARIABLES.forEach((_, i) => {
      mix(variables[i].get())
      mix(members[`m${i}`])
    })
    for (let i = 0; i < 4; i++) mix(locals.elements.at(i) as unknown as AnyInt)
    if (usesMemory) for (const number of seen(memory)) mix(number)
    packet['w7'].set(result.get())
    return b.PASS
  })
}

const inCallback = (): boolean => inside()?.closure !== undefined
/** What b.range refuses inside callbacks: the model and the emulator are asked about it all the same. */
function iterator(count: Int<'u32'>, round: (i: Int<'u32'>) => void): void {
  const fn = inside()
  if (fn !== undefined) numbers(fn, ownOperand(fn, count), round)
}

function binary(e: Expression & { k: 'binary' }, value: (e: Expression) => AnyInt): AnyInt {
  const a = value(e.a)
  let right = e.b
  const { bits } = INTS[e.type]
  // Constants that the builder refuses (with the fix) become what the evaluation sees too.
  if (right.k === 'literal' && (e.op === 'div' || e.op === 'mod') && right.value === 0n) {
    right.value = 1n
  }
  if (right.k === 'literal' && (e.op === 'shl' || e.op === 'shr'))
    right.value = BigInt.asUintN(64, right.value) % BigInt(Math.min(bits, 32) / 2)
  right = e.b
  return a[e.op](value(right))
}
