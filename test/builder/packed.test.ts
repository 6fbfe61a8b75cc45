import { be16, be32, map, struct, u8, u16, u32, u64, xdp } from 'typebpf'
import { eth, harness, ipv4, udp } from 'typebpf/progrun'
import { collectObject, linkProgram } from 'typebpf/spec'
import { verify } from 'typebpf/verifier'
import { expect, test } from 'vitest'

// On the stack the verifier wants natural alignment, whatever the struct says.
const Key = struct('packed_key', { kind: u8, port: be16, address: be32, number: u64, last: u32 }, { packed: true })
const seen = map.hash('seen', { key: Key, value: u64, maxEntries: 16 })

const program = xdp('packed', (b) => {
  const length = b.packet.length()
  const local = b.local(Key, { kind: 7, port: 443, address: 0x0a000001, number: 0x1122334455667788n, last: length })
  b.if(local.last.ne(length).or(local.number.ne(0x1122334455667788n)), () => b.return(b.ABORTED))
  local.number.set(local.number.add(length.to(u64)))
  seen.set(local, local.number)
  seen.increment({
    kind: 1,
    port: length.to(u16).to(be16),
    address: b.rxQueueIndex.to(be32),
    number: 5,
    last: 0xffff_ffff,
  })
  return b.PASS
})

test('members of packed structs on the stack are read and written whatever their alignment', async () => {
  const result = verify(linkProgram(collectObject({ program }, { name: 'packed' }), 'packed'))
  expect(result.verdict, result.message).toBe('accept')
  using t = await harness([program, seen])
  expect(t.run(program, { packet: [eth(), ipv4(), udp()] }).verdict).toBe('XDP_PASS')
  const number = 0x1122334455667788n + 42n
  expect(t.map(seen).get({ kind: 7, port: 443, address: 0x0a000001, number, last: 42 })).toBe(number)
  expect(t.map(seen).get({ kind: 1, port: 42, address: 0, number: 5n, last: 0xffff_ffff })).toBe(1n)
})
