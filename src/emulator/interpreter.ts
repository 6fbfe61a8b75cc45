import { accessSize, arithmetic32, isTaken, loadAcquire, storeRelease } from './interpreter-steps.ts'
import type { Machine } from './machine.ts'
import { REGISTERS } from './memory.ts'
import { FUNCTION_HIGH, type LinkedProgram } from './program.ts'
import * as wide from './wide.ts'

const R0 = REGISTERS / 4
const R6 = R0 + 12
const R10 = R0 + 20
const READ4 = 0x01010101
const WRITE4 = 0x02020202
/** Plain writable memory, four bytes at once: nothing to mark as written. */
const PLAIN4 = 0x03030303

/** Calls that leave the instruction set; the answer is in r0. True: a tail call ran, the function ends with its r0. */
export interface CallTable {
  helper(number: number): boolean
  kfunc(program: LinkedProgram, slot: number): void
  loadPacket(program: LinkedProgram, slot: number): boolean
}

/** Sees every instruction before it runs. */
export type Observe = (program: LinkedProgram, slot: number) => void

/** How often may_goto lets a loop go on in one call of a function (the kernel's BPF_MAX_LOOPS). */
export const MAY_GOTO_LIMIT = 8 * 1024 * 1024

/**
 * Runs from `entry` until its function exits. Arguments and result are in the registers. Registers r6 to r9 and the frame are
 * saved and restored around local calls. Every access is checked on the shadow first; what does not pass goes the careful way.
 * The opcodes are literal so that the switch compiles to a jump table; see decode.ts for the numbers above 0xff.
 * @throws FaultSignal
 */
