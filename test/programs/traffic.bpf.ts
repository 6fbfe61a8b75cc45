// Sends numbered frames as fast as the kernel can, and looks at what arrives.
import {
  array,
  type Bool,
  be16,
  be32,
  bytes,
  globals,
  type Int,
  mac,
  map,
  struct,
  tcx,
  u8,
  u16,
  u32,
  u64,
  type View,
  xdp,
} from 'typebpf'

const Eth = struct('ethhdr', { dst: mac, src: mac, proto: be16 })
const Ipv4 = struct('iphdr', { start: bytes(9), protocol: u8, checksum: be16, src: be32, dst: be32 })
/** 64 bytes; the last four are its number. */
export const Frame = struct(
  'frame',
  { eth: Eth, ip: Ipv4, source: be16, dest: be16, middle: bytes(22), number: be32 },
  { packed: true },
)
const Words = array(u16, 32)
const UDP_LENGTH = 30

export const template = map.array('template', { value: Frame, maxEntries: 1 })
/** `ports`: how many source ports take turns, 0 leaves the template's; `checksumAt`: of UDP or TCP, as with port and number 0. */
export const sending = globals('sending', { sent: u64, ports: u32, checksumAt: u32 })

const fold = (sum: Int<'u32'>): Int<'u32'> => sum.and(0xffff).add(sum.shr(16))
const halves = (value: Int<'u32'>): Int<'u32'> => value.and(0xffff).add(value.shr(16))

/** Run by BPF_PROG_RUN with live frames: the frames leave by the interface they are said to come from. */
export const send = xdp('send', (b) => {
  const number = sending.sent.fetchAdd(1)
  const from = template.lookup(0).orReturn(b.ABORTED)
  const frame = b.packet.at(0, Frame).orReturn(b.ABORTED)
  // frames are used again, with what others wrote into them
  frame.$copy(from)
  frame.number.set(number.to(u32).to(be32))
  b.if(sending.ports.ne(0), () => {
    const port = number.mod(sending.ports.to(u64)).to(u16).add(1024).to(be16)
    frame.source.set(port)
    const checksum = b.packet.at(sending.checksumAt, u16).orReturn(b.ABORTED)
    const sum = checksum.not().to(u32).add(port.raw().to(u32)).add(halves(frame.number.raw()))
    // UDP writes a checksum of 0 as 0xffff (RFC 768), to TCP the two are the same
    const made = b.let(u16, fold(fold(sum)).not().to(u16))
    b.if(made.get().eq(0), () => made.set(0xffff))
    checksum.set(made.get())
  })
  return b.TX
})

/** What arrived: frames, the sum of their numbers, and those that are not as they must be. */
export const Seen = struct('seen', { frames: u64, numbers: u64, wrong: u64 })
export const seen = map.array('seen', { value: Seen, maxEntries: 1 })
/** What the frames must say. */
export const expected = globals('expected', { src: be32, dst: be32, source: be16, dest: be16, ethDst: mac })

function checksumsFit(words: View<typeof Words, 'write'>, protocol: Int<'u8'>): Bool {
  const sum = (from: number, to: number): Int<'u32'> => {
    let all = words.at(from).to(u32)
    for (let i = from + 1; i < to; i++) all = all.add(words.at(i).to(u32))
    return all
  }
  const header = fold(fold(sum(7, 17)))
  const pseudo = sum(13, 17)
    .add(protocol.to(u32).shl(8))
    .add(UDP_LENGTH << 8)
  const rest = fold(fold(pseudo.add(sum(17, 32))))
  return header.eq(0xffff).and(() => rest.eq(0xffff))
}

/** A backend: looks at every byte that counts, answers to where the frame came from. */
export const answer = xdp('answer', (b) => {
  const words = b.packet.at(0, Words).orReturn(b.PASS)
  const frame = b.packet.at(0, Frame).orReturn(b.PASS)
  b.if(frame.eth.proto.ne(0x0800), () => b.return(b.PASS))
  const all = seen.lookup(0).orReturn(b.ABORTED)
  all.frames.atomicAdd(1)
  all.numbers.atomicAdd(frame.number.to(u64))
  const right = frame.ip.dst
    .eq(expected.dst)
    .and(frame.dest.eq(expected.dest))
    .and(checksumsFit(words, frame.ip.protocol))
  b.if(right.not(), () => {
    all.wrong.atomicAdd(1)
    b.return(b.DROP)
  })
  frame.eth.dst.swap(frame.eth.src)
  const { src, dst } = frame.ip
  frame.ip.src.set(dst)
  frame.ip.dst.set(src)
  const { source, dest } = frame
  frame.source.set(dest)
  frame.dest.set(source)
  return b.TX
})

/** The client: its answers must come from the virtual address. */
export const receive = xdp('receive', (b) => {
  const words = b.packet.at(0, Words).orReturn(b.PASS)
  const frame = b.packet.at(0, Frame).orReturn(b.PASS)
  b.if(frame.eth.proto.ne(0x0800), () => b.return(b.PASS))
  const all = seen.lookup(0).orReturn(b.ABORTED)
  all.frames.atomicAdd(1)
  all.numbers.atomicAdd(frame.number.to(u64))
  const right = frame.ip.src
    .eq(expected.src)
    .and(frame.source.eq(expected.source))
    .and(checksumsFit(words, frame.ip.protocol))
  b.if(right.not(), () => all.wrong.atomicAdd(1))
  return b.DROP
})

/** Behind a filter: counts what the filter lets through by the frame's number, whatever it is. */
export const count = tcx('count', { direction: 'ingress', target: '6.6' }, (b) => {
  b.if(b.ctx.len.ne(64), () => b.return(b.UNSPEC))
  const number = b.packet.at(60, be32).orReturn(b.UNSPEC)
  const all = seen.lookup(0).orReturn(b.UNSPEC)
  all.frames.atomicAdd(1)
  all.numbers.atomicAdd(number.to(u64))
  return b.SHOT
})
