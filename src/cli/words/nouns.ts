import type { Action, Noun, Verb } from './noun.ts'

const show = (words: string, summary: string, load: () => Promise<Action>): Verb => ({
  name: 'show',
  alias: 'list',
  words,
  summary,
  load,
})

const PROG: Noun = {
  name: 'prog',
  summary: 'the programs in the kernel',
  verbs: [
    show(
      '[PROG]',
      'list all programs, or those that the words name',
      async () => (await import('../prog/show.ts')).show,
    ),
    {
      name: 'dump',
      words: '{ xlated | jited } PROG [file FILE | opcodes | linum | visual]',
      summary: 'the instructions as the verifier left them, or the machine code',
      load: async () => (await import('../prog/dump.ts')).dump,
    },
    {
      name: 'pin',
      words: 'PROG PATH',
      summary: 'pin a program to a path of a BPF file system',
      load: async () => (await import('../objects/pin-words.ts')).pinWords('program'),
      silent: true,
    },
    {
      name: 'load',
      words: 'OBJ PATH [type TYPE] [map { idx INDEX | name NAME } MAP] [pinmaps DIR] [autoattach]',
      summary: 'load the first program of an object and pin it',
      load: async () => (await import('../prog/load.ts')).loadFirst,
      silent: true,
    },
    {
      name: 'loadall',
      words: 'OBJ DIR [type TYPE] [map { idx INDEX | name NAME } MAP] [pinmaps DIR] [autoattach]',
      summary: 'load all programs of an object and pin each below a folder',
      load: async () => (await import('../prog/load.ts')).loadAll,
      silent: true,
    },
    {
      name: 'attach',
      words: 'PROG SKB_TYPE [MAP]',
      summary: 'attach a program to a sockmap, or a flow dissector to this network namespace',
      load: async () => (await import('../prog/attach.ts')).attach,
      silent: true,
    },
    {
      name: 'detach',
      words: 'PROG SKB_TYPE [MAP]',
      summary: 'the reverse of attach',
      load: async () => (await import('../prog/attach.ts')).detach,
      silent: true,
    },
    {
      name: 'tracelog',
      words: '',
      summary: 'what programs print with bpf_printk, as it comes',
      load: async () => (await import('../prog/tracelog.ts')).tracelog,
    },
    {
      name: 'run',
      words:
        'PROG [data_in FILE [data_out FILE [data_size_out L]]] [ctx_in FILE [ctx_out FILE [ctx_size_out M]]] [repeat N]',
      summary: 'run a program in the kernel on data and a context (- is standard input or output)',
      load: async () => (await import('../prog/run.ts')).run,
    },
  ],
}

