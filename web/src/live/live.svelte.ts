/** How the page hears of what changes. */
export function watch(): {
  readonly line: "" | "open" | "cut";
  now: () => void;
  rows: (filter: Record<string, string | string[]>, on: { again: () => void }) => () => void;
} {
  let again = (): void => {};
  return {
    line: "",
    now: () => again(),
    rows(_filter, on) {
      again = on.again;
      const timer = setInterval(() => {
        if (document.visibilityState === "visible") on.again();
      }, 2000);
      return () => clearInterval(timer);
    },
  };
}
