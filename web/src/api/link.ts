import { place } from "../routes.svelte";

/** Takes what a link that signs in brings out of the address and of the history; nothing if it is no such link. */
function take(): { code: string; key: string } {
  const brought = new URLSearchParams(location.hash.slice(1));
  const code = brought.get("code") ?? "";
  if (place.path !== "sign-in" || !code) return { code: "", key: "" };
  place.go(location.pathname + location.search, "replace");
  return { code, key: brought.get("key") ?? "" };
}

/** The code with which this page was opened, and the id of the key that it stands for: they are taken before anything is drawn or asked. */
export const link = take();
