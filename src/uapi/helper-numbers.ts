import { HELPER_NAMES } from './helper-names.ts'

const NUMBERS: ReadonlyMap<string, number> = new Map(HELPER_NAMES.map((name, number) => [name, number]))

/** `map_lookup_elem` for 1; undefined for a number that no helper has. */
export function helperName(number: number): string | undefined {
  return HELPER_NAMES[number]
}

/** 1 for `map_lookup_elem` or `bpf_map_lookup_elem`; undefined for a name that no helper has. */
export function helperNumber(name: string): number | undefined {
  return NUMBERS.get(name) ?? (name.startsWith('bpf_') ? NUMBERS.get(name.slice(4)) : undefined)
}
