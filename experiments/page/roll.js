// The piano roll: it shows the music, and is drawn on by mouse, touch and keyboard.
import {bars_until, first_bars, is_black, note_name, place_text} from "./bars.js";

export const step_width = 16, left = 44;
const row_height = 11, edge = 6, svg_name = "http://www.w3.org/2000/svg";

export function colour(note) {
  if (note.probability === undefined || note.given) return "var(--given)";
  return note.probability > .6 ? "var(--sure)" : note.probability > .25 ? "var(--half)" : "var(--surprised)";
}

function element(name, values, parent) {
  const made = document.createElementNS(svg_name, name);
  for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}

export class Roll {
  // model: lowest_note, notes, steps_per_quarter. said(text) tells what the keyboard came upon; busy() forbids changes.
  constructor(node, bar_row, music, model, {said, busy, tried}) {
    Object.assign(this, {node, bar_row, music, model, said, busy, tried, chosen: null, step: 0, pitch: 67, shadow: null});
    this.grid = element("g", {}, node);
    this.notes = element("g", {}, node);
    this.cursor = element("rect", {class: "cursor", height: row_height, rx: 2}, node);
    this.head = element("line", {class: "head", y1: 0}, node);
    node.addEventListener("pointerdown", event => this.down(event));
    node.addEventListener("pointermove", event => this.move(event));
    node.addEventListener("pointerup", event => this.up(event));
    node.addEventListener("pointercancel", () => { this.drag = null; });
    node.addEventListener("dblclick", event => this.erase(this.note_of(event)));
    node.addEventListener("keydown", event => this.key(event));
    node.addEventListener("focus", () => this.tell());
  }

  get highest() { return this.model.lowest_note + this.model.notes - 1; }
  x(step) { return left + step * step_width; }
  y(pitch) { return (this.highest - pitch) * row_height; }
  bars() { return first_bars(this.music.bars, this.music.meters, this.model.steps_per_quarter); }
  steps() { return this.bars().at(-1).end; }

  // shadow: the notes that are shown in place of the music's while it is composed.
  draw(shadow = this.shadow) {
    this.shadow = shadow;
    const bars = this.bars(), steps = bars.at(-1).end, height = this.model.notes * row_height, width = this.x(steps);
    this.node.setAttribute("width", width);
    this.node.setAttribute("height", height);
    this.node.setAttribute("aria-label", `Piano roll: ${this.music.notes.length} notes in ${bars.length} bars`);
    this.draw_grid(bars, steps, height, width);
    this.draw_bar_row(bars, width);
    this.notes.replaceChildren();
    for (const note of shadow || this.music.notes) {
      const rect = element("rect", {class: "note" + (note === this.chosen ? " chosen" : "") + (note.open ? " open" : ""), x: this.x(note.step) + .5,
        y: this.y(note.pitch) + .5, width: Math.max(3, note.length * step_width - 1), height: row_height - 1, rx: 2}, this.notes);
      rect.style.fill = colour(note);
      rect.note = note;
      const sure = note.probability === undefined ? "" : `, probability ${note.probability.toFixed(2)}`;
      element("title", {}, rect).textContent = `${note_name(note.pitch)}, ${place_text(note.step, bars, this.model.steps_per_quarter)}${note.given ? ", given" : ""}${sure}`;
    }
    this.head.setAttribute("y2", height);
    this.place_cursor();
  }

  draw_grid(bars, steps, height, width) {
    const key = JSON.stringify([bars, [...this.music.marked]]);
    if (key === this.drawn) return;
    this.drawn = key;
    this.grid.replaceChildren();
    for (let pitch = this.model.lowest_note; pitch <= this.highest; ++pitch) {
      element("rect", {class: is_black(pitch) ? "black" : "white", x: 0, y: this.y(pitch), width, height: row_height}, this.grid);
      if (pitch % 12 === 0) {
        element("line", {class: "octave", x1: 0, x2: width, y1: this.y(pitch) + row_height, y2: this.y(pitch) + row_height}, this.grid);
        element("text", {x: 4, y: this.y(pitch) + row_height - 2}, this.grid).textContent = note_name(pitch);
      }
    }
    bars.forEach((bar, at) => {
      if (this.music.marked.has(at))
        element("rect", {class: "marked", x: this.x(bar.first), y: 0, width: (bar.end - bar.first) * step_width, height}, this.grid);
      for (let step = bar.first; step < bar.end; ++step)
        if (step === bar.first || (step - bar.first) % this.model.steps_per_quarter === 0)
          element("line", {class: step === bar.first ? "barline" : "beat", x1: this.x(step), x2: this.x(step), y1: 0, y2: height}, this.grid);
    });
  }

