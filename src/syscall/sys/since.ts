import { release } from 'node:os'

const number = (version: string): number => {
  const [major, minor] = version.split('.').map((part) => Number.parseInt(part, 10))
  return major * 1000 + minor
}

/**
 * Why a kernel refuses with EINVAL what it cannot know: a line when `since` ("6.7") is newer than the running kernel, else
 * undefined. Distributions add things to older kernels, so this only explains a refusal, it never refuses by itself.
 */
export function newerThanThis(what: string, since: string | undefined): string | undefined {
  return since !== undefined && number(release()) < number(since)
    ? `${what} came with Linux ${since}, this is ${release()}`
    : undefined
}
