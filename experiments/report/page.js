"use strict";
document.documentElement.classList.add("js");

// -- tables: a click on a heading, or Enter on it, sorts by that column; a second one reverses the order
for (const table of document.querySelectorAll("main table")) {
  const headings = [...table.tHead.rows[0].cells];
  if (table.tBodies[0].rows.length < 2) continue;
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, headings, column));
  });
}

function sort(table, headings, column) {
  const heading = headings[column], down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of headings) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = row => row.cells[column].dataset.value === undefined ? NaN : Number(row.cells[column].dataset.value);
  const last = row => "judged" in heading.dataset && row.classList.contains("unranked");
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort((a, b) => {
    if (last(a) !== last(b)) return last(a) - last(b);
    const x = value(a), y = value(b);
    if (isNaN(x) !== isNaN(y)) return isNaN(x) - isNaN(y);  // absent numbers stay at the end
    const order = isNaN(x) ? a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", {numeric: true}) : x - y;
    return down ? -order : order;
  }));
}

// -- curves
const curves = JSON.parse(document.getElementById("curve-data").textContent);
const shown = new Set(curves.series.map((_, i) => i).filter(i => curves.series[i].shown));
let split = "valid";
const colour = i => `var(--s${i % 10})`, dash = i => [null, "7 3", "2 3"][Math.floor(i / 10) % 3];
const digits = d3.format(".4~g");

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.part = curves.parts[figure.dataset.part];
    this.svg = d3.select(figure).select("svg");
    this.node = this.svg.node();
    this.output = figure.querySelector("output");
    this.margin = {left: 52, right: 12, top: 10, bottom: 34};
    const clip = "clip-" + figure.dataset.part;
    this.clip = this.svg.append("clipPath").attr("id", clip).append("rect");
    this.x_axis = this.svg.append("g");
    this.y_axis = this.svg.append("g");
    this.label = this.svg.append("text").attr("text-anchor", "end").text("epoch");
    this.plot = this.svg.append("g").attr("clip-path", `url(#${clip})`);
    this.mark = this.svg.append("line").attr("class", "reading").attr("visibility", "hidden");
    // Two fingers, a drag with the mouse, the wheel with Ctrl and the buttons zoom; the wheel alone and one finger scroll.
    this.zoom = d3.zoom().scaleExtent([1, 50]).on("zoom", () => this.draw());
    const event_of = event => event && event.type ? event : window.event;
    this.zoom.filter(event => {
      const e = event_of(event);
      return e.type === "wheel" ? e.ctrlKey : e.type.startsWith("touch") ? e.touches.length > 1 : e.type === "mousedown" && !e.button;
    });
    this.svg.call(this.zoom).on("dblclick.zoom", null);
    for (const button of figure.querySelectorAll("button")) button.addEventListener("click", () => this.press(button.dataset.zoom));
    this.node.addEventListener("pointermove", e => this.read_at(e));
    this.node.addEventListener("pointerdown", e => this.read_at(e));
    this.node.addEventListener("keydown", e => this.key(e));
  }

  press(what) {
    if (what === "all") this.svg.call(this.zoom.transform, d3.zoomIdentity);
    else this.svg.call(this.zoom.scaleBy, what === "in" ? 1.6 : 1 / 1.6);
  }

  key(e) {
    const what = {"+": "in", "-": "out", "0": "all"}[e.key], move = {ArrowLeft: -1, ArrowRight: 1}[e.key];
    if (what) this.press(what);
    else if (move) this.read(d3.max([1, d3.min([this.last, (this.epoch || 0) + move])]));
    else return;
    e.preventDefault();
  }

  series() {  // of the chosen split; a run without validation has training losses only
    const lines = this.part[split] || [];
    return [...shown].sort((a, b) => a - b).map(i => ({i, line: lines[i]})).filter(s => s.line && s.line.epoch.length);
  }

  draw() {
    const {left, right, top, bottom} = this.margin, width = this.node.clientWidth, height = this.node.clientHeight;
    if (!width) return;
    this.zoom.extent([[left, top], [width - right, height - bottom]]).translateExtent([[left, top], [width - right, height - bottom]]);
    const all = this.series();
    this.last = d3.max(all, s => s.line.epoch[s.line.epoch.length - 1]) || 1;
    const x = this.x = d3.zoomTransform(this.node).rescaleX(d3.scaleLinear().domain([1, Math.max(2, this.last)]).range([left, width - right]));
    const [from, to] = x.domain(), seen = [];
    for (const {line} of all)
      line.epoch.forEach((e, k) => { if (e >= from - 1 && e <= to + 1) seen.push(line.mean[k], line.low[k], line.high[k]); });
    const [least, most] = seen.length ? d3.extent(seen) : [0, 1];
    const y = d3.scaleLinear().domain(least < most ? [least, most] : [Math.min(0, 2 * least), Math.max(0, 2 * most)]).range([height - bottom, top]).nice(6);
    this.clip.attr("x", left).attr("y", top - 4).attr("width", Math.max(0, width - left - right)).attr("height", Math.max(0, height - top - bottom + 8));
    this.x_axis.attr("transform", `translate(0,${height - bottom})`).call(d3.axisBottom(x).ticks(Math.max(2, Math.min(width / 70, to - from)), "~g"));
    this.y_axis.attr("transform", `translate(${left},0)`).call(d3.axisLeft(y).ticks(6).tickSize(left + right - width));
    this.label.attr("x", width - right).attr("y", height - 3);
    const points = ({line}) => d3.range(line.epoch.length);
    const area = s => d3.area().x(k => x(s.line.epoch[k])).y0(k => y(s.line.low[k])).y1(k => y(s.line.high[k]))(points(s));
    const path = s => d3.line().x(k => x(s.line.epoch[k])).y(k => y(s.line.mean[k]))(points(s));
    this.join("band", all).style("fill", s => colour(s.i)).attr("d", area);
    this.join("curve", all).style("stroke", s => colour(s.i)).attr("stroke-dasharray", s => dash(s.i)).attr("d", path);
    this.join("dot", all.filter(s => s.line.epoch.length === 1), "circle").style("fill", s => colour(s.i)).attr("r", 4)
        .attr("cx", s => x(s.line.epoch[0])).attr("cy", s => y(s.line.mean[0]));
    if (this.epoch) this.read(this.epoch);
  }

  join(name, data, tag = "path") {
    const old = this.plot.selectAll("." + name).data(data);
    old.exit().remove();
    return old.enter().append(tag).attr("class", name).merge(old);
  }

  read_at(e) {
    if (e.type === "pointermove" && e.buttons) return;
    this.read(Math.round(d3.max([1, d3.min([this.last, this.x.invert(e.clientX - this.node.getBoundingClientRect().left)])])));
  }

  read(epoch) {
    this.epoch = epoch;
    const at = this.x(epoch), {left, right, top, bottom} = this.margin;
    const inside = at >= left - 1 && at <= this.node.clientWidth - right + 1;
    this.mark.attr("visibility", inside ? "visible" : "hidden").attr("x1", at).attr("x2", at).attr("y1", top).attr("y2", this.node.clientHeight - bottom);
    this.output.textContent = `epoch ${epoch}: `;
    for (const {i, line} of this.series()) {
      const k = line.epoch.indexOf(epoch), entry = document.createElement("span"), swatch = document.createElement("i");
      if (k < 0) continue;
      swatch.className = `swatch s${i % 10}`;
      const band = line.n[k] > 1 ? ` (${digits(line.low[k])} to ${digits(line.high[k])}, n ${line.n[k]})` : "";
      entry.append(swatch, `${curves.series[i].label}: ${digits(line.mean[k])}${band}`);
      this.output.append(entry);
    }
  }
}

