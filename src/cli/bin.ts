#!/usr/bin/env node
import * as nodeModule from 'node:module'
import { toolBundle } from './tool/bundle.ts'
import { wordsMain } from './words/main.ts'
import { printToDescriptor } from './words/output.ts'

// compiled code is kept between runs where Node can (22.8)
;(nodeModule as { enableCompileCache?: () => unknown }).enableCompileCache?.()

printToDescriptor()
const args = process.argv.slice(2)
// a ready tool needs nothing of the other commands: where the package was built it is one file, read at once
const isTool = args[0] === 'tool' && args[1] !== undefined && !args[1].startsWith('-')
const bundle = isTool ? toolBundle(new URL('../../programs/', import.meta.url), args[1]) : undefined
const code = bundle === undefined ? await wordsMain(args) : await bundle.main(args.slice(2))
if (code !== undefined)
  process.exit(code) // all is written: waiting for Node's own end takes longer
else {
  // `typebpf … | head` closes the pipe early: that is no error
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0)
      throw error
    })
  const { main } = isTool ? await import('./tool/main.ts') : await import('./main.ts')
  process.exitCode = await main(args)
}
