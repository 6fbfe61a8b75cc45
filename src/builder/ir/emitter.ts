import type { Region } from './blocks.ts'
import { foldComparison } from './fold.ts'
import { MemoryWriter } from './memory.ts'
import { type Block, type Comparison, isConst, type Operand, type Site, type Width } from './ops.ts'

export type { Region }

/** A condition as a tree; it becomes jumps where it is used. */
export type Condition =
  | {
      readonly kind: 'compare'
      readonly cmp: Comparison
      readonly width: Width
      readonly a: Operand
      readonly b: Operand
      readonly site: Site
    }
  | { readonly kind: 'not'; readonly of: Condition }
  | { readonly kind: 'and' | 'or'; readonly left: Condition; readonly right: () => Condition }
  | { readonly kind: 'constant'; readonly value: boolean }

interface LoopFrame {
  readonly next: Block
  readonly exit: Block
  /** What was held when the loop began: leaving a round gives back what came since. */
  readonly held: number
}

/** Emits control flow over everything else: branches, choices, loops. */
export class Emitter extends MemoryWriter {
  readonly loops: LoopFrame[] = []
  /** How many references are held here. */
  held: () => number = () => 0

  /** Paths of which one is taken, all going on in `join`: what one of them did to the packet holds there. */
  protected paths(join: Block, ...paths: readonly (readonly [block: Block, body: () => void])[]): void {
    const before = this.packet
    let changed = false
    for (const [block, body] of paths) {
      this.packet = before
      this.place(block)
      this.scope(body)
      if (this.isOpen && this.packet !== before) changed = true
      this.jump(join)
    }
    this.packet = before
    if (changed) this.packetChanged()
    this.place(join)
  }

  jump(to: Block): void {
    if (this.isOpen) this.now.end = { op: 'jump', to, site: this.site }
  }
  exit(value: Operand | undefined): void {
    if (this.isOpen) this.now.end = { op: 'exit', value, site: this.site }
  }

  branch(condition: Condition, yes: Block, no: Block): void {
    if (!this.isOpen) return
    switch (condition.kind) {
      case 'constant':
        this.jump(condition.value ? yes : no)
        return
      case 'not':
        this.branch(condition.of, no, yes)
        return
      case 'and':
      case 'or': {
        const middle = this.block()
        if (condition.kind === 'and') this.branch(condition.left, middle, no)
        else this.branch(condition.left, yes, middle)
        this.place(middle)
        this.scope(() => this.branch(condition.right(), yes, no))
        return
      }
      case 'compare': {
        const { cmp, width, a, b, site } = condition
        if (isConst(a) && isConst(b)) {
          this.jump(foldComparison(cmp, width, a.value, b.value) ? yes : no)
          return
        }
        this.now.end = { op: 'branch', cmp, width, a, b, yes, no, site }
      }
    }
  }

  /** `if (condition) yes() else no()`. */
  choose(condition: Condition, yes: () => void, no?: () => void): void {
    const yesBlock = this.block()
    const join = this.block()
    const noBlock = no ? this.block() : join
    this.branch(condition, yesBlock, noBlock)
    if (no) this.paths(join, [yesBlock, yes], [noBlock, no])
    else this.paths(join, [yesBlock, yes])
  }

  /** Leaves through `otherwise` (kept out of the main path) unless the condition holds. */
  require(condition: Condition, otherwise: () => void): void {
    const go = this.block()
    const fail = this.block(true)
    this.branch(condition, go, fail)
    this.paths(go, [fail, otherwise])
  }

  /** A body a fixed number of times, one behind the other. */
  rounds(count: number, body: (i: number) => void): void {
    const exit = this.block()
    for (let i = 0; i < count; i++) {
      const next = this.block()
      this.loops.push({ next, exit, held: this.held() })
      this.scope(() => body(i))
      this.loops.pop()
      this.jump(next)
      this.place(next)
    }
    this.jump(exit)
    this.place(exit)
  }

  /** A loop that tests at its head. */
  loop(condition: () => Condition, body: () => void, after?: () => void): void {
    const head = this.block()
    const inside = this.block()
    const next = after ? this.block() : head
    const exit = this.block()
    this.jump(head)
    this.touchAll()
    this.loopDepth++
    this.place(head)
    this.scope(() => {
      this.branch(condition(), inside, exit)
      this.place(inside)
      this.loops.push({ next, exit, held: this.held() })
      body()
      this.loops.pop()
      if (after) {
        this.jump(next)
        this.place(next)
        this.scope(after)
      }
      this.jump(head)
    })
    this.loopDepth--
    this.touchAll()
    this.place(exit)
  }

  /** A loop that tests at its end: `body` runs at least once. */
  repeat(body: () => void, again: () => Condition): void {
    const inside = this.block()
    const next = this.block()
    const exit = this.block()
    this.jump(inside)
    this.touchAll()
    this.loopDepth++
    this.place(inside)
    this.loops.push({ next, exit, held: this.held() })
    this.scope(body)
    this.loops.pop()
    this.jump(next)
    this.place(next)
    this.scope(() => this.branch(again(), inside, exit))
    this.loopDepth--
    this.touchAll()
    this.place(exit)
  }
}
