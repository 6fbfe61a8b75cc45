import { BPF_ATTRS, type BpfCommand } from '../../uapi/index.ts'
import { attrOut, tryBpf } from '../sys/command.ts'
import { ERRNO } from '../sys/errno.ts'
import { explainErrno } from '../sys/explain.ts'
import type { Block } from '../sys/sys.ts'
import type { RawMap } from './raw-map.ts'

const COUNT = BPF_ATTRS.map_lookup_batch.count[0]

/** Several elements as the kernel gives them: keys and values one behind the other. Valid until the next step. */
export interface BatchChunk {
  readonly count: number
  readonly keys: Uint8Array
  readonly values: Uint8Array
}

/** True of errors that say that the map type or the kernel has no batch command. */
function unsupported(errno: number): boolean {
  return errno === ERRNO.ENOTSUPP || errno === ERRNO.EOPNOTSUPP || errno === ERRNO.EINVAL
}

const DEFAULT_BYTES = 4 * 1024 * 1024
/** A hash bucket is given whole: a batch must have room for the fullest one. */
const LEAST = 256

/**
 * Walks a map in batches, deleting what it reads when asked to. Hash and array families, LPM tries; Linux 5.6, per-CPU
 * arrays 5.13. The answer of the generator is false when this map has no batch command: nothing was read then.
 * @throws SystemError `sys.enospc` when one bucket does not fit into a batch of the whole map
 */
export function* readBatches(map: RawMap, options: { delete?: boolean } = {}): Generator<BatchChunk, boolean> {
  const { sys } = map
  const { keySize, maxEntries } = map.shape
  const command: BpfCommand = options.delete === true ? 'map_lookup_and_delete_batch' : 'map_lookup_batch'
  const entryBytes = keySize + map.exchangedSize
  let room = Math.min(maxEntries, Math.max(LEAST, Math.floor(DEFAULT_BYTES / Math.max(entryBytes, 1))))
  let block: Block | undefined
  // The kernel's own cursor: 4 bytes of bucket number, or a key.
  using cursors = sys.alloc(2 * Math.max(keySize, 8))
  const cursorBytes = cursors.size / 2
  try {
    block = sys.alloc(room * entryBytes)
    let first = true
    let current = 0
    for (;;) {
      const keys = block.address
      const values = block.address + room * keySize
      const result = tryBpf(sys, command, {
        map_fd: map.fd,
        in_batch: first ? 0 : cursors.address + current * cursorBytes,
        out_batch: cursors.address + (1 - current) * cursorBytes,
        keys,
        values,
        count: room,
      })
      const count = attrOut(sys, COUNT)
      if (result < 0 && result !== -ERRNO.ENOENT) {
        if (result === -ERRNO.ENOSPC && room < maxEntries) {
          room = Math.min(maxEntries, room * 2)
          block.free()
          block = sys.alloc(room * entryBytes)
          continue
        }
        if (first && unsupported(-result)) return false
        throw explainErrno(command, -result, map.what)
      }
      first = false
      current = 1 - current
      if (count > 0)
        yield {
          count,
          keys: block.bytes.subarray(0, count * keySize),
          values: block.bytes.subarray(room * keySize, room * keySize + count * map.exchangedSize),
        }
      if (result === -ERRNO.ENOENT) return true
    }
  } finally {
    block?.free()
  }
}

/**
 * Writes many elements at once; false when this map has no batch command (nothing was written then). Linux 5.6.
 * @throws SystemError when an element is refused; those before it are written
 */
export function updateBatch(map: RawMap, keys: Uint8Array, values: Uint8Array, count: number, flags = 0): boolean {
  const { sys } = map
  using keyBlock = sys.alloc(keys.length)
  using valueBlock = sys.alloc(values.length)
  keyBlock.bytes.set(keys)
  valueBlock.bytes.set(values)
  const result = tryBpf(sys, 'map_update_batch', {
    map_fd: map.fd,
    keys: keyBlock.address,
    values: valueBlock.address,
    count,
    elem_flags: flags,
  })
  if (result >= 0) return true
  if (unsupported(-result) && attrOut(sys, COUNT) === 0) return false
  if (unsupported(-result) && attrOut(sys, COUNT) === count) return false
  throw explainErrno('map_update_batch', -result, map.what)
}

/** Deletes many keys at once; false when this map has no batch command. Keys that are not there end the batch. Linux 5.6. */
export function deleteBatch(map: RawMap, keys: Uint8Array, count: number): boolean {
  const { sys } = map
  using keyBlock = sys.alloc(keys.length)
  keyBlock.bytes.set(keys)
  const result = tryBpf(sys, 'map_delete_batch', { map_fd: map.fd, keys: keyBlock.address, count })
  if (result >= 0 || result === -ERRNO.ENOENT) return true
  if (unsupported(-result)) return false
  throw explainErrno('map_delete_batch', -result, map.what)
}
