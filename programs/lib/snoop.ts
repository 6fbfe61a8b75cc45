import type { Js, Type } from 'typebpf'
import type { MapSpec } from 'typebpf/spec'
import type { Session } from './session.ts'

export interface SnoopParts<T extends Type, Event> {
  readonly session: Session
  readonly ring: { readonly spec: MapSpec; readonly recordType: T }
  /** A record as an event of the tool; undefined leaves it out. */
  readonly decode: (record: Js<T>) => Event | undefined
  /** Records that found no room in the ring. */
  readonly lost: () => bigint
}

/** Events of programs at work. Close it (`using`): everything is detached. */
export class Snoop<Event> implements Disposable {
  readonly session: Session
  /** Records that found no room because nobody read them in time. */
  readonly lost: () => bigint
  readonly #records: (signal?: AbortSignal) => AsyncGenerator<Event>

  constructor(parts: {
    session: Session
    lost: () => bigint
    records: (signal?: AbortSignal) => AsyncGenerator<Event>
  }) {
    this.session = parts.session
    this.lost = parts.lost
    this.#records = parts.records
  }

  /** Events until `signal` aborts; then everything is detached and what happened before is still given. */
  events(signal?: AbortSignal): AsyncGenerator<Event> {
    return this.#records(signal)
  }
  close(): void {
    this.session.close()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}

/** Records of a session's ring as events of a tool. */
export function snoop<T extends Type, Event>(parts: SnoopParts<T, Event>): Snoop<Event> {
  const { session, ring, decode, lost } = parts
  return new Snoop<Event>({
    session,
    lost,
    async *records(signal) {
      for await (const record of session.events(ring, signal)) {
        const event = decode(record)
        if (event !== undefined) yield event
      }
    },
  })
}