export function interpret(m: Machine, p: LinkedProgram, entry: number, calls: CallTable, observe?: Observe): void {
  const w = m.words
  const { view, u8, size: S } = m.memory
  const { operation, offset, imm, target, next } = p.code
  const { d: D, s: SRC } = p
  // under strict alignment every access goes the careful way
  const lastAddress = m.sanitizer.misaligned === 'off' ? S - 8 : -1
  const saved: number[] = []
  const program = m.program
  // a callback's caller finds r6 to r10 as they were
  const outer = m.frame === 0 ? undefined : w.slice(R6, R10 + 1)
  m.program = p
  const firstFrame = m.frame
  w[R10] = m.openFrame(firstFrame)
  w[R10 + 1] = 0
  let goto_ = MAY_GOTO_LIMIT
  let pc = entry
  /** The instruction before, for jumps out of the program. */
  let last = entry
  let fuel = m.fuel
  for (;;) {
    if (pc < 0 || pc >= operation.length) {
      m.pc = last
      m.fuel = fuel
      m.fail('invalid-jump', `the program leaves its ${operation.length} slots after slot ${last}`)
    }
    last = pc
    if (--fuel < 0) {
      m.pc = pc
      m.fuel = 0
      m.fail('step-limit', 'the step limit is reached')
    }
    if (observe !== undefined) {
      m.pc = pc
      m.fuel = fuel
      observe(p, pc)
    }
    const d = D[pc]
    const s = SRC[pc]
    // biome-ignore lint/suspicious/noConfusingLabels: one way out for all that end a function
    body: {
      switch (operation[pc]) {
        case 0x0f: {
          const low = (w[d] + w[s]) | 0
          w[d + 1] = w[d + 1] + w[s + 1] + (low >>> 0 < w[s] >>> 0 ? 1 : 0)
          w[d] = low
          break
        }
        case 0x1f: {
          const borrow = w[d] >>> 0 < w[s] >>> 0 ? 1 : 0
          w[d + 1] = w[d + 1] - w[s + 1] - borrow
          w[d] = w[d] - w[s]
          break
        }
        case 0x2f:
          wide.multiply(w, d, s)
          break
        case 0x3f:
          wide.divide(w, d, s)
          break
        case 0x4f:
          w[d] |= w[s]
          w[d + 1] |= w[s + 1]
          break
        case 0x5f:
          w[d] &= w[s]
          w[d + 1] &= w[s + 1]
          break
        case 0x6f:
          wide.shiftLeft(w, d, s)
          break
        case 0x7f:
          wide.shiftRight(w, d, s)
          break
        case 0x87: {
          const low = -w[d] | 0
          w[d + 1] = ~w[d + 1] + (low === 0 ? 1 : 0)
          w[d] = low
          break
        }
        case 0x9f:
          wide.modulo(w, d, s)
          break
        case 0xaf:
          w[d] ^= w[s]
          w[d + 1] ^= w[s + 1]
          break
        case 0xbf:
        case 0x18:
          w[d] = w[s]
          w[d + 1] = w[s + 1]
          break
        case 0xcf:
          wide.shiftRightSigned(w, d, s)
          break
        case 0x0c:
        case 0x1c:
        case 0x2c:
        case 0x3c:
        case 0x4c:
        case 0x5c:
        case 0x6c:
        case 0x7c:
        case 0x84:
        case 0x9c:
        case 0xac:
        case 0xbc:
        case 0xcc:
        case 0x102:
        case 0x103:
          w[d] = arithmetic32(operation[pc], w[d], w[s])
          w[d + 1] = 0
          break
        case 0x100:
          wide.divideSigned(w, d, s)
          break
        case 0x101:
          wide.moduloSigned(w, d, s)
          break
        case 0x104:
        case 0x105: {
          const shift = 32 - offset[pc]
          w[d] = (w[s] << shift) >> shift
          w[d + 1] = operation[pc] === 0x104 ? w[d] >> 31 : 0
          break
        }
        case 0x106:
          wide.truncate(w, d, imm[pc])
          break
        case 0x107:
        case 0x108:
          wide.swapBytes(w, d, imm[pc])
          break
        case 0x109:
          m.pc = pc
          m.fuel = fuel
          m.castAddress(d, s, imm[pc])
          break
        // loads
        case 0x61: {
          const at = (w[s] >>> 0) + offset[pc]
          if (w[s + 1] === 0 && at >= 0 && at <= lastAddress && (view.getInt32(at + S, true) & READ4) === READ4)
            w[d] = view.getInt32(at, true)
          else w[d] = view.getInt32(careful(m, pc, fuel, s, offset[pc], 4, false), true)
          w[d + 1] = 0
          break
        }
        case 0x69: {
          const at = (w[s] >>> 0) + offset[pc]
          if (w[s + 1] === 0 && at >= 0 && at <= lastAddress && (view.getUint16(at + S, true) & 0x0101) === 0x0101)
            w[d] = view.getUint16(at, true)
          else w[d] = view.getUint16(careful(m, pc, fuel, s, offset[pc], 2, false), true)
          w[d + 1] = 0
          break
        }
        case 0x71: {
          const at = (w[s] >>> 0) + offset[pc]
          if (w[s + 1] === 0 && at >= 0 && at <= lastAddress && (u8[at + S] & 1) !== 0) w[d] = u8[at]
          else w[d] = u8[careful(m, pc, fuel, s, offset[pc], 1, false)]
          w[d + 1] = 0
          break
        }
        case 0x79: {
          let at = (w[s] >>> 0) + offset[pc]
          if (
            !(
              w[s + 1] === 0 &&
              at >= 0 &&
              at <= lastAddress &&
              (view.getInt32(at + S, true) & view.getInt32(at + S + 4, true) & READ4) === READ4
            )
          )
            at = careful(m, pc, fuel, s, offset[pc], 8, false)
          w[d] = view.getInt32(at, true)
          w[d + 1] = view.getInt32(at + 4, true)
          break
        }
        case 0x81:
          w[d] = view.getInt32(careful(m, pc, fuel, s, offset[pc], 4, false), true)
          w[d + 1] = w[d] >> 31
          break
        case 0x89:
          w[d] = view.getInt16(careful(m, pc, fuel, s, offset[pc], 2, false), true)
          w[d + 1] = w[d] >> 31
          break
        case 0x91:
          w[d] = view.getInt8(careful(m, pc, fuel, s, offset[pc], 1, false))
          w[d + 1] = w[d] >> 31
          break
        // stores
        case 0x62:
        case 0x63: {
          let at = (w[d] >>> 0) + offset[pc]
          if (w[d + 1] === 0 && at >= 0 && at <= lastAddress) {
            const shadow = view.getInt32(at + S, true)
            if (shadow !== PLAIN4) {
              if ((shadow & WRITE4) === WRITE4 && shadow >= 0)
                view.setInt32(at + S, shadow | ((shadow >> 2) & READ4), true)
              else at = careful(m, pc, fuel, d, offset[pc], 4, true)
            }
          } else at = careful(m, pc, fuel, d, offset[pc], 4, true)
          view.setInt32(at, w[s], true)
          break
        }
        case 0x7a:
        case 0x7b: {
          let at = (w[d] >>> 0) + offset[pc]
          if (w[d + 1] === 0 && at >= 0 && at <= lastAddress) {
            const low = view.getInt32(at + S, true)
            const high = view.getInt32(at + S + 4, true)
            if (low !== PLAIN4 || high !== PLAIN4) {
              if ((low & high & WRITE4) === WRITE4 && (low | high) >= 0) {
                view.setInt32(at + S, low | ((low >> 2) & READ4), true)
                view.setInt32(at + S + 4, high | ((high >> 2) & READ4), true)
              } else at = careful(m, pc, fuel, d, offset[pc], 8, true)
            }
          } else at = careful(m, pc, fuel, d, offset[pc], 8, true)
          view.setInt32(at, w[s], true)
          view.setInt32(at + 4, w[s + 1], true)
          break
        }
        case 0x6a:
        case 0x6b:
          view.setInt16(careful(m, pc, fuel, d, offset[pc], 2, true), w[s], true)
          break
        case 0x72:
        case 0x73: {
          let at = (w[d] >>> 0) + offset[pc]
          if (!(w[d + 1] === 0 && at >= 0 && at <= lastAddress && u8[at + S] === 3))
            at = careful(m, pc, fuel, d, offset[pc], 1, true)
          u8[at] = w[s]
          break
        }
        case 0x110:
        case 0x111: {
          const bytes = operation[pc] === 0x110 ? 4 : 8
          careful(m, pc, fuel, d, offset[pc], bytes, false)
          const at = careful(m, pc, fuel, d, offset[pc], bytes, true)
          if ((at & (bytes - 1)) !== 0) {
            m.pc = pc
            m.fuel = fuel
            m.fail('misaligned', `misaligned atomic operation on ${bytes} bytes`, BigInt(at), bytes)
          }
          wide.atomic(w, view, at, s, R0, imm[pc], bytes === 8)
          break
        }
        case 0x112:
          loadAcquire(w, view, d, careful(m, pc, fuel, s, offset[pc], accessSize(p, pc), false), accessSize(p, pc))
          break
        case 0x113:
          storeRelease(w, view, s, careful(m, pc, fuel, d, offset[pc], accessSize(p, pc), true), accessSize(p, pc))
          break
        // jumps
        case 0x10e:
          pc = target[pc]
          continue
        case 0x1d:
        case 0x5d:
        case 0x4d:
        case 0x2d:
        case 0x3d:
        case 0xad:
        case 0xbd:
        case 0x6d:
        case 0x7d:
        case 0xcd:
        case 0xdd:
        case 0x1e:
        case 0x5e:
        case 0x4e:
        case 0x2e:
        case 0x3e:
        case 0xae:
        case 0xbe:
        case 0x6e:
        case 0x7e:
        case 0xce:
        case 0xde:
          if (isTaken(w, operation[pc], d, s)) {
            pc = target[pc]
            continue
          }
          break
        case 0x10f:
          if (goto_ === 0) {
            pc = target[pc]
            continue
          }
          goto_--
          break
        // calls
        case 0x10a:
        case 0x10d: {
          let to = target[pc]
          if (operation[pc] === 0x10d) {
            if (w[d + 1] !== FUNCTION_HIGH + p.index) {
              // the conformance protocol calls helpers by number through a register
              m.pc = pc
              m.fuel = fuel
              if (w[d + 1] !== 0)
                m.fail(
                  'invalid-jump',
                  `call of 0x${((BigInt(w[d + 1] >>> 0) << 32n) | BigInt(w[d] >>> 0)).toString(16)}, which is no function`,
                )
              calls.helper(w[d])
              fuel = m.fuel
              break
            }
            to = w[d]
          }
          m.pc = pc
          m.fuel = fuel
          saved.push(
            w[R6],
            w[R6 + 1],
            w[R6 + 2],
            w[R6 + 3],
            w[R6 + 4],
            w[R6 + 5],
            w[R6 + 6],
            w[R6 + 7],
            w[R10],
            next[pc],
            goto_,
          )
          m.frame++
          w[R10] = m.openFrame(m.frame)
          goto_ = MAY_GOTO_LIMIT
          pc = to
          continue
        }
        case 0x10b:
        case 0x10c: {
          m.pc = pc
          m.fuel = fuel
          let ended = false
          if (operation[pc] === 0x10b) ended = calls.helper(imm[pc])
          else calls.kfunc(p, pc)
          fuel = m.fuel
          // a tail call ran: its r0 is this function's
          if (ended) break body
          break
        }
        case 0x95:
          break body
        case 0x20:
        case 0x28:
        case 0x30:
        case 0x40:
        case 0x48:
        case 0x50: {
          m.pc = pc
          m.fuel = fuel
          if (calls.loadPacket(p, pc)) break
          // beyond the packet: the function ends with 0, as the kernel's rewriting of these loads does
          w[R0] = 0
          w[R0 + 1] = 0
          break body
        }
        default:
          m.pc = pc
          m.fuel = fuel
          m.fail(
            'invalid-instruction',
            `there is no instruction with opcode 0x${p.image.insns[pc * 8].toString(16).padStart(2, '0')} and these fields`,
          )
      }
      pc = next[pc]
      continue
    }
    // the function ends
    if (saved.length === 0) {
      m.fuel = fuel
      m.program = program
      if (outer !== undefined) w.set(outer, R6)
      return
    }
    m.closeFrame(m.frame)
    m.frame--
    goto_ = saved.pop() as number
    pc = saved.pop() as number
    w[R10] = saved.pop() as number
    for (let i = 7; i >= 0; i--) w[R6 + i] = saved.pop() as number
  }
}

/** The careful way to the address base + offset; notes where the program is first. */
function careful(
  m: Machine,
  pc: number,
  fuel: number,
  base: number,
  offset: number,
  size: number,
  write: boolean,
): number {
  m.pc = pc
  m.fuel = fuel
  return m.resolve(m.words[base] >>> 0, m.words[base + 1], offset, size, write)
}
