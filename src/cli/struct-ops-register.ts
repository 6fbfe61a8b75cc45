import { BpfError, NegativeError, UsageError } from '../errors/index.ts'
import { attachStructOps, linkInfo, loadObject, mapInfo, realSys, registerStructOps } from '../syscall/index.ts'
import { loadInput } from './load-input.ts'
import { pinAt } from './objects/bpffs.ts'
import type { Context } from './words/noun.ts'
import { print } from './words/output.ts'

/** `struct_ops register OBJ [LINK_DIR]`. */
export async function register(words: readonly string[], context: Context): Promise<void> {
  const [file, folder, ...more] = words
  if (file === undefined || more.length > 0)
    throw new UsageError('cli.words', 'an object, and a folder for its links: OBJ [LINK_DIR]')
  const object = await loadInput(file)
  const maps = object.maps.filter(({ structOps }) => structOps !== undefined)
  if (maps.length === 0) throw new NegativeError('struct-ops.none', `${file}: there are no struct_ops in it`)
  const linked = maps.find(({ structOps }) => structOps?.legacy !== true)
  if (linked !== undefined && folder === undefined)
    throw new UsageError(
      'struct-ops.link',
      `${linked.name} is put into force by a link, which would end with this command: name a folder to pin it in`,
    )
  const sys = realSys()
  using loaded = loadObject(sys, object)
  const bad = loaded.programs.find(({ result }) => result.program === undefined)
  if (bad !== undefined)
    throw (
      bad.error ??
      new NegativeError('load.rejected', `program ${bad.spec.name}: ${bad.result.message ?? bad.result.verdict}`)
    )
  let failed: BpfError | undefined
  for (const { name, structOps } of maps) {
    try {
      if (structOps?.legacy === true) {
        using map = registerStructOps(loaded, name)
        const { id } = mapInfo(sys, map.fd)
        process.stderr.write(`Registered ${structOps.typeName} ${name} id ${id}\n`)
        continue
      }
      using link = attachStructOps(loaded, name)
      pinAt(sys, link, `${folder}/${name}`, { nomount: context.nomount })
      const { id, raw } = linkInfo(sys, link.fd)
      const mapId = raw.byteLength >= 20 ? raw.getUint32(16, true) : 0
      process.stderr.write(`Registered ${structOps?.typeName} ${name} map id ${mapId} link id ${id}\n`)
    } catch (error) {
      if (!(error instanceof BpfError)) throw error
      failed ??= error
      process.stderr.write(`typebpf: ${name}: ${error.message}\n`)
    }
  }
  if (failed !== undefined) throw failed
  if (context.json === true) print('null\n')
}