const MAP: Noun = {
  name: 'map',
  summary: 'the maps in the kernel',
  verbs: [
    show('[MAP]', 'list all maps, or those that the words name', async () => (await import('../map/show.ts')).show),
    {
      name: 'dump',
      words: 'MAP',
      summary: 'all entries, by their BTF types where the map has them',
      load: async () => (await import('../map/dump.ts')).dump,
    },
    {
      name: 'update',
      words: 'MAP [key DATA] [value VALUE] [any | exist | noexist]',
      summary: 'write an entry; VALUE is DATA, a map (of a map of maps) or a program (of a program array)',
      load: async () => (await import('../map/entries.ts')).update,
      silent: true,
    },
    {
      name: 'lookup',
      words: 'MAP [key DATA]',
      summary: 'the entry of a key',
      load: async () => (await import('../map/entries.ts')).lookup,
    },
    {
      name: 'getnext',
      words: 'MAP [key DATA]',
      summary: 'the key after a key, or the first',
      load: async () => (await import('../map/entries.ts')).getnext,
    },
    {
      name: 'delete',
      words: 'MAP key DATA',
      summary: 'delete an entry',
      load: async () => (await import('../map/entries.ts')).remove,
      silent: true,
    },
    {
      name: 'pin',
      words: 'MAP PATH',
      summary: 'pin a map to a path of a BPF file system',
      load: async () => (await import('../objects/pin-words.ts')).pinWords('map'),
      silent: true,
    },
    {
      name: 'event_pipe',
      words: 'MAP [cpu N index M]',
      summary: 'the events of a perf event array, as they come',
      load: async () => (await import('../map/event-pipe.ts')).eventPipe,
    },
    {
      name: 'peek',
      words: 'MAP',
      summary: 'the next value of a queue or stack, left there',
      load: async () => (await import('../map/entries.ts')).peek,
    },
    {
      name: 'push',
      words: 'MAP value VALUE',
      summary: 'add a value to a stack',
      load: async () => (await import('../map/entries.ts')).push,
      silent: true,
    },
    {
      name: 'enqueue',
      words: 'MAP value VALUE',
      summary: 'add a value to a queue',
      load: async () => (await import('../map/entries.ts')).push,
      silent: true,
    },
    {
      name: 'pop',
      words: 'MAP',
      summary: 'take the next value of a stack',
      load: async () => (await import('../map/entries.ts')).pop,
    },
    {
      name: 'dequeue',
      words: 'MAP',
      summary: 'take the next value of a queue',
      load: async () => (await import('../map/entries.ts')).pop,
    },
    {
      name: 'freeze',
      words: 'MAP',
      summary: 'make a map read-only for user space',
      load: async () => (await import('../map/entries.ts')).freeze,
      silent: true,
    },
    {
      name: 'create',
      words: 'PATH type TYPE key BYTES value BYTES entries N name NAME [flags FLAGS] [inner_map MAP]',
      summary: 'create a map and pin it',
      load: async () => (await import('../map/create.ts')).create,
      silent: true,
    },
  ],
}

const LINK: Noun = {
  name: 'link',
  summary: 'the links in the kernel: what is attached where',
  verbs: [
    show(
      '[LINK]',
      'list all links, or the one that the words name',
      async () => (await import('../link/show.ts')).show,
    ),
    {
      name: 'pin',
      words: 'LINK PATH',
      summary: 'pin a link to a path of a BPF file system',
      load: async () => (await import('../objects/pin-words.ts')).pinWords('link'),
      silent: true,
    },
    {
      name: 'detach',
      words: 'LINK',
      summary: 'detach a link: its program no longer runs there (Linux 5.9)',
      load: async () => (await import('../link/detach.ts')).detach,
      silent: true,
    },
  ],
}

const CGROUP: Noun = {
  name: 'cgroup',
  summary: 'programs attached to control groups',
  verbs: [
    show('CGROUP [effective]', 'the programs of one cgroup', async () => (await import('../cgroup/show.ts')).show),
    {
      name: 'tree',
      words: '[ROOT] [effective]',
      summary: 'the programs of a cgroup and all below it',
      load: async () => (await import('../cgroup/show.ts')).tree,
    },
    {
      name: 'attach',
      words: 'CGROUP ATTACH_TYPE PROG [multi | override]',
      summary: 'attach a program to a cgroup',
      load: async () => (await import('../cgroup/attach.ts')).attach,
      silent: true,
    },
    {
      name: 'detach',
      words: 'CGROUP ATTACH_TYPE PROG',
      summary: 'detach a program from a cgroup',
      load: async () => (await import('../cgroup/attach.ts')).detach,
      silent: true,
    },
  ],
}

const PERF: Noun = {
  name: 'perf',
  summary: 'programs behind perf events and raw tracepoints',
  verbs: [
    show(
      '',
      'which process has which program on which tracepoint, kprobe or uprobe',
      async () => (await import('../perf.ts')).show,
    ),
  ],
}

