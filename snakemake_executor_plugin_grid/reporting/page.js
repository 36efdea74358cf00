"use strict";
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const chart = page.timeline;
  const config = { responsive: true, displayModeBar: false, doubleClick: "reset" };
  const plots = {};

  function template(printed) {
    const style = getComputedStyle(document.documentElement);
    const of = (name, print) => printed ? print : style.getPropertyValue(name).trim();
    const ink = of("--ink", "#1c2128"), faint = of("--faint", "#e3e7ec");
    const axis = { gridcolor: faint, linecolor: faint, zerolinecolor: faint, tickcolor: faint };
    return { layout: {
      font: { color: ink, family: style.fontFamily, size: 12.5 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      xaxis: axis, yaxis: axis,
      hoverlabel: { bgcolor: of("--card", "#ffffff"), bordercolor: faint, align: "left",
        font: { color: ink, family: style.fontFamily, size: 12.5 } },
    } };
  }

  const MOST_ROWS = 1500;  // drawn at a time, at most: a screen has no more lines
  const choice = (name) => document.getElementById(name).value;
  const order = () => chart.orders[choice("order")];
  let view = null;  // the part of the rows that the timeline shows

  // If there are more rows than lines on the screen, draw every n-th row.
  function look(range) {
    const total = order().places.length;
    const [low, high] = range ? range.slice().sort((a, b) => a - b) : [-0.6, total - 0.4];
    const stride = Math.max(1, Math.ceil((high - low) / MOST_ROWS));
    const all = total <= MOST_ROWS;
    return { low: all ? -1 : Math.floor(low - 1), high: all ? total : Math.ceil(high + 1), stride };
  }

  function visible(trace) {
    const { places } = order();
    const colours = trace.meta === "end" ? null : chart.colours[choice("colour")];
    const found = { y: [], base: [], x: [], customdata: [], hovertext: [], colour: [] };
    trace.full.customdata.forEach((span, number) => {
      const place = places[chart.rows[span]];
      const drawn = trace.meta === "end" || place % view.stride === 0;
      if (!drawn || place < view.low || place > view.high) return;
      found.y.push(trace.meta === "end" ? place : place + (view.stride - 1) / 2);
      found.x.push(trace.full.x[number]);
      found.base.push(trace.full.base?.[number]);
      found.customdata.push(span);
      found.hovertext.push(chart.texts[span]);
      if (colours) found.colour.push(colours.spans[span]);
    });
    const own = !colours || trace.meta !== "run";
    const { colour, ...changes } = found;
    changes["marker.color"] = own ? trace.full.colour : colour;
    changes.opacity = colours && trace.meta !== "run" ? 0.22 : 1;
    changes.width = view.stride * (1 - page.figures.timeline.layout.bargap);
    if (trace.meta === "end") changes.base = changes.width = null;
    return changes;
  }

  function axis() {
    const { labels, places } = order();
    return {
      ticks: { tickvals: labels.map((some) => (some.first + some.last) / 2),
        ticktext: labels.map((some) => some.text), automargin: true,
        ticklabelstandoff: 6, range: [places.length - 0.4, -0.6] },
      lines: choice("order") !== "time" ? labels.slice(1).map((some) => ({
        type: "line", xref: "paper", x0: 0, x1: 1, y0: some.first - 0.5, y1: some.first - 0.5,
        layer: "below", line: { width: 1, color: "rgba(125,135,148,0.5)" } })) : [],
    };
  }

  function say() {
    document.getElementById("stride").textContent = view.stride > 1
      ? `One job in ${view.stride} is drawn, and every end that was not good: zoom in to see all.`
      : "";
  }

  function legend() {
    const list = document.getElementById("colours");
    list.replaceChildren();
    const colours = chart.colours[choice("colour")];
    for (const some of colours ? colours.legend : []) {
      const item = document.createElement("li");
      const patch = document.createElement("span");
      patch.style.background = some.colour;
      item.append(patch, some.text);
      list.append(item);
    }
  }

  function prepare(figure) {
    view = look(null);
    for (const trace of figure.data) {
      const { x, base, customdata } = trace;
      trace.full = { x, base, customdata, colour: trace.marker.color };
      const { "marker.color": color, ...changes } = visible(trace);
      Object.assign(trace, changes);
      trace.marker.color = color;
    }
    figure.shaded = figure.layout.shapes || [];
    const { ticks, lines } = axis();
    Object.assign(figure.layout.yaxis, ticks);
    figure.layout.shapes = figure.shaded.concat(lines);
    say();
  }

  function redraw(layout) {
    const changes = {};
    for (const trace of page.figures.timeline.data) {
      for (const [name, value] of Object.entries(visible(trace))) {
        (changes[name] ??= []).push(value);
      }
    }
    say();
    // Plotly guesses types and ranges of axes again when its data change.
    const { xaxis, yaxis } = plots.timeline.layout;
    const kept = {
      "xaxis.type": "date", "xaxis.range": xaxis.range.slice(), "xaxis.autorange": false,
      "yaxis.type": "linear", "yaxis.range": yaxis.range.slice(), "yaxis.autorange": false,
    };
    return Plotly.update("timeline", changes, { ...kept, ...layout });
  }

  function rearrange() {
    view = look(null);
    legend();
    const { ticks, lines } = axis();
    const changes = Object.fromEntries(
      Object.entries(ticks).map(([name, value]) => [`yaxis.${name}`, value]));
    return redraw({ ...changes, shapes: page.figures.timeline.shaded.concat(lines) });
  }

  function zoomed(event) {
    if (!Object.keys(event).some((key) => key.startsWith("yaxis.range"))) return;
    const next = look(plots.timeline.layout.yaxis.range);
    if (JSON.stringify(next) !== JSON.stringify(view)) {
      view = next;
      redraw({});
    }
  }

  // Zooming into one plot over time zooms into the other.
  function follow(one, other) {
    plots[one].on("plotly_relayout", (event) => {
      const from = plots[one].layout.xaxis.range, to = plots[other].layout.xaxis.range;
      const moved = Object.keys(event).some((key) => key.startsWith("xaxis."));
      if (moved && String(from) !== String(to)) {
        Plotly.relayout(other, { "xaxis.range": from.slice(), "xaxis.autorange": false });
      }
    });
  }

  const paint = (printed) => Promise.all(Object.keys(plots).map(
    (name) => Plotly.relayout(name, { template: template(printed) })));

  async function draw() {
    for (const [name, figure] of Object.entries(page.figures)) {
      if (name === "timeline") prepare(figure);
      figure.layout.template = template(false);
      plots[name] = await Plotly.newPlot(name, figure.data, figure.layout, config);
    }
    if (plots.timeline) {
      follow("timeline", "concurrency");
      follow("concurrency", "timeline");
      plots.timeline.on("plotly_relayout", zoomed);
      for (const name of ["order", "colour"]) {
        document.getElementById(name).addEventListener("change", rearrange);
      }
      legend();
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint(false));
    addEventListener("beforeprint", () => paint(true));
    addEventListener("afterprint", () => paint(false));
    document.body.dataset.drawn = Object.keys(plots).length;
  }
  draw();
})();
