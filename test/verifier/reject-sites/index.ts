/**
 * A program of its own for every site of the model that refuses programs and that the generators do not come to: text, the
 * types and maps around it ({@link world}), and the words of the refusal.
 */
import { EXTENSIONS } from './extensions.ts'
import { ARGUMENTS, FUNCTIONS } from './functions.ts'
import { KFUNCS } from './kernel-functions.ts'
import { HELPER_MEMORY, POINTERS, UNHELD } from './memory.ts'
import { GRAPHS } from './objects.ts'
import type { SiteProgram } from './program.ts'
import { TARGETS } from './targets.ts'

export { type SiteProgram, siteImage } from './program.ts'

export const SITE_PROGRAMS: readonly SiteProgram[] = [
  ...GRAPHS,
  ...KFUNCS,
  ...POINTERS,
  ...UNHELD,
  ...HELPER_MEMORY,
  ...ARGUMENTS,
  ...FUNCTIONS,
  ...TARGETS,
  ...EXTENSIONS,
]
