/** A global variable: a named place inside a global-data map. */
export interface VariableSpec {
  readonly name: string
  /** The section and so the map: .rodata, .data, .bss or a suffixed form; ARENA_SECTION for the arena's. */
  readonly section: string
  readonly offset: number
  /** Bytes. */
  readonly size: number
  readonly linkage: 'static' | 'global' | 'weak'
  /** The variable's type (not the BTF VAR) in the BTF of its object. */
  readonly typeId?: number
}

/** A name that the loader must find outside the object. */
export interface ExternSpec {
  readonly name: string
  /** kfunc: `__ksym` function; ksym: `__ksym` variable; kconfig: `__kconfig` variable; map: a map of another object. */
  readonly kind: 'kfunc' | 'ksym' | 'kconfig' | 'map'
  /** A weak extern that is missing becomes 0. */
  readonly weak: boolean
  /** kfunc: the FUNC; else the variable's type (map: its definition). ksym without a type (void): absent or 0. */
  readonly typeId?: number
  /** kconfig: place in the .kconfig map and size in bytes. */
  readonly offset?: number
  readonly size?: number
}
