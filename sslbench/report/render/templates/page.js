"use strict";
// What the page does beyond being read: sort and filter boards, show notes in place, switch the colours, fold the
// navigation. Everything here is extra; without it the same content stands in the same order.
(() => {
  const root = document.documentElement;
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  root.classList.add("scripted");

  // Colours: the reader's system decides, until the button does. Charts follow the event.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const store = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("sslbench-theme");
      localStorage.setItem("sslbench-theme", value);
    } catch { /* a page from disk may have no storage; the choice then lasts as long as the page */ }
    return null;
  };
  const dark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const nav = document.querySelector("nav");
  const toggle = make("button", { type: "button", class: "theme" });
  const told = () => {
    toggle.textContent = dark() ? "Light colours" : "Dark colours";
    document.dispatchEvent(new CustomEvent("themechange", { detail: { dark: dark() } }));
  };
  if (["dark", "light"].includes(store())) root.dataset.theme = store();
  toggle.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    store(root.dataset.theme);
    told();
  });
  system.addEventListener("change", told);
  nav.append(toggle);
  told();

  // Navigation: open beside the text where there is room, else folded away at the top.
  const folded = nav.querySelector("details");
  const narrow = matchMedia("(max-width: 70rem)");
  const fold = () => { folded.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
  folded.addEventListener("click", (event) => { if (narrow.matches && event.target.closest("a")) folded.open = false; });
  const links = new Map([...nav.querySelectorAll("a")].map((link) => [link.getAttribute("href").slice(1), link]));
  const seen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](target.id);
    const first = [...links.keys()].find((id) => seen.has(id));
    for (const [id, link] of links) id === first ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
  }, { rootMargin: "-12% 0px -70% 0px" });
  for (const id of links.keys()) watch.observe(document.getElementById(id));

  // Notes: what stands below a table is shown where it is asked for.
  const tip = make("div", { id: "tip", role: "tooltip" });
  tip.hidden = true;
  document.body.append(tip);
  const show = (link) => {
    const note = document.getElementById(link.getAttribute("href").slice(1));
    tip.textContent = note.textContent;
    tip.hidden = false;
    link.setAttribute("aria-describedby", "tip");
    const at = link.getBoundingClientRect(), box = tip.getBoundingClientRect(), room = root.clientWidth;
    tip.style.left = `${scrollX + Math.max(8, Math.min(at.left, room - box.width - 8))}px`;
    tip.style.top = `${scrollY + (at.top > box.height + 12 ? at.top - box.height - 8 : at.bottom + 8)}px`;
  };
  const hide = () => {
    tip.hidden = true;
    document.querySelector("[aria-describedby=tip]")?.removeAttribute("aria-describedby");
  };
  const noted = (event) => (event.target.closest ? event.target.closest("sup a") : null);
  for (const name of ["mouseover", "focusin"]) document.addEventListener(name, (event) => { if (noted(event)) { hide(); show(noted(event)); } });
  for (const name of ["mouseout", "focusout"]) document.addEventListener(name, (event) => { if (noted(event)) hide(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // Boards: sorted by any column, filtered by some. Rows without a figure stay last either way.
  const key = (cell) => {
    if (!cell) return null;
    if (cell.dataset.order !== undefined) return Number(cell.dataset.order);
    const text = (cell.querySelector(".first") || cell).textContent.trim();
    return cell.classList.contains("number") || text === "–" ? null : text;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  for (const [number, figure] of document.querySelectorAll("figure.board").entries()) {
    const heads = [...figure.querySelectorAll("thead th")], body = figure.querySelector("tbody"), rows = [...body.rows];
    const status = make("p", { role: "status", class: "count" });
    const controls = make("form", { class: "controls", role: "search", "aria-label": "Filter the rows" });
    const labelled = (tag, label, attributes, ...children) => {
      const control = make(tag, { id: `choose-${label.toLowerCase()}-${number}`, ...attributes }, ...children);
      controls.append(make("div", {}, make("label", { for: control.id }, label), control));
      return control;
    };
    const value = (row, index) => key(row.cells[index]) ?? "";
    const choices = heads.flatMap((head, index) => {
      const found = [...new Set(rows.map((row) => value(row, index)))];
      if (!head.dataset.choice || found.length < 2) return [];
      const select = labelled("select", head.dataset.choice, {}, make("option", { value: "" }, "all"));
      for (const one of found) select.append(make("option", { value: one }, one));
      return [{ index, select }];
    });
    const words = labelled("input", "Find", { type: "search", placeholder: "any words", autocomplete: "off" });
    const reset = make("button", { type: "button" }, "Show all");
    // Columns: spare ones are tucked away, the last first, until the board fits; what a reader asks for stays.
    const box = figure.querySelector(".scroll"), asked = new Map(), ticks = [];
    const cells = (index) => [heads[index], ...rows.map((row) => row.cells[index])];
    const place = () => {
      heads.forEach((head, index) => {
        for (const cell of cells(index)) {
          cell.classList.remove("tucked");
          cell.hidden = asked.get(index) === false;
        }
      });
      const spare = heads.flatMap((head, index) => (head.matches(".spare") && !asked.has(index) ? [index] : []));
      while (spare.length && box.scrollWidth > box.clientWidth) for (const cell of cells(spare.pop())) cell.classList.add("tucked");
      for (const { index, tick } of ticks) tick.checked = !heads[index].matches(".tucked, [hidden]");
      picked.textContent = `${ticks.filter(({ tick }) => tick.checked).length + 1} of ${heads.length} columns`;
    };
    const picked = make("summary");
    const list = make("fieldset", {}, make("legend", {}, "Columns shown"));
    heads.slice(1).forEach((head, at) => {
      const tick = make("input", { type: "checkbox" });
      ticks.push({ index: at + 1, tick });
      tick.addEventListener("change", () => { asked.set(at + 1, tick.checked); place(); });
      list.append(make("label", {}, tick, head.querySelector(".title").textContent, make("span", { class: "unseen" }, " column")));
    });
    const columns = make("details", { class: "columns" }, picked, list);
    columns.addEventListener("keydown", (event) => { if (event.key === "Escape") { columns.open = false; picked.focus(); } });
    document.addEventListener("click", (event) => { if (!columns.contains(event.target)) columns.open = false; });
    controls.append(reset, columns, status);
    figure.prepend(controls);
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const filter = () => {
      const sought = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) {
        const kept = choices.every(({ index, select }) => !select.value || value(row, index) === select.value);
        row.hidden = !(kept && sought.every((word) => texts.get(row).includes(word)));
      }
      const left = rows.filter((row) => !row.hidden).length;
      status.textContent = left === rows.length ? `${left} rows` : `${left} of ${rows.length} rows`;
    };
    const sort = (index, down) => {
      heads.forEach((head, i) => (i === index ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
      const order = rows.map((row, i) => [key(row.cells[index]), i, row]).sort(([a, i], [b, j]) =>
        a === null || b === null ? (a === null) - (b === null) || i - j : (down ? -1 : 1) * compare(a, b) || i - j);
      body.append(...order.map(([, , row]) => row));
    };
    heads.forEach((head, index) => {
      const button = make("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      // Figures are first sorted from the highest, costs, ranks and words from the lowest.
      const falls = head.classList.contains("number") && !/^(Rank|Minutes|Peak|Energy)/.test(head.textContent);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        sort(index, now ? now === "ascending" : falls);
      });
    });
    controls.addEventListener("input", filter);
    controls.addEventListener("submit", (event) => event.preventDefault());
    reset.addEventListener("click", () => {
      controls.reset();
      asked.clear();
      place();
      heads.forEach((head) => head.removeAttribute("aria-sort"));
      body.append(...rows);
      filter();
    });
    filter();
    let width = 0;
    new ResizeObserver(() => { if (box.clientWidth !== width) { width = box.clientWidth; place(); } }).observe(box);
    place();
  }
})();
