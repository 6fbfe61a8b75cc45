/**
 * The test harness: run BPF programs in the emulator, in the kernel or in both, with packets and contexts built by hand,
 * from captures or by property testing, and say field by field what came out.
 */
export * from './packets/index.ts'
export * from './pcap/index.ts'
