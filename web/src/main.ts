import { mount } from "svelte";
import "./app.css";
import App from "./App.svelte";
import { place } from "./routes.svelte";

const target = document.getElementById("app");
if (target) {
  // Who was given a link to one task has no key, and sees only that.
  if (place.words[0] === "shared") void import("./task/Shared.svelte").then((page) => {
    document.getElementById("shell")?.remove();
    mount(page.default, { target });
  });
  else mount(App, { target });
}