  draw_bar_row(bars, width) {
    this.bar_row.style.width = `${width}px`;
    while (this.bar_row.children.length > bars.length) this.bar_row.lastChild.remove();
    bars.forEach((bar, at) => {
      let button = this.bar_row.children[at];
      if (!button) {
        button = document.createElement("button");
        button.addEventListener("click", () => this.mark(at));
        this.bar_row.append(button);
      }
      button.textContent = at + 1;
      button.style.left = `${this.x(bar.first)}px`;
      button.style.width = `${(bar.end - bar.first) * step_width}px`;
      button.setAttribute("aria-label", `Bar ${at + 1}`);
      button.setAttribute("aria-pressed", this.music.marked.has(at));
    });
  }

  mark(at) {
    if (!this.music.marked.delete(at)) this.music.marked.add(at);
    this.draw();
  }

  play_head(step) {
    this.head.style.visibility = step < 0 ? "hidden" : "visible";
    for (const end of ["x1", "x2"]) this.head.setAttribute(end, this.x(Math.max(0, step)));
    const scroller = this.node.parentNode, at = this.x(step);
    if (step >= 0 && (at < scroller.scrollLeft + left || at > scroller.scrollLeft + scroller.clientWidth - 60)) scroller.scrollLeft = at - left - 40;
  }

  // So that what sounds is in sight.
  look_at(notes) {
    const pitches = notes.map(note => note.pitch), middle = pitches.length ? (Math.min(...pitches) + Math.max(...pitches)) / 2 : 64;
    this.node.parentNode.scrollTop = this.y(middle) - this.node.parentNode.clientHeight / 2 + 40;
  }

  // -- mouse and touch
  place(event) {
    const box = this.node.getBoundingClientRect();
    return {step: Math.floor((event.clientX - box.left - left) / step_width), pitch: this.highest - Math.floor((event.clientY - box.top) / row_height)};
  }
  note_of(event) {
    return event.target.note && this.music.notes.includes(event.target.note) ? event.target.note : null;
  }
  down(event) {
    if (this.busy() || event.button > 0) return;
    const place = this.place(event), note = this.note_of(event);
    const at_end = note && event.clientX > event.target.getBoundingClientRect().right - Math.min(edge, note.length * step_width / 3);
    const draws = !note && place.step >= 0 && place.step < this.steps();
    if (!note && !draws) return;
    [this.step, this.pitch] = note ? [note.step, note.pitch] : [place.step, place.pitch];
    this.drag = {kind: note ? at_end ? "length" : "move" : "draw", note, from: place, was: note && {...note}, moved: false,
                 touch: event.pointerType === "touch"};
    this.choose(note);
    if (this.drag.kind === "draw" && !this.drag.touch) this.begin(place);
    if (this.drag.kind !== "draw" || !this.drag.touch) this.node.setPointerCapture(event.pointerId);
  }
  begin(place) {
    this.music.remember();
    const {step, pitch} = place;
    this.drag.note = this.music.add({pitch, step, length: 1, velocity: 80});
    this.drag.was = {...this.drag.note};
    this.drag.remembered = true;
    this.choose(this.drag.note);
    this.tried(pitch);
    this.music.changed();
  }
  move(event) {
    const drag = this.drag;
    if (!drag || !drag.note) return;
    const place = this.place(event), by = place.step - drag.from.step, was = drag.was, note = drag.note, end = this.steps();
    if (drag.kind === "draw" || drag.kind === "length") {
      const length = Math.max(1, Math.min(was.length + by, end - was.step));
      if (length === note.length) return;
      this.change(() => { note.length = length; });
    } else {
      const step = Math.max(0, Math.min(was.step + by, end - was.length)), pitch = this.within(was.pitch + place.pitch - drag.from.pitch);
      if (step === note.step && pitch === note.pitch) return;
      if (pitch !== note.pitch) this.tried(pitch);
      this.change(() => { Object.assign(note, {step, pitch}); });
    }
  }
  change(action) {
    if (this.drag && !this.drag.remembered) this.music.remember();
    if (this.drag) this.drag.remembered = true;
    const note = this.chosen;
    action();
    this.music.touch(note);
    [this.step, this.pitch] = [note.step, note.pitch];
    this.music.changed();
  }
  up(event) {
    const drag = this.drag, place = this.place(event);
    if (drag && drag.kind === "draw" && drag.touch && place.step === drag.from.step && place.pitch === drag.from.pitch) {
      this.begin(place);
      this.change(() => { this.chosen.length = Math.min(this.model.steps_per_quarter, this.steps() - place.step); });
    }
    this.drag = null;
  }
  within(pitch) { return Math.max(this.model.lowest_note, Math.min(this.highest, pitch)); }
  choose(note) {
    this.chosen = note;
    this.draw();
    this.node.dispatchEvent(new CustomEvent("chosen"));
  }
  erase(note = this.chosen) {
    if (!note || this.busy()) return;
    this.music.remember();
    this.music.erase(note);
    this.chosen = null;
    this.music.changed();
    this.choose(null);
  }

