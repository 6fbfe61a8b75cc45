import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SystemError, UsageError } from '../../errors/index.ts'
import type { AttachOptions, Link, Sys } from '../../syscall/index.ts'
import type { HarnessEvent } from '../backend/backend.ts'
import type { KernelBackend } from '../backend/kernel.ts'
import type { Harness } from './harness.ts'

/** How a program without BPF_PROG_RUN is made to run in the kernel. */
export interface Drive<L extends Disposable = Disposable> {
  /** Attaches it to something of the test's own; the answer is closed after the trigger. */
  readonly attach: (program: { readonly sys: Sys; readonly fd: number }) => L
  /** Makes the event happen. Iterators are read from the link. */
  readonly trigger: (link: L) => unknown
}

/** A program by name, or a value of the builder. */
export type NamedProgram = string | { readonly name: string }

export interface DriveResult {
  /** What the trigger returned. */
  readonly triggered: unknown
  /** Ring records that were sent meanwhile. */
  readonly events: readonly HarnessEvent[]
}

/**
 * Attaches a loaded program, triggers its event and detaches, always. Maps are read through the harness afterwards.
 *
 * ```ts
 * using t = await harness(firewall, { backend: 'kernel' })
 * using cgroup = ownCgroup()
 * await drive(t, firewall, {
 *   attach: (program) => attachCgroup(program, { cgroup: cgroup.path, type: 'cgroup_inet4_connect' }),
 *   trigger: () => cgroup.run('curl', 'http://10.0.0.1'),
 * })
 * ```
 * @throws UsageError without the kernel backend; what attaching throws
 */
export async function drive<L extends Disposable>(
  t: Harness,
  program: NamedProgram,
  how: Drive<L>,
): Promise<DriveResult> {
  if (t.kernel === undefined)
    throw new UsageError('progrun.no-kernel', 'driving a program needs the backend "kernel"', {
      details: ['harness(program, { backend: "kernel" })'],
    })
  const name = typeof program === 'string' ? program : program.name
  const index = t.images.findIndex((image) => image.name === name)
  const fd = t.kernel.programFd(index)
  t.kernel.takeEvents()
  const link = how.attach({ sys: t.kernel.sys, fd })
  let triggered: unknown
  try {
    triggered = await how.trigger(link)
  } finally {
    link[Symbol.dispose]()
  }
  return { triggered, events: t.kernel.takeEvents() }
}

/** Where a program attaches when its section leaves it open, and what makes its event happen. */
export interface DriveOwn extends AttachOptions {
  /** Answers what `triggered` will be. Iterators are read from the link. */
  readonly trigger: (link: Link) => unknown
}

/**
 * Attaches a program as its section or its builder call says, to this process only where the hook knows processes (uprobes,
 * perf events), triggers and detaches. Tracepoints, kprobes and raw tracepoints fire for every process of the machine: such a
 * program filters on its own.
 *
 * ```ts
 * using t = await harness('getenv.bpf.o', { backend: 'kernel' })
 * const { events } = await driveOwn(t, 'on_getenv', { trigger: () => process.env.HOME })
 * ```
 * @throws UsageError `progrun.attach` when the harness knows only the linked image, `attach.where` when a place is missing
 */
export async function driveOwn(
  t: Harness,
  program: NamedProgram,
  { trigger, ...where }: DriveOwn,
): Promise<DriveResult> {
  const name = typeof program === 'string' ? program : program.name
  const spec = t.object?.programs.find((candidate) => candidate.name === name)
  if (spec === undefined)
    throw new UsageError('progrun.attach', `where ${name} attaches is not known here`, {
      details: [
        'give the harness an object or programs of the builder, or attach by hand: drive(t, program, { attach })',
      ],
    })
  const perProcess =
    spec.attach?.kind === 'uprobe' ||
    spec.attach?.kind === 'uprobe_multi' ||
    spec.attach?.kind === 'usdt' ||
    spec.attach?.kind === 'perf_event'
  const { kernel } = t
  const index = t.images.findIndex((image) => image.name === name)
  return drive(t, program, {
    // without waiting before: the thread may stand in a network namespace of the test
    attach: () =>
      (kernel as KernelBackend).attach(index, spec, { ...(perProcess ? { pid: process.pid } : {}), ...where }),
    trigger,
  })
}

/** A cgroup of the test's own: programs attached to it see nobody else. */
export interface OwnCgroup extends Disposable {
  readonly path: string
  /** Runs a command inside and answers its exit code and output. */
  run(command: string, ...args: readonly string[]): { readonly code: number; readonly output: string }
}

function cgroupRoot(): string {
  const line = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((each) => each.split(' ')[2] === 'cgroup2')
  const path = line?.split(' ')[1]
  if (path === undefined) throw new SystemError('progrun.cgroup', 'no cgroup2 file system is mounted')
  return path
}

/** Makes a cgroup, removed again when it is disposed of. @throws SystemError `progrun.cgroup` where that is not possible */
export function ownCgroup(): OwnCgroup {
  let path: string
  try {
    const parent = cgroupRoot()
    mkdirSync(parent, { recursive: true })
    path = mkdtempSync(join(parent, 'typebpf-test-'))
  } catch (cause) {
    if (cause instanceof SystemError) throw cause
    throw new SystemError(
      'progrun.cgroup',
      `a cgroup cannot be made: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    )
  }
  let gone = false
  return {
    path,
    run(command, ...args) {
      const script = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
      try {
        const output = execFileSync('sh', ['-c', script, path, command, ...args], { encoding: 'utf8', stdio: 'pipe' })
        return { code: 0, output }
      } catch (error) {
        const { status, stdout, stderr } = error as { status?: number; stdout?: string; stderr?: string }
        return { code: status ?? -1, output: `${stdout ?? ''}${stderr ?? ''}` }
      }
    },
    [Symbol.dispose]() {
      if (gone) return
      gone = true
      try {
        writeFileSync(join(path, 'cgroup.kill'), '1')
      } catch {
        // before Linux 5.14 there is nothing to kill with; the commands have ended anyway
      }
      rmdirSync(path)
    },
  }
}
