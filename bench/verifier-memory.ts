/** Run as a process of its own by verifier.ts: what the memory's peak rises by while the path-explosion row is verified. */
import { verify } from '../src/verifier/index.ts'
import { corpusImage, corpusRows } from '../test/differential/verifier/corpora.ts'

const [object, section] = process.argv.slice(2)
const row = corpusRows().find((r) => r.object === object && r.section === section)
if (row === undefined) throw new Error(`no row ${object} ${section}`)
const image = corpusImage(row)
/** KiB, the highest so far. */
const peak = (): number => process.resourceUsage().maxRSS
const before = peak()
const { processed, peakStates } = verify(image)
process.stdout.write(
  JSON.stringify({ addedMiB: (peak() - before) / 1024, wholeMiB: peak() / 1024, processed, peakStates }),
)
