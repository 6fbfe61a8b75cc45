/** The part of elfy 1.0.0 that is used here (the package has no types of its own). */
declare module 'elfy' {
  export interface ElfySection {
    readonly name: string
    readonly off: number
    readonly size: number
    readonly link: number
    readonly info: number
  }
  export interface ElfyFile {
    readonly class: '32' | '64'
    readonly endian: 'lsb' | 'msb'
    readonly shnum: number
    readonly body: { readonly sections: readonly ElfySection[] }
  }
  const elfy: { parse(bytes: Uint8Array): ElfyFile }
  export default elfy
}
