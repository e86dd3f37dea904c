"use strict";

// Searches ENTRIES (entries.js) by words in the name, the text or the index.
// Ids of the page itself have a hyphen, which names of an IDL have not.
// Fetches nothing, so that it works on pages opened from a folder.
(() => {
  const MAX_RESULTS = 50;
  const form = document.getElementById("search-form");
  const input = form.elements.q;
  const results = document.getElementById("search-results");
  const page = document.getElementById("page-content");

  // Rank of an entry that matches all words, lower is better; null if it does not match.
  function rank([, name, , text, index], words) {
    const full = name.toLowerCase();
    const last = full.slice(full.lastIndexOf(".") + 1);
    const prose = text.toLowerCase();
    let sum = 0;
    for (const word of words) {
      if (word === index || word === last || word === full) sum += 0;
      else if (last.startsWith(word)) sum += 1;
      else if (full.includes(word)) sum += 2;
      else if (prose.includes(word)) sum += 4;
      else return null;
    }
    return sum;
  }

  function find(query) {
    const words = query.toLowerCase().replaceAll("::", ".").split(/\s+/).filter(Boolean);
    return ENTRIES.map((entry, place) => ({ entry, place, rank: rank(entry, words) }))
      .filter((found) => found.rank !== null)
      .sort((a, b) => a.rank - b.rank || a.place - b.place)
      .map((found) => found.entry);
  }

  function element(name, text, className) {
    const it = document.createElement(name);
    it.textContent = text;
    if (className) it.className = className;
    return it;
  }

  function row([kind, name, href, text, index]) {
    const link = element("a", name);
    link.href = href;
    const item = document.createElement("li");
    item.append(element("span", kind, "kind"), link);
    if (index) item.append(element("span", index, "index"));
    if (text) item.append(element("p", text));
    return item;
  }

  function show() {
    const query = input.value.trim();
    results.hidden = !query;
    page.hidden = !!query;
    if (!query) return;
    const found = find(query);
    const list = document.createElement("ol");
    list.append(...found.slice(0, MAX_RESULTS).map(row));
    const count =
      found.length > MAX_RESULTS ? `the first ${MAX_RESULTS} of ${found.length} results`
      : found.length === 1 ? "1 result"
      : `${found.length} results`;
    results.replaceChildren(element("h1", `“${query}”: ${count}`), list);
  }

  form.hidden = false;
  input.addEventListener("input", show);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    results.querySelector("a")?.click();
  });
  // A result on this page needs the page to be shown again.
  results.addEventListener("click", (event) => {
    if (!event.target.closest("a")) return;
    input.value = "";
    show();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== input) {
      event.preventDefault();
      input.focus();
    } else if (event.key === "Escape") {
      input.value = "";
      show();
    }
  });
  input.value = new URLSearchParams(location.search).get("q") ?? "";
  show();
})();
