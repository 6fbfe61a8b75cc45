import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GuestError } from './tools.ts'

export interface MachineOptions {
  readonly qemu: string
  /** bzImage. */
  readonly kernel: string
  /** Where this start's files are written. */
  readonly folder: string
  /** QEMU's accelerator: `tcg` works everywhere, `kvm` is ten times faster where it is to be had. */
  readonly accelerator?: string
  /** Words that follow the kernel's command line. */
  readonly append?: string
  /** The guest is ended when it has said nothing for so long. */
  readonly silenceSeconds?: number
}

/** What a guest said until it ended. */
export interface MachineRun {
  /** Of its second serial line. */
  readonly output: string
  /** The end of what its kernel printed. */
  readonly console: string
  /** It fell silent and was ended. */
  readonly silent: boolean
}

const MEMORY_MB = 1536
const SILENCE_SECONDS = 300
const CONSOLE_LIMIT = 65_536
/** BPF LSM programs are asked about, and the policy is that of the kernel from which the model's tables were recorded. */
const COMMAND_LINE = 'console=ttyS0 quiet panic=-1 oops=panic mitigations=off lsm=lockdown,bpf lockdown=integrity'

function size(path: string): number {
  try {
    return statSync(path).size
  } catch {
    return 0
  }
}

/** Until the process has ended; it is killed when `path` does not grow. */
function watch(
  child: ChildProcess,
  path: string,
  limit: number,
  told: (path: string) => void,
): Promise<{ code: number | null; silent: boolean }> {
  return new Promise((resolve, reject) => {
    let last = 0
    let since = Date.now()
    let silent = false
    const timer = setInterval(() => {
      const now = size(path)
      if (now !== last) {
        last = now
        since = Date.now()
        told(path)
      } else if (Date.now() - since > limit * 1000) {
        silent = true
        child.kill('SIGKILL')
      }
    }, 1000)
    child.on('error', (error) => {
      clearInterval(timer)
      reject(new GuestError(`the guest cannot be started: ${error.message}`))
    })
    child.on('close', (code) => {
      clearInterval(timer)
      resolve({ code, silent })
    })
  })
}

/**
 * Starts a guest with this initramfs and waits for its end.
 * @param told is called while the guest speaks, with the file in which its words arrive
 * @throws GuestError where QEMU does not start
 */
export async function runMachine(
  { qemu, kernel, folder, accelerator = 'tcg', append = '', silenceSeconds = SILENCE_SECONDS }: MachineOptions,
  initramfs: readonly Uint8Array[],
  told: (path: string) => void = () => {},
): Promise<MachineRun> {
  const initrd = join(folder, 'initramfs')
  const output = join(folder, 'output')
  writeFileSync(initrd, Buffer.concat(initramfs))
  writeFileSync(output, '')
  const words = [
    ['-M', 'q35', '-accel', accelerator, '-cpu', 'max', '-m', String(MEMORY_MB), '-smp', '1'],
    ['-nodefaults', '-nic', 'none', '-display', 'none', '-serial', 'stdio', '-serial', `file:${output}`, '-no-reboot'],
    ['-kernel', kernel, '-initrd', initrd, '-append', `${COMMAND_LINE} ${append}`.trim()],
  ].flat()
  const child = spawn(qemu, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let spoken = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      spoken = `${spoken}${chunk.toString('latin1')}`.slice(-CONSOLE_LIMIT)
    })
  const stop = (): void => {
    child.kill('SIGKILL')
  }
  process.once('exit', stop)
  const { code, silent } = await watch(child, output, silenceSeconds, told)
  process.removeListener('exit', stop)
  const text = readFileSync(output, 'utf8')
  if (code !== 0 && !silent && text === '') throw new GuestError(`QEMU ended with ${code}: ${lastLines(spoken)}`)
  return { output: text, console: spoken, silent }
}

const FAULT = /\bBUG: |\bRIP: 0010:|Kernel panic/

/** What a console says of its end in one line: the kernel's words for a fault, else the last lines. */
export function lastLines(text: string): string {
  const lines = text.trim().split(/\r?\n/)
  const fault = lines.filter((line) => FAULT.test(line)).slice(0, 3)
  return (fault.length > 0 ? fault : lines.slice(-4)).map((line) => line.trim()).join(' | ')
}
