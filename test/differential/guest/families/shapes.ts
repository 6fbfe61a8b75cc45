/** What a probe does at its site: the shapes that every site is asked about. */
import { ALU, Code, JMP } from '../../verifier/code.ts'
import { cpumask, dynptr, iterate, Sketch, section, task, walk } from '../../verifier/generators/kernel-objects.ts'
import type { Generated, Generator } from '../../verifier/program.ts'
import type { Random } from '../../verifier/random.ts'
import { CONTEXT, helperCall, kernelCall, kernelFunctions } from './calls.ts'
import type { Kernel, Site } from './site.ts'

type Program = Pick<Generated, 'slots' | 'relocations' | 'functions'>

/** Writes a program for a site. */
export interface Shape {
  readonly name: string
  readonly weight: number
  write(random: Random, site: Site, index: number): Program
}

const RANDOM_NUMBER = 7

function done(code: Code): Program {
  return { functions: code.functionStarts(), slots: code.finish(), relocations: code.relocations }
}

/** The context where it stays; what is no context, when there is none. */
function begin(code: Code, { registers }: Site): Code {
  return registers?.context === 0 ? code.mov(CONTEXT, 0) : code.movReg(CONTEXT, registers?.context ?? 1)
}

/** The last words: mostly a number that many sites take. */
function end(code: Code, random: Random): void {
  code.mov(0, random.chance(0.92) ? 0 : random.pick([1, 2, -1])).exit()
}

const RESULTS = [0, 1, 2, 3, -1, -13, -4095, -4096, -4097, 255, 0x7fffffff]

/** Only a result: numbers, ranges, the context, what the context holds, nothing at all. */
function result(random: Random, site: Site): Program {
  const code = new Code()
  const words = site.arguments.length
  switch (random.below(9)) {
    case 0:
      code.call(RANDOM_NUMBER)
      break
    case 1:
      code.call(RANDOM_NUMBER).alu(ALU.and, 0, random.pick([1, 3, 0xff]))
      break
    case 2:
      code.movReg(0, random.pick([1, 10, 2]))
      break
    case 3:
      code.load(random.chance(0.8) ? 8 : 4, 0, 1, 8 * words, false)
      if (random.chance(0.4)) code.alu(ALU.add, 0, random.pick([1, -1]))
      break
    case 4:
      code.load(8, 0, 1, 8 * random.between(0, words))
      break
    case 5: {
      // one result or another
      const other = code.label()
      code.call(RANDOM_NUMBER).movReg(7, 0).mov(0, random.pick(RESULTS))
      code.jumpIf(JMP.jsgt, 7, random.edge(), other).mov(0, random.pick(RESULTS))
      code.place(other)
      break
    }
    case 6:
      if (random.chance(0.3)) break
      code.imm64(0, random.edge(), random.pick([0, -1, 1]))
      break
    default:
      code.mov(0, random.chance(0.4) ? 0 : random.pick(RESULTS))
  }
  return done(code.exit())
}

const SIZES = [1, 2, 4, 8] as const

/** Loads and stores in the context, and what its pointers lead to. */
function context(random: Random, site: Site, { btf }: Kernel): Program {
  const s = new Sketch(random, btf, 'lsm')
  const code = begin(s.c, site)
  for (let loads = random.between(1, 3); loads > 0; loads--) {
    const at = random.between(0, Math.max(0, site.arguments.length + (random.chance(0.12) ? 2 : -1)))
    const odd = random.chance(0.05)
    const offset = 8 * Math.max(0, at) + (odd ? random.pick([1, 2, 4, -8]) : 0)
    if (random.chance(0.04)) {
      code.storeImm(random.pick(SIZES), CONTEXT, offset, random.edge())
      continue
    }
    code.load(random.chance(0.96) ? 8 : random.pick(SIZES), 7, CONTEXT, offset)
    const { struct, isPointer = false } = site.arguments[at] ?? {}
    if (random.chance(0.07)) code.alu(random.pick([ALU.add, ALU.sub, ALU.and]), 7, random.pick([8, 1, -8, 4096]))
    if (struct !== undefined) random.chance(0.2) ? s.unlessNull(7, () => walk(s, 7, struct)) : walk(s, 7, struct)
    else if (isPointer || random.chance(0.05)) code.load(random.pick(SIZES), 3, 7, random.pick([0, 8, 4, 100]))
    if (random.chance(0.1)) code.storeImm(8, 10, -8, 0).store(8, 10, -8, 7).load(8, 8, 10, -8)
  }
  end(code, random)
  return done(code)
}