const charts = [...document.querySelectorAll("figure.chart")].map(figure => new Chart(figure));
const draw_all = () => charts.forEach(chart => chart.draw());
for (const box of document.querySelectorAll("input[name=series]")) {
  box.checked = shown.has(Number(box.value));
  box.addEventListener("change", () => { box.checked ? shown.add(Number(box.value)) : shown.delete(Number(box.value)); draw_all(); });
}
for (const button of document.querySelectorAll("input[name=split]")) {
  if (button.checked) split = button.value;
  button.addEventListener("change", () => { split = button.value; draw_all(); });
}
draw_all();
window.addEventListener("resize", draw_all);

// -- pieces: each is opened on the page of poph play, which is this machine's own, by a link. The piece stands behind the "#", which is sent nowhere.
for (const midi of document.querySelectorAll(".player a[download$='.mid']")) {
  const link = document.createElement("a");
  link.href = "http://127.0.0.1:7674/open#" + midi.href.split(",")[1];
  link.target = "_blank";
  link.rel = "noopener";
  link.title = "while the command poph play runs on this machine, and its page is open in this browser";
  link.textContent = "Play with it";
  midi.after(link);
}

// -- pieces: a line runs along the picture while its sound plays, and one plays at a time
for (const audio of document.querySelectorAll("audio")) {
  const piece = audio.closest(".piece"), head = piece.querySelector(".playhead"), roll = piece.querySelector(".roll");
  const follow = () => {
    const at = Number(roll.dataset.left) + audio.currentTime * Number(roll.dataset.speed);
    head.style.left = `${at}px`;
    if (!audio.paused && (at < roll.scrollLeft || at > roll.scrollLeft + roll.clientWidth - 40)) roll.scrollLeft = at - 60;
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    head.style.display = "block";
    follow();
  });
  audio.addEventListener("seeking", follow);
}
