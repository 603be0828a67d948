/** Which tests on real servers to run. */

export interface Choice {
  readonly chosen: readonly string[];
  /** Left out, because they take minutes and nobody asked for them. */
  readonly slow: readonly string[];
}

/** Those whose path contains one of the words; a slow one only if `withSlow`, or a word that names it: one that is in no quick one's path. */
export function chooseTests(files: readonly string[], words: readonly string[], withSlow: boolean): Choice {
  const named = (path: string, among: readonly string[]) => among.some((word) => path.includes(word));
  const matching = files.filter((path) => words.length === 0 || named(path, words));
  const quick = matching.filter((path) => !isSlow(path));
  const precise = words.filter((word) => !quick.some((path) => path.includes(word)));
  const chosen = matching.filter((path) => !isSlow(path) || withSlow || named(path, precise));
  return { chosen, slow: matching.filter((path) => !chosen.includes(path)) };
}

function isSlow(path: string): boolean {
  return path.endsWith('.slow.it.test.ts');
}
