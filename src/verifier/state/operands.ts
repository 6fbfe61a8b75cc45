/** Registers as operands: readable, writable, remembered for the log. */
import { EACCES, type Env } from './env.ts'
import { NOT_INIT, TYPE } from './registers.ts'
import { FRAME_POINTER, REGISTERS, registerBase } from './state.ts'

export function registerForRead(env: Env, register: number): void {
  if (register >= REGISTERS) env.reject(`R${register} is invalid`)
  env.scratchRegister(register)
  if (env.frame.m[registerBase(register) + TYPE] === NOT_INIT) env.reject(`R${register} !read_ok`, EACCES)
}

export function registerForWrite(env: Env, register: number): void {
  if (register >= REGISTERS) env.reject(`R${register} is invalid`)
  env.scratchRegister(register)
  if (register === FRAME_POINTER) env.reject('frame pointer is read only', EACCES)
}
