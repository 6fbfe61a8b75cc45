/**
 * BPF object files in both directions: {@link readObject} gives an ObjectSpec, {@link writeObject} makes a file that
 * libbpf, bpftool and cilium/ebpf load. The container (any ELF file) is its own folder.
 */
export { type ReadObjectOptions, readObject } from './read-object.ts'
export { type WriteObjectOptions, writeObject } from './write-object.ts'
