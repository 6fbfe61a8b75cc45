// A tool's kernel side as data: what its user side needs of it (sizes and types of maps, layouts of records, names of programs)
// without the builder, which is more than half of a bundle's code. The programs themselves are built ahead.

const isType = (value) =>
  value !== null &&
  (typeof value === 'object' || typeof value === 'function') &&
  ['kind', 'size', 'align'].every((key) => key in value)
const TYPE = [
  'kind',
  'size',
  'align',
  'id',
  'signed',
  'length',
  'form',
  'element',
  'base',
  'width',
  'tag',
  'values',
  'members',
]

const pick = (value, keys) =>
  Object.fromEntries(keys.filter((key) => value[key] !== undefined).map((key) => [key, value[key]]))

/** A value as JavaScript source. Types keep what user space needs of them. */
function source(value) {
  if (typeof value === 'bigint') return `${value}n`
  if (value instanceof Uint8Array) return `Uint8Array.of(${[...value]})`
  if (Array.isArray(value)) return `[${value.map(source)}]`
  if (isType(value)) return object(pick(value, TYPE))
  if (value !== null && typeof value === 'object') return object(value)
  if (value === null || ['number', 'string', 'boolean'].includes(typeof value)) return JSON.stringify(value)
  throw new Error(`a tool's definitions have a ${typeof value}`)
}
const object = (value) =>
  `{${Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([key, member]) => `${JSON.stringify(key)}:${source(member)}`)}}`

/** An export of a tool's kernel side as JavaScript source. */
function definition(value) {
  if (typeof value === 'function' && !isType(value)) return undefined
  if (Array.isArray(value)) return `[${value.map(definition)}]`
  if (value === null || typeof value !== 'object' || isType(value)) return source(value)
  // a program: its name; `shape` says that it is one
  if ('shape' in value) return object({ name: value.name, shape: {} })
  if (!('spec' in value)) return source(value)
  const map = object(pick(value, ['name', 'spec', 'keyType', 'valueType', 'recordType', 'type']))
  if (!('scale' in value)) return map
  const scale = object(pick(value.scale, ['slots', 'step', 'from']))
  return `{...${map},decode:(counts,options)=>decodeSlots(${scale},counts,options)}`
}

/**
 * @param {object} module the namespace of a `.bpf.js` module
 * @param {string} slots the path of the module with `decodeSlots`
 * @returns {string} a module with the same names
 */
export function definitionsOf(module, slots) {
  const lines = Object.entries(module).map(([name, value]) => [name, definition(value)])
  return [
    `import { decodeSlots } from ${JSON.stringify(slots)}`,
    ...lines.filter(([, text]) => text !== undefined).map(([name, text]) => `export const ${name} = ${text}`),
  ].join('\n')
}
