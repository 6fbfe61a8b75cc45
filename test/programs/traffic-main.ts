// `node --conditions=typebpf-source --import tsx test/programs/traffic-main.ts [--packets N]`: the long run (default 1,000,000
// frames through each program). The last line is a JSON summary; exit 1 when a frame is lost or wrong.
import { parseArgs } from 'node:util'
import { balancerRun } from './balancer-traffic.ts'
import { firewallRun } from './firewall-traffic.ts'

const { values } = parseArgs({ options: { packets: { type: 'string', default: '1000000' } } })
const frames = Number(values.packets)
const firewall = firewallRun(frames)
const balancer = balancerRun(frames)
console.log(JSON.stringify({ firewall, balancer }))
process.exitCode = firewall.faults.length + balancer.faults.length === 0 ? 0 : 1
