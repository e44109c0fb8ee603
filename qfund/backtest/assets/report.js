// The moving parts of a backtest report: draw the charts, keep their time axes together, switch the scale,
// sort the trades, follow the theme. Without this script the page still shows every table.
(() => {
  "use strict";
  const root = document.documentElement;
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const drawn = new Map();
  let printing = false;
  let span = null;

  root.classList.add("js");

  // Colours are written for light paper; on a dark screen each is exchanged for its partner.
  const inTheme = (value) => {
    if (printing || !dark.matches) return value;
    if (typeof value === "string") return charts.night[value] || value;
    if (Array.isArray(value)) return value.length > 64 ? value : value.map(inTheme);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, inTheme(part)]));
    }
    return value;
  };

  // Where a point lies on the axis: its row on an axis of labels, milliseconds (UTC) on an axis of dates.
  const instant = (text) => Date.parse(text.length > 10 ? `${text.replace(" ", "T")}Z` : text);
  const place = (chart, x) => (chart.layout.xaxis.type === "category" ? Number(x) : instant(String(x)));

  // What a chart shows between two places: the range of its values, and the last value of each line.
  const seen = (chart) => {
    let low = Infinity;
    let high = -Infinity;
    const last = chart.data.map(() => null);
    chart.data.forEach((trace, number) => {
      trace.y.forEach((y, row) => {
        if (y === null || (chart.log && y <= 0)) return;
        if (span && chart.linked) {
          const here = chart.layout.xaxis.type === "category" ? row : place(chart, trace.x[row]);
          if (here < span[0] || here > span[1]) return;
        }
        low = Math.min(low, y);
        high = Math.max(high, y);
        last[number] = y;
      });
    });
    if (chart.zero) { low = Math.min(low, 0); high = Math.max(high, 0); }
    if (!Number.isFinite(low)) return { range: [0, 1], last };
    if (chart.log) {
      [low, high] = [Math.log10(low), Math.log10(high)];
      if (high - low < 0.01) { low -= 0.02; high += 0.02; }
    } else if (high - low < 1e-9 * Math.max(1, Math.abs(high))) {
      const half = Math.abs(high) * 0.05 || 1;
      low -= half;
      high += half;
    }
    const air = (high - low) * 0.05;
    const flat = chart.zero && !chart.log;
    return { range: [flat && low === 0 ? 0 : low - air, flat && high === 0 ? 0 : high + air], last };
  };

  const widthOf = (box) => (printing ? Number(box.dataset.paper) : Math.floor(box.clientWidth));
  const heightOf = (chart) => Math.round(chart.height * (printing ? 0.7 : 1));

  // Names at the right end of the lines, moved apart when the lines end close together.
  const endLabels = (chart, look, narrow) => {
    if (narrow) return [];
    const margin = chart.layout.margin;
    const tall = heightOf(chart) - margin.t - margin.b;
    const marks = chart.labels
      .filter((label) => look.last[label.trace] !== null)
      .map((label) => {
        const y = chart.log ? Math.log10(look.last[label.trace]) : look.last[label.trace];
        return { ...label, y, pixel: ((y - look.range[0]) / (look.range[1] - look.range[0])) * tall };
      })
      .sort((one, other) => one.pixel - other.pixel);
    marks.forEach((mark, number) => {
      const below = marks[number - 1];
      mark.shown = below ? Math.max(mark.pixel, below.shown + 15) : mark.pixel;
    });
    return marks.map((mark) => ({
      x: 1, xref: "paper", xanchor: "left", xshift: 7,
      y: mark.y, yref: "y", yanchor: "middle", yshift: mark.shown - mark.pixel,
      text: mark.text, showarrow: false, align: "left", font: { color: mark.color, size: 12 },
    }));
  };

  const layoutOf = (chart, width) => {
    const narrow = width < 480;
    const look = seen(chart);
    const layout = JSON.parse(JSON.stringify(chart.layout));
    layout.width = width;
    layout.height = heightOf(chart);
    layout.dragmode = touch || !chart.linked ? false : "zoom";
    if (narrow) { layout.margin.r = 10; layout.xaxis.nticks = 6; }
    if (chart.linked && layout.xaxis.type === "category") layout.xaxis.nticks = Math.max(2, Math.floor(width / 190));
    if (chart.linked) {
      layout.yaxis.type = chart.log ? "log" : "linear";
      if (chart.log) Object.assign(layout.yaxis, { dtick: look.range[1] - look.range[0] > 0.8 ? "D2" : "D1" });
      layout.yaxis.range = look.range;
      layout.yaxis.autorange = false;
      if (span) Object.assign(layout.xaxis, { range: span, autorange: false });
    }
    if (chart.labels.length) layout.annotations = endLabels(chart, look, narrow);
    return { layout: inTheme(layout), narrow };
  };

  const draw = (chart) => {
    const box = document.getElementById(`plot-${chart.id}`);
    const width = widthOf(box);
    if (!width) return;
    box.style.height = `${heightOf(chart)}px`;
    const { layout, narrow } = layoutOf(chart, width);
    box.closest("figure").classList.toggle("narrow", narrow);
    const options = { displayModeBar: false, doubleClick: false, showTips: false, scrollZoom: false };
    Plotly.react(box, inTheme(chart.data), layout, options);
    if (drawn.has(chart.id)) return;
    drawn.set(chart.id, chart);
    box.on("plotly_relayout", (change) => zoomed(chart, change));
    box.on("plotly_doubleclick", () => zoom(null));
  };

  const redraw = () => drawn.forEach(draw);

  const zoom = (wanted) => {
    span = wanted;
    document.querySelectorAll("[data-reset]").forEach((button) => { button.hidden = !span; });
    redraw();
  };

  const zoomed = (chart, change) => {
    const first = change["xaxis.range[0]"];
    if (!chart.linked || first === undefined) return;
    zoom([place(chart, first), place(chart, change["xaxis.range[1]"])]);
  };

  document.querySelectorAll("[data-scale]").forEach((button) => {
    button.addEventListener("click", () => {
      const chart = charts.list.find((one) => one.id === button.dataset.chart);
      chart.log = button.dataset.scale === "log";
      button.parentElement.querySelectorAll("button").forEach((one) => {
        one.setAttribute("aria-pressed", String(one === button));
      });
      if (drawn.has(chart.id)) draw(chart);
    });
  });
  document.querySelectorAll("[data-reset]").forEach((button) => {
    button.addEventListener("click", () => zoom(null));
  });

  // First what is in view, then the rest while the browser has nothing to do.
  const waiting = charts.list.slice();
  const drawNext = () => {
    const next = waiting.shift();
    if (!next) return;
    if (!drawn.has(next.id)) draw(next);
    setTimeout(drawNext, 30);
  };
  const drawAll = () => charts.list.forEach(draw);
  setTimeout(drawNext, 0);

  let resizing = 0;
  window.addEventListener("resize", () => {
    if (printing) return;
    cancelAnimationFrame(resizing);
    resizing = requestAnimationFrame(redraw);
  });
  dark.addEventListener("change", redraw);
  window.addEventListener("beforeprint", () => { printing = true; drawAll(); });
  window.addEventListener("afterprint", () => { printing = false; redraw(); });

  // A click on a head sorts, a second one turns the order round. The heads themselves are the buttons: a real
  // one inside would be missing from the heads that a browser repeats on every printed page.
  document.querySelectorAll("table[data-sortable]").forEach((table) => {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const sortBy = (head, column) => {
      const down = head.getAttribute("aria-sort") === "ascending";
      const numeric = head.dataset.kind === "number";
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
      const order = (one, other) => {
        const [a, b] = [key(one), key(other)];
        if (a === "" || b === "") return (a === "") - (b === "");
        const sign = numeric ? Number(a) - Number(b) : a < b ? -1 : Number(a > b);
        return down ? -sign : sign;
      };
      body.append(...[...body.rows].sort(order));
    };
    heads.forEach((head, column) => {
      head.tabIndex = 0;
      head.addEventListener("click", () => sortBy(head, column));
      head.addEventListener("keydown", (press) => {
        if (press.key !== "Enter" && press.key !== " ") return;
        press.preventDefault();
        sortBy(head, column);
      });
    });
  });
})();
