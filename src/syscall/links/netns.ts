import { closeSync, openSync } from 'node:fs'
import { UsageError } from '../../errors/index.ts'
import { ATTACH_TYPES } from '../../uapi/index.ts'
import { choice } from '../sys/choice.ts'
import { createLink, type Link, type ProgramHandle } from './link.ts'

const TYPES = { flow_dissector: ATTACH_TYPES.flow_dissector, sk_lookup: ATTACH_TYPES.sk_lookup } as const

export interface NetnsOptions {
  readonly type: keyof typeof TYPES
  /** The namespace as a file; default this process's. */
  readonly netns?: string
}

/** Runs a flow dissector (Linux 5.8) or a socket look-up program (5.9) in a network namespace. */
export function attachNetns(program: ProgramHandle, options: NetnsOptions): Link {
  const attach_type = choice(TYPES, options.type, 'network namespace hook')
  const path = options.netns ?? '/proc/self/ns/net'
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (cause) {
    throw new UsageError('link.netns', `there is no network namespace ${path}`, { cause })
  }
  try {
    return createLink(program, `${options.type} in ${path}`, options.type === 'sk_lookup' ? '5.9' : '5.8', {
      target_fd: file,
      attach_type,
    })
  } finally {
    closeSync(file)
  }
}
