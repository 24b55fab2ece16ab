import { place } from "../routes.svelte";

const mark = "#code=";

/** Takes the code of a link that signs in out of the address and of the history; "" if it has none. */
function take(): string {
  if (place.path !== "sign-in" || !location.hash.startsWith(mark)) return "";
  const code = location.hash.slice(mark.length);
  place.go(location.pathname + location.search, "replace");
  return code;
}

/** The code with which this page was opened: it is taken before anything is drawn or asked. */
export const code = take();
