/**
 * What the tools share on their user side: programs at work ({@link Session}), output as tables and JSON Lines, the
 * command line's arguments. A tool's kernel side imports nothing from here.
 */
export { binaryPath, requireFunctions } from './functions.ts'
export { drawHistogram, histogramRows } from './histogram.ts'
export { type Distribution, type HistogramReport, reportHistograms } from './histograms.ts'
export { type Column, json, Output, printable } from './output.ts'
export { requireProcess } from './processes.ts'
export { type RunToolOptions, runTool } from './run-tool.ts'
export { type Constants, constants, Session, type SessionOptions } from './session.ts'
export { Snoop, type SnoopParts, snoop } from './snoop.ts'
export { reportStacks, type StackRow, type StackStyle } from './stacks.ts'
export { type Frame, kernelFrame, ProcessSymbols, Symbols } from './symbols.ts'
export { syscallName, syscallNames, syscallNumber } from './syscall-names.ts'
export { type StackIds, takeStacks } from './take-stacks.ts'
export { clock, type TicksOptions, ticks } from './ticks.ts'
export { Arguments, type Tool, type ToolContext, type ToolOption, type ToolRow } from './tool.ts'
