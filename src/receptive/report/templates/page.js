"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // Theme: the system's until the button is used; the choice is kept where the browser lets a file keep anything.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const themeButton = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);

  function kept(value) {
    try {
      if (value) localStorage.setItem("receptive-theme", value);
      return localStorage.getItem("receptive-theme");
    } catch {
      return null;
    }
  }

  function nameTheme() {
    themeButton.textContent = isDark() ? "Light" : "Dark";
    themeButton.setAttribute("aria-label", isDark() ? "Light theme" : "Dark theme");
  }

  function showTheme() {
    nameTheme();
    for (const plot of all(".plot")) draw(plot);
  }

  themeButton.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept(root.dataset.theme);
    showTheme();
  });
  dark.addEventListener("change", showTheme);

  // Tables: a head becomes a button that sorts; what is empty stays at the end.
  function sortKey(cell) {
    if ("number" in cell.dataset) return Number(cell.dataset.number);
    const text = cell.textContent.trim();
    if (text === "") return null;
    const number = /^-?[\d.]+(e[-+]?\d+)?(?=$| %| ±)/i.exec(text);
    return number ? Number(number[0]) : text;
  }

  function compare(one, other) {
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other), undefined, { numeric: true });
  }

  function isEmpty(key) {
    return key === null || Number.isNaN(key);
  }

  function sort(table, head, column) {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of all("thead th", table)) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    for (const open of all("tr.details", table)) close(open.previousElementSibling);
    const rows = [...table.tBodies[0].rows].map((row) => [sortKey(row.cells[column]), row]);
    rows.sort(([one], [other]) => {
      if (isEmpty(one) || isEmpty(other)) return isEmpty(one) - isEmpty(other);
      return down ? compare(other, one) : compare(one, other);
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }

  function makeSortable(table) {
    all("thead th", table).forEach((head) => {
      if (head.classList.contains("open")) return;
      const button = element("button", { type: "button" }, ...head.childNodes);
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(table, head, head.cellIndex));
    });
  }

  // Runs: a row opens what tells its run from the others.
  const fields = data.comparison.fields;
  const value = (field, run) => field.values[field.of[run]];

  function close(row) {
    if (row.nextElementSibling?.classList.contains("details")) row.nextElementSibling.remove();
    find("td.open button", row).setAttribute("aria-expanded", "false");
    find("td.open button", row).textContent = "▸";
  }

  function open(row) {
    const list = element("dl");
    for (const field of fields) {
      const pair = [element("dt", {}, field.key), element("dd", {}, value(field, Number(row.dataset.run)))];
      list.append(element("div", {}, ...pair));
    }
    const told = fields.length ? list : "Nothing tells this run from the others.";
    row.after(element("tr", { class: "details" }, element("td", { colspan: row.cells.length }, told)));
    find("td.open button", row).setAttribute("aria-expanded", "true");
    find("td.open button", row).textContent = "▾";
  }

  function makeOpenable(table) {
    table.tHead.rows[0].prepend(element("th", { class: "open", scope: "col" }, ""));
    table.tHead.rows[0].cells[0].setAttribute("aria-label", "details");
    for (const row of table.tBodies[0].rows) {
      const name = data.comparison.runs[Number(row.dataset.run)];
      const button = element("button", { type: "button", "aria-expanded": "false", "aria-label": `Details of ${name}` }, "▸");
      button.addEventListener("click", () => (button.getAttribute("aria-expanded") === "true" ? close(row) : open(row)));
      row.prepend(element("td", { class: "open" }, button));
    }
  }

  function makeFilters(table) {
    const form = find("#runs form");
    const search = document.getElementById("search");
    const choices = all("select", form);
    const rows = [...table.tBodies[0].rows];
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const states = new Map(rows.map((row) => [row, row.className]));
    const last = table.tHead.rows[0].cells.length - 2; // the state's column; "done (older code)" is done

    function matches(row) {
      return choices.every((choice) => {
        if (choice.value === "" && choice.selectedIndex === 0) return true;
        const column = Number(choice.dataset.column) + 1; // after the column that opens a row
        return (column === last ? states.get(row) : row.cells[column].textContent) === choice.value;
      });
    }

    function filter() {
      const words = search.value.toLowerCase().split(/\s+/);
      let shown = 0;
      for (const row of rows) {
        row.hidden = !(matches(row) && words.every((word) => texts.get(row).includes(word)));
        if (row.hidden) close(row);
        shown += !row.hidden;
      }
      document.getElementById("count").textContent = `${shown} of ${rows.length} runs`;
    }

    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
  }

  // Differences of two runs.
  function showDifferences() {
    const [one, other] = ["first", "second"].map((id) => Number(document.getElementById(id).value));
    const rows = fields
      .filter((field) => field.of[one] !== field.of[other])
      .map((field) => {
        const values = [one, other].map((run) => element("td", { class: "values" }, value(field, run)));
        return element("tr", {}, element("td", {}, field.kind), element("th", { scope: "row", class: "key" }, field.key), ...values);
      });
    const none = element("tr", {}, element("td", { colspan: 4 }, "They do not differ."));
    document.getElementById("pair-rows").replaceChildren(...(rows.length ? rows : [none]));
  }

  // Figures: Plotly draws them in the page's colours; the legend is made of buttons.
  const options = {
    displaylogo: false,
    responsive: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg" },
  };

  function painted(layout) {
    const style = getComputedStyle(document.body);
    const probe = getComputedStyle(find(".plot"));
    const [ink, ground, line] = [style.color, style.backgroundColor, probe.borderTopColor];
    const narrow = innerWidth < 600;
    const made = structuredClone(layout);
    Object.assign(made, { paper_bgcolor: ground, plot_bgcolor: ground, showlegend: false, autosize: true });
    made.font = { color: ink, family: style.fontFamily, size: narrow ? 11 : 13 };
    made.hoverlabel = { bgcolor: ground, bordercolor: ink, font: { color: ink }, align: "left", namelength: -1 };
    made.modebar = { bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink };
    for (const key of Object.keys(made).filter((name) => /^[xy]axis/.test(name))) {
      Object.assign(made[key], { gridcolor: line, linecolor: line, zerolinecolor: line, tickcolor: line });
      if (narrow && key === "yaxis" && made[key].ticktext) made[key].ticktext = made[key].ticktext.map(shortened);
    }
    if (narrow) Object.assign(made.margin, { l: 45, r: 8 });
    for (const note of made.annotations ?? []) note.bgcolor = ground;
    return made;
  }

  function shortened(text) {
    return text.length > 20 && !text.includes("&") ? `${text.slice(0, 9)}…${text.slice(-10)}` : text;
  }

  function draw(plot, again = false) {
    const choice = find("select", plot);
    const figures = data.plots[plot.dataset.plot];
    const name = choice ? choice.value : Object.keys(figures)[0];
    const canvas = find(".canvas", plot);
    const drawn = !again && canvas.data ? canvas.data : structuredClone(figures[name].data);
    Plotly.react(canvas, drawn, painted(figures[name].layout), options).then(() => {
      const title = `${find("h3", plot).textContent}${name ? `: ${name}` : ""}`;
      const picture = find("svg.main-svg", canvas);
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", title);
    });
    if (again) showLegend(plot, canvas);
  }

  function showLegend(plot, canvas) {
    const named = canvas.data.filter((trace) => trace.name && trace.showlegend !== false);
    const buttons = named.map((trace) => {
      const swatch = element("i", { "aria-hidden": "true" });
      swatch.style.borderColor = trace.line?.color ?? trace.marker?.color;
      if (trace.line) swatch.style.borderTopStyle = { dash: "dashed", dashdot: "dashed", dot: "dotted" }[trace.line.dash] ?? "solid";
      else swatch.className = "dot";
      const label = new DOMParser().parseFromString(trace.name, "text/html").body.textContent;
      const button = element("button", { type: "button", "aria-pressed": String(trace.visible !== "legendonly") }, swatch, label);
      button.addEventListener("click", () => {
        const visible = button.getAttribute("aria-pressed") === "true" ? "legendonly" : true;
        const chosen = (one) => (trace.legendgroup ? one.legendgroup === trace.legendgroup : one.name === trace.name);
        const places = canvas.data.flatMap((one, place) => (chosen(one) ? [place] : []));
        button.setAttribute("aria-pressed", String(visible === true));
        Plotly.restyle(canvas, { visible }, places);
      });
      return button;
    });
    find(".legend", plot).replaceChildren(...(named.length > 1 ? buttons : []));
  }

  root.dataset.theme = kept() ?? "";
  themeButton.hidden = false;
  const runs = document.getElementById("runs-table");
  makeOpenable(runs);
  for (const table of all("table.sortable")) makeSortable(table);
  makeFilters(runs);
  const pair = document.getElementById("pair");
  if (pair) {
    pair.hidden = false;
    pair.addEventListener("input", showDifferences);
    showDifferences();
  }
  for (const plot of all(".plot")) {
    const choice = find("select", plot);
    if (choice) {
      choice.parentElement.hidden = false;
      choice.addEventListener("input", () => draw(plot, true));
    }
    draw(plot, true);
  }
  nameTheme();
  root.dataset.ready = "true";
})();