/** As an extension reads its parameters: fields of a context, memory, numbers. */
function parameters(random: Random, site: Site, { pointers }: NonNullable<Site['registers']>): Program {
  const code = begin(new Code(), site)
  for (const register of pointers) {
    if (random.chance(0.85)) {
      const out = code.label()
      code.jumpIf(JMP.jeq, register, 0, out)
      code.load(random.pick(SIZES), 0, register, random.pick([0, 0, 2, 4, 8, 12, 16]))
      code.place(out)
    } else code.load(4, 0, register, 0)
    if (random.chance(0.3)) code.storeImm(4, register, 0, 1)
  }
  for (let reads = random.below(3); reads > 0; reads--) {
    const offset = 4 * random.below(random.chance(0.9) ? 24 : 60)
    if (random.chance(0.2)) code.storeImm(4, CONTEXT, offset, 0)
    else code.load(random.chance(0.85) ? 4 : random.pick(SIZES), 7, CONTEXT, offset)
  }
  end(code, random)
  return done(code)
}

function called(random: Random, site: Site, call: (code: Code) => void): Program {
  const code = begin(new Code(), site)
  call(code)
  if (random.chance(0.3)) code.movReg(8, 0)
  if (random.chance(0.1)) call(code)
  end(code, random)
  return done(code)
}

/** Kernel functions with their references, sections and iterators. */
function objects(random: Random, site: Site, { btf }: Kernel): Program {
  const s = new Sketch(random, btf, 'lsm')
  begin(s.c, site).mov(8, 0)
  for (let steps = random.between(1, 3); steps > 0; steps--) random.pick([task, cpumask, section, iterate, dynptr])(s)
  if (random.chance(0.3) && site.arguments.length > 0) s.c.load(8, 7, CONTEXT, 0)
  s.end(0)
  return done(s.c)
}

/** The ordinary campaign's generators that make sense in a context of another shape. */
const CARRIED: readonly string[] = [
  'scalars',
  'spills',
  'map-values',
  'helpers',
  'references',
  'subprograms',
  'loops',
  'atomics',
  'pointers',
  'iterators',
  'frames',
]

/** A program that was written for another type. */
function carried(random: Random, site: Site, generators: readonly Generator[]): Program {
  let program = random.pick(generators).generate(random)
  // an extension has its own records of functions
  for (let tries = 0; tries < 10 && site.own !== undefined && program.functions !== undefined; tries++)
    program = random.pick(generators).generate(random)
  return program
}

/** @param ordinary the generators of the ordinary campaign */
export function shapesFor(kernel: Kernel, ordinary: readonly Generator[]): Shape[] {
  const functions = kernelFunctions(kernel)
  const usable = ordinary.filter(({ name }) => CARRIED.includes(name))
  return [
    { name: 'result', weight: 4, write: result },
    {
      name: 'context',
      weight: 6,
      write: (random, site) =>
        site.registers === undefined ? context(random, site, kernel) : parameters(random, site, site.registers),
    },
    {
      name: 'helper',
      weight: 6,
      write: (random, site) => called(random, site, (code) => helperCall(code, random, site)),
    },
    {
      name: 'kfunc',
      weight: 3,
      write: (random, site) => called(random, site, (code) => kernelCall(code, random, site, kernel, functions)),
    },
    { name: 'objects', weight: 2, write: (random, site) => objects(random, site, kernel) },
    { name: 'carried', weight: 3, write: (random, site) => carried(random, site, usable) },
  ]
}
