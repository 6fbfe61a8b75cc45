import { MODE, SIZE } from '../../uapi/index.ts'
import type { TokenCursor } from './cursor.ts'

/** Size and mode bits of an access. */
export interface Access {
  readonly size: number
  readonly mode: number
}

const TYPES: ReadonlyMap<string, Access> = new Map([
  ['u8', { size: SIZE.b, mode: MODE.mem }],
  ['u16', { size: SIZE.h, mode: MODE.mem }],
  ['u32', { size: SIZE.w, mode: MODE.mem }],
  ['u64', { size: SIZE.dw, mode: MODE.mem }],
  ['s8', { size: SIZE.b, mode: MODE.memsx }],
  ['s16', { size: SIZE.h, mode: MODE.memsx }],
  ['s32', { size: SIZE.w, mode: MODE.memsx }],
])

function accessType(cursor: TokenCursor): Access {
  const { token } = cursor
  const access = TYPES.get(cursor.name('an access type (u8, u16, u32, u64, s8, s16, s32)'))
  if (access === undefined) cursor.fail('an access type (u8, u16, u32, u64, s8, s16, s32)', token)
  return access
}

/** `(u32 *)`. */
export function pointerType(cursor: TokenCursor): Access {
  cursor.expect('(')
  const access = accessType(cursor)
  cursor.expect('*')
  cursor.expect(')')
  return access
}

/** `(r1 + 4)`. */
export function address(cursor: TokenCursor): { readonly base: number; readonly offset: number } {
  cursor.expect('(')
  const base = cursor.wholeRegister()
  const offset = cursor.offset()
  cursor.expect(')')
  return { base, offset }
}
