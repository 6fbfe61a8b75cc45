/** Accesses through pointers to kernel types. */
import type { Env } from './env.ts'

export function checkBtfAccess(
  env: Env,
  _register: number,
  _off: number,
  _size: number,
  _write: boolean,
  _value: number,
): void {
  env.unmodelled('accesses through pointers to kernel types')
}

export function checkMapStructAccess(
  env: Env,
  _register: number,
  _off: number,
  _size: number,
  _write: boolean,
  _value: number,
): void {
  env.unmodelled('reads of a map itself')
}
