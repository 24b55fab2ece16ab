/** The list that was shown last, so that one can go through it task by task. */
export const lately: { ids: string[]; words: string } = { ids: [], words: "" };

/** The task before (-1) or behind (1) one in that list. */
export function beside(id: string, by: 1 | -1): string | undefined {
  const at = lately.ids.indexOf(id);
  return at < 0 ? undefined : lately.ids[at + by];
}
