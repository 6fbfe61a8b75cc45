import { UsageError } from 'typebpf'
import { attachXdp, type BpfMap, type XdpOptions } from 'typebpf/kernel'
import { Session } from '../lib/index.ts'
import { addressNumber, addressText, type Counted, setGlobals, total } from '../lib/network.ts'
import type { Action, Rule, RuleSet } from './rules.ts'
import * as program from './xdp-firewall.bpf.ts'

/** XDP return codes. */
const VERDICT: Readonly<Record<Action, number>> = { deny: 1, allow: 2 }

/** Rules that have room: each needs a counter. */
const ROOM = program.counters.spec.maxEntries - program.COUNTER.firstRule
const tooMany = (count: number): UsageError =>
  new UsageError('rules.many', `${count} rules are too many, there is room for ${ROOM}`)

/** A rule at work, or one of the rows that belong to no rule. */
export interface RuleCount extends Counted {
  readonly rule: string
  readonly action: Action
}

/** A packet filter on an interface. Rules change while packets run; closing it detaches. */
export class Firewall implements Disposable {
  readonly #session: Session
  readonly #rules = new Map<string, Rule & { readonly counter: number }>()
  readonly #free: number[] = []
  #next: number = program.COUNTER.firstRule
  #otherwise: Action = 'allow'

  /** @throws SystemError `tool.privilege` and others; UsageError `link.interface` */
  constructor(options: XdpOptions & Partial<RuleSet>) {
    this.#session = new Session(program, {
      name: 'xdp-firewall',
      needs: ['bpf', 'net_admin'],
      attachAll: false,
    })
    try {
      this.replace({ rules: options.rules ?? [], otherwise: options.otherwise ?? 'allow' })
      const { interface: name, mode } = options
      this.#session.keep(attachXdp(this.#session.program(program.xdpFirewall), { interface: name, mode }))
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** The map of a rule's family and its key there. */
  #entry({ prefix }: Rule): { set(value: { verdict: number; counter: number }): void; delete(): boolean } {
    const on = <K, V>(map: BpfMap<K, V>, key: K) => ({
      set: (value: V) => map.set(key, value),
      delete: () => map.delete(key),
    })
    const { family, bytes, length } = prefix
    return family === 4
      ? on(this.#session.map(program.rules4), { prefixLength: length, data: addressNumber(bytes) })
      : on(this.#session.map(program.rules6), { prefixLength: length, data: addressText(bytes) })
  }

  /** Adds a rule, or changes the action of the one that its prefix has; its counter stays. True when something changed. */
  add(rule: Rule): boolean {
    const { text } = rule.prefix
    const there = this.#rules.get(text)
    if (there?.action === rule.action) return false
    if (there === undefined && this.#rules.size === ROOM) throw tooMany(ROOM + 1)
    const counter = there?.counter ?? this.#free.pop() ?? this.#next++
    this.#entry(rule).set({ verdict: VERDICT[rule.action], counter })
    this.#rules.set(text, { ...rule, counter })
    return true
  }

  /** Takes the rule of a prefix away; false when there is none. */
  remove({ text }: Rule['prefix']): boolean {
    const there = this.#rules.get(text)
    if (there === undefined) return false
    this.#entry(there).delete()
    this.#rules.delete(text)
    this.#session.map(program.counters).set(there.counter, { packets: 0n, bytes: 0n })
    this.#free.push(there.counter)
    return true
  }

  /** From now on these rules: what stays keeps its counts, and no packet finds a gap. */
  replace({ rules, otherwise }: RuleSet): { readonly added: number; readonly removed: number } {
    const wanted = new Set(rules.map(({ prefix }) => prefix.text))
    if (wanted.size > ROOM) throw tooMany(wanted.size)
    const gone = [...this.#rules.values()].filter(({ prefix }) => !wanted.has(prefix.text))
    const removeGone = (): void => {
      for (const { prefix } of gone) this.remove(prefix)
    }
    // the new ones first, unless old and new together are too many
    const together = wanted.size + gone.length <= ROOM
    if (!together) removeGone()
    const added = rules.filter((rule) => this.add(rule)).length
    if (together) removeGone()
    setGlobals(this.#session, program.settings, { otherwise: VERDICT[otherwise] })
    this.#otherwise = otherwise
    return { added, removed: gone.length }
  }

  /** What each rule met, and the packets that no rule is about. */
  counts(): RuleCount[] {
    const counters = this.#session.map(program.counters)
    const row = (rule: string, action: Action, counter: number): RuleCount => ({
      rule,
      action,
      ...total(counters.getAll(counter)),
    })
    const { COUNTER } = program
    return [
      ...[...this.#rules.values()].map(({ prefix, action, counter }) => row(prefix.text, action, counter)),
      row('no rule', this.#otherwise, COUNTER.noRule),
      row('not IP', 'allow', COUNTER.otherProtocol),
      row('unreadable', 'deny', COUNTER.unreadable),
    ]
  }

  close(): void {
    this.#session.close()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}