  // -- keyboard
  key(event) {
    const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
    const here = this.music.at(this.pitch, this.step);
    if (event.ctrlKey || event.metaKey) return;
    if (moves && (event.shiftKey || event.altKey)) {
      if (here && !this.busy()) this.shift(here, moves, event.shiftKey);
    } else if (moves) {
      this.step = Math.max(0, Math.min(this.steps() - 1, this.step + moves[0]));
      this.pitch = this.within(this.pitch + moves[1]);
    } else if (event.key === "Enter" && !this.busy()) {
      if (here) {
        this.erase(here);
      } else {
        this.music.remember();
        this.chosen = this.music.add({pitch: this.pitch, step: this.step, length: Math.min(this.model.steps_per_quarter, this.steps() - this.step), velocity: 80});
        this.tried(this.pitch);
        this.music.changed();
      }
    } else if ((event.key === "Delete" || event.key === "Backspace") && !this.busy()) {
      this.erase(here);
    } else {
      return;
    }
    event.preventDefault();
    this.choose(this.music.at(this.pitch, this.step) || null);
    this.tell();
  }
  shift(note, [by, up], lengthen) {
    this.music.remember();
    this.chosen = note;
    this.change(() => {
      if (lengthen) note.length = Math.max(1, Math.min(note.length + by, this.steps() - note.step));
      else Object.assign(note, {step: Math.max(0, Math.min(note.step + by, this.steps() - note.length)), pitch: this.within(note.pitch + up)});
    });
  }
  place_cursor() {
    this.cursor.setAttribute("x", this.x(this.step));
    this.cursor.setAttribute("y", this.y(this.pitch));
    this.cursor.setAttribute("width", step_width);
  }
  tell() {
    this.place_cursor();
    const note = this.music.at(this.pitch, this.step), quarter = this.model.steps_per_quarter;
    const sure = note && note.probability !== undefined ? `, probability ${note.probability.toFixed(2)}` : "";
    this.said(`${note_name(this.pitch)}, ${place_text(this.step, this.bars(), quarter)}: ${note ? `a note of ${note.length}/${quarter} quarters${sure}` : "empty"}`);
    const scroller = this.node.parentNode, x = this.x(this.step), y = this.y(this.pitch);
    if (x < scroller.scrollLeft || x > scroller.scrollLeft + scroller.clientWidth - 40) scroller.scrollLeft = x - 80;
    if (y < scroller.scrollTop || y > scroller.scrollTop + scroller.clientHeight - 120) scroller.scrollTop = y - 120;
  }
}

export const bars_of_music = (steps, meters, quarter) => Math.max(1, bars_until(steps, meters, quarter).length);
