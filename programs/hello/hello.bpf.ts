import { syscallEnter } from 'typebpf'

/** Says hello whenever a process asks for another program to run. */
export const hello = syscallEnter('hello', { syscall: 'execve' }, (b) => {
  b.printk('hello, world from pid %d', b.pid())
  return 0
})
