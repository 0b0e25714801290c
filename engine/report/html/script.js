"use strict";
// Filters, sorts and opens what is on the page already. Nothing is made of text, and nothing is fetched.
// Known before the first line of the page is drawn: what is closed then is never laid out.
document.documentElement.classList.add("js");
addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector("table.alerts");
  if (!table) return;
  const entries = [...table.tBodies];
  const form = document.querySelector("form.filters");
  const count = form.querySelector("output");
  const nothing = document.querySelector(".nothing");
  const words = new Map();

  // What the text filter searches: the line and the reason, worked out once for each alert.
  const text = (entry) => {
    if (!words.has(entry)) {
      const reason = entry.querySelector(".reason");
      words.set(entry, `${entry.rows[0].textContent} ${reason ? reason.textContent : ""}`.toLowerCase());
    }
    return words.get(entry);
  };

  const buttonOf = (entry) => entry.querySelector("button.open");

  const setOpen = (entry, open) => {
    const button = buttonOf(entry);
    if (!button) return;
    button.setAttribute("aria-expanded", String(open));
    entry.classList.toggle("shown", open);
  };

  const isOpen = (entry) => entry.classList.contains("shown");

  const filter = () => {
    const wanted = form.elements.text.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const severities = new Set([...form.querySelectorAll("[name=severity]")].filter((box) => !box.checked).map((box) => box.value));
    let shown = 0;
    for (const entry of entries) {
      const of = entry.dataset;
      const fits =
        !severities.has(of.severity) &&
        ["rule", "device", "status"].every((name) => !form.elements[name].value || form.elements[name].value === of[name]) &&
        wanted.every((word) => text(entry).includes(word));
      entry.hidden = !fits;
      shown += fits;
    }
    count.textContent = shown === entries.length ? `${shown} ${shown === 1 ? "alert" : "alerts"}` : `${shown} of ${entries.length} alerts`;
    nothing.hidden = shown > 0;
    label();
  };

  const all = form.querySelector("button.all");
  const visible = () => entries.filter((entry) => !entry.hidden && buttonOf(entry));
  const label = () => {
    const found = visible();
    all.textContent = found.length && found.every(isOpen) ? "Close all shown" : "Open all shown";
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  all.addEventListener("click", () => {
    const found = visible();
    const open = !found.every(isOpen);
    for (const entry of found) setOpen(entry, open);
    label();
  });

  table.addEventListener("click", (event) => {
    const line = event.target.closest("tr.line");
    if (!line || (!event.target.closest("button.open") && String(getSelection()))) return;
    const entry = line.parentElement;
    setOpen(entry, !isOpen(entry));
    label();
  });

  // Arrow keys go from alert to alert, as in a list.
  table.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !event.target.matches("button.open")) return;
    const buttons = [...table.tBodies].filter((entry) => !entry.hidden).map(buttonOf).filter(Boolean);
    const next = buttons[buttons.indexOf(event.target) + step];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  });

  const sortValue = (entry, column) => {
    const cell = entry.rows[0].cells[column];
    return cell.dataset.v === undefined ? cell.textContent.toLowerCase() : Number(cell.dataset.v);
  };
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sorted = [...table.tBodies].sort((a, b) => {
        const [x, y] = [sortValue(a, column), sortValue(b, column)];
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
      });
      table.append(...sorted);
    });
  });

  document.addEventListener("click", (event) => {
    if (!event.target.matches("button.copy")) return;
    const button = event.target;
    const said = (words) => {
      button.textContent = words;
    };
    const json = button.parentElement.querySelector("pre").textContent;
    (navigator.clipboard ? navigator.clipboard.writeText(json) : Promise.reject()).then(
      () => said("Copied"),
      () => said("Select it and copy by hand"),
    );
  });

  // A link to an alert or a rule opens it.
  const follow = () => {
    const target = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
    if (!target) return;
    if (target.matches("tbody.alert")) {
      setOpen(target, true);
      label();
    } else if (target.matches("details")) {
      target.open = true;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", follow);
  follow();
  if (entries.length === 1) setOpen(entries[0], true);
  filter();
});
