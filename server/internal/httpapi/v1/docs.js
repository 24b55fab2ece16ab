"use strict";
// The search shows what has all words that are typed.
{
  const search = document.getElementById("search"), found = document.getElementById("found");
  const articles = [...document.querySelectorAll("article")].map((shown) => ({ shown, text: shown.textContent.toLowerCase() }));
  const links = new Map([...document.querySelectorAll("nav li")].map((li) => [li.firstElementChild.hash.slice(1), li]));
  const look = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const { shown, text } of articles) {
      shown.hidden = !words.every((word) => text.includes(word));
      if (!shown.hidden) n++;
      const link = links.get(shown.id);
      if (link) link.hidden = shown.hidden;
    }
    found.textContent = words.length ? `${n} of ${articles.length}` : "";
  };
  search.addEventListener("input", look);
  window.addEventListener("hashchange", () => {
    const to = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (to && to.hidden) { search.value = ""; look(); to.scrollIntoView(); }
  });
  look();
}