const NET: Noun = {
  name: 'net',
  summary: 'programs on network interfaces: XDP, tc, tcx, netkit, flow dissector, netfilter',
  verbs: [
    show('[dev NAME]', 'what is attached in this network namespace', async () => (await import('../net/show.ts')).show),
    {
      name: 'attach',
      words: 'NET_TYPE PROG dev NAME [overwrite | prepend]',
      summary: 'attach a program to an interface',
      load: async () => (await import('../net/attach.ts')).attach,
      silent: true,
    },
    {
      name: 'detach',
      words: 'NET_TYPE dev NAME',
      summary: 'detach what is attached to an interface',
      load: async () => (await import('../net/attach.ts')).detach,
      silent: true,
    },
  ],
}

const FEATURE: Noun = {
  name: 'feature',
  summary: 'what of BPF the running kernel offers',
  verbs: [
    {
      name: 'probe',
      words: '[kernel] [full] [unprivileged] [macros [prefix PREFIX]]',
      summary: 'ask the kernel for program types, map types, helpers, link types, attach types and instructions',
      load: async () => (await import('../feature.ts')).probeWords,
    },
    {
      name: 'list_builtins',
      words: '{ prog_types | map_types | attach_types | link_types | helpers }',
      summary: 'the names that are known here',
      load: async () => (await import('../feature.ts')).listBuiltins,
    },
  ],
}

const BTF: Noun = {
  name: 'btf',
  summary: 'BTF type information',
  verbs: [
    show(
      '[id ID]',
      'the BTF objects in the kernel, and what uses them',
      async () => (await import('../btf/show.ts')).show,
    ),
    {
      name: 'dump',
      words:
        '{ id ID | prog PROG | map MAP [key | value | kv | all] | file FILE | kernel } [format { raw | c [unsorted] | ts }] [root_id ID | root NAME]…',
      summary: 'types as text, JSON, a C header or TypeScript definitions',
      load: async () => (await import('../btf/dump.ts')).dump,
    },
  ],
}

const STRUCT_OPS: Noun = {
  name: 'struct_ops',
  summary: 'kernel interfaces that programs implement',
  verbs: [
    show('[{ id ID | name NAME }]', 'list struct_ops maps', async () => (await import('../struct-ops.ts')).show),
    {
      name: 'dump',
      words: '[{ id ID | name NAME }]',
      summary: 'their members',
      load: async () => (await import('../struct-ops.ts')).dump,
    },
    {
      name: 'register',
      words: 'OBJ [LINK_DIR]',
      summary: 'load an object and put its struct_ops into force; with a folder their links are pinned there',
      load: async () => (await import('../struct-ops-register.ts')).register,
    },
    {
      name: 'unregister',
      words: '{ id ID | name NAME }',
      summary: 'take struct_ops without a link out of force',
      load: async () => (await import('../struct-ops.ts')).unregister,
    },
  ],
}

const ITER: Noun = {
  name: 'iter',
  summary: 'iterators',
  verbs: [
    {
      name: 'pin',
      words: 'OBJ PATH [map MAP]',
      summary: 'load an iterator and pin it: reading the path runs it',
      load: async () => (await import('../iter.ts')).pinIterator,
      silent: true,
    },
  ],
}

const BATCH: Noun = {
  name: 'batch',
  summary: 'many commands in one process',
  verbs: [
    {
      name: 'file',
      words: 'FILE',
      summary: 'run a command a line (- is standard input); # begins a comment, \\ continues a line',
      load: async () => (await import('./batch.ts')).batch(NOUNS),
    },
  ],
}

const VERSION: Noun = {
  name: 'version',
  summary: 'the version, and what this build can do',
  verbs: [
    {
      name: 'show',
      words: '',
      summary: 'the version',
      load: async () => (await import('./version.ts')).showVersion,
    },
  ],
}

/** In bpftool's order: the first one that a prefix fits is meant ('m s' is 'map show'). */
export const NOUNS: readonly Noun[] = [
  PROG,
  MAP,
  LINK,
  CGROUP,
  PERF,
  NET,
  FEATURE,
  BTF,
  STRUCT_OPS,
  ITER,
  BATCH,
  VERSION,
]
