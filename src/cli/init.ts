import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { UsageError } from '../errors/index.ts'

/** The files of a new project, by path. */
export function projectFiles(name: string): Record<string, string> {
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
  return {
    'package.json': json({
      name,
      version: '0.1.0',
      private: true,
      type: 'module',
      scripts: {
        build: `typebpf build src/${name}.bpf.ts -o build/${name}.o`,
        verify: `typebpf verify src/${name}.bpf.ts`,
        test: 'vitest run',
        typecheck: 'tsc --noEmit',
      },
      dependencies: { typebpf: '^0.1.0' },
      devDependencies: { '@types/node': '^20.19.0', typescript: '^7.0.2', vitest: '^4.1.0' },
    }),
    'tsconfig.json': json({
      compilerOptions: {
        target: 'ES2023',
        lib: ['ES2023', 'ESNext.Disposable'],
        module: 'NodeNext',
        moduleResolution: 'NodeNext',
        types: ['node'],
        strict: true,
        noEmit: true,
        skipLibCheck: true,
        allowImportingTsExtensions: true,
        erasableSyntaxOnly: true,
        verbatimModuleSyntax: true,
      },
      include: ['src', 'test'],
    }),
    [`src/${name}.bpf.ts`]: `import { be16, be32, mac, map, struct, u8, u64, xdp } from 'typebpf'

const Eth = struct('ethhdr', { dst: mac, src: mac, proto: be16 })
const Ipv4 = struct('iphdr', {
  versionIhl: u8,
  tos: u8,
  length: be16,
  id: be16,
  fragment: be16,
  ttl: u8,
  protocol: u8,
  checksum: be16,
  src: be32,
  dst: be32,
})

/** Source addresses to drop, with how many packets each lost. */
export const blocked = map.hash('blocked', { key: be32, value: u64, maxEntries: 1024 })

/** Drops packets of blocked IPv4 sources. */
export const filter = xdp('filter', (b) => {
  const eth = b.packet.at(0, Eth).orReturn(b.PASS)
  b.if(eth.proto.ne(0x0800), () => b.return(b.PASS))
  const ip = b.packet.at(14, Ipv4).orReturn(b.PASS)
  const lost = blocked.lookup(ip.src).orReturn(b.PASS)
  lost.atomicAdd(1)
  return b.DROP
})
`,
    [`test/${name}.test.ts`]: `import { eth, harness, ipv4, packet, udp } from 'typebpf/progrun'
import { expect, test } from 'vitest'
import { blocked, filter } from '../src/${name}.bpf.ts'

const from = (src: string): Uint8Array => packet(eth(), ipv4({ src }), udp())

test('drops what comes from a blocked address, passes the rest', async () => {
  using t = await harness([filter, blocked], { maps: { blocked: [[0x0a000001, 0n]] } })
  expect(t.run(filter, { packet: from('10.0.0.1') }).returnValue).toBe(1)
  expect(t.run(filter, { packet: from('10.0.0.2') }).returnValue).toBe(2)
})
`,
    '.github/workflows/ci.yml': `name: ci
on: [push, pull_request]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-node@v4
        with:
          node-version: 20
      - run: npm install
      - run: npm run typecheck
      - run: npm run build
      # without root: in the emulator
      - run: npm test
      # with root: in the runner's kernel too
      - run: sudo env "PATH=$PATH" npm test
`,
    '.gitignore': 'node_modules\nbuild\n',
    'README.md': `# ${name}

\`\`\`
npm install
npm run build      # build/${name}.o, loadable by any libbpf
npm run verify     # the kernel's answer without the kernel
npm test           # in the emulator; as root in the kernel too
\`\`\`
`,
  }
}

function init(folder: string, options: { json?: boolean }): void {
  const root = resolve(folder)
  const name = basename(root)
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '')
  if (name === '')
    throw new UsageError('init.name', `${folder}: the folder's name makes no project name`, {
      details: ['use letters, digits and -'],
    })
  if (existsSync(root) && readdirSync(root).length > 0)
    throw new UsageError('init.not-empty', `${folder} is not empty`, { details: ['give the name of a new folder'] })
  const files = projectFiles(name)
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ name, folder: root, files: Object.keys(files) })}\n`)
  else
    process.stdout.write(
      `${folder}: ${Object.keys(files).length} files. Next: cd ${folder} && npm install && npm test\n`,
    )
}

export function register(program: Command): void {
  program
    .command('init')
    .description('make a new project: a program, its test, package.json, CI')
    .argument('<folder>', 'a new or empty folder')
    .option('-j, --json', 'print JSON')
    .action(init)
}
