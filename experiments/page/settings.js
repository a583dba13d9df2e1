// The form: what a request says beside the notes.
import {bar_list, bars_until} from "./bars.js";

const form = document.getElementById("settings");

export function fill_in(model, changed) {
  form.addEventListener("submit", event => event.preventDefault());
  form.bars.value = Math.min(8, model.bars);
  for (const name of ["bars", "more"]) form[name].max = model.limits.bars;
  form.tempo.value = model.tempo;
  form.temperature.value = model.temperature;
  form.particles.value = model.particles;
  form.particles.max = model.limits.particles;
  form.meter.value = model.meter.join("/");
  const scales = document.getElementById("scales");
  for (const mode of ["major", "minor"])
    for (const tonic of ["C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]) scales.append(new Option(`${tonic} ${mode}`));
  const styles = document.getElementById("styles");
  styles.hidden = !model.styles.length;
  for (const name of model.styles) {
    const label = document.createElement("label"), input = document.createElement("input"), shown = document.createElement("output");
    Object.assign(input, {type: "range", min: 0, max: 100, value: 50, name: "style"});
    input.dataset.style = name;
    label.append(name, input, shown);
    styles.append(label);
    input.addEventListener("input", show_shares);
  }
  show_shares();
  form.bars.addEventListener("change", () => changed("bars", whole("bars")));
  form.meter.addEventListener("change", () => {
    const found = /^\s*(\d{1,3})\s*\/\s*(\d{1,3})\s*$/.exec(form.meter.value);
    if (found) changed("meters", [[0, Number(found[1]), Number(found[2])]]);
    else changed("problem", `The meter "${form.meter.value}" should be like 3/4.`);
  });
}

export function show_music(music) {
  form.bars.value = music.bars;
  const [, numerator, denominator] = music.meters[0] || [0, 4, 4];
  form.meter.value = `${numerator}/${denominator}`;
}

function sliders() {
  return [...form.querySelectorAll("input[name=style]")];
}
// Shares that sum to 1.
function shares() {
  const sum = sliders().reduce((all, one) => all + Number(one.value), 0);
  return Object.fromEntries(sliders().filter(one => Number(one.value) > 0).map(one => [one.dataset.style, Number(one.value) / sum]));
}
function show_shares() {
  const all = shares();
  for (const one of sliders()) one.nextSibling.textContent = ` ${Math.round(100 * (all[one.dataset.style] || 0))} %`;
}

const words = {bars: "The number of bars", more: "The number of bars to add", tempo: "The tempo", most_notes: "The most notes at once", temperature: "The temperature",
               particles: "The number of particles", seed: "The seed"};
function number(name) {
  const input = form[name];
  if (input.value === "" || !input.checkValidity()) throw new Error(`${words[name]}: ${input.validationMessage || "a number is missing."}`);
  return Number(input.value);
}
const whole = name => Math.round(number(name));

export const plays_along = () => form.along.checked;
export const tempo = () => Number(form.tempo.value) || 120;

// kind: "harmonise", "fill" or "continue". Error: a sentence.
export function request_of(kind, music, model) {
  const request = {notes: music.rows(), meters: music.meters, bars: kind === "continue" ? whole("more") : music.bars, seed: whole("seed"),
                   temperature: number("temperature"), tempo: number("tempo"), particles: whole("particles"), most_notes: whole("most_notes"),
                   scale: form.scale.value.trim()};
  if (model.styles.length) {
    request.style = shares();
    if (!Object.keys(request.style).length) throw new Error("Style: give at least one of them a share.");
  }
  if (kind === "continue") {
    request.before = true;
    return request;
  }
  request.melody = form.melody.checked && music.notes.length > 0;
  request.bass = form.bass.checked && music.notes.length > 0;
  const filled = bars_until(music.end(), music.meters, model.steps_per_quarter).map((_, at) => at);
  if (kind === "fill") {
    if (!music.marked.size) throw new Error("Mark the bars that are to be filled: press on their numbers above the notes.");
    request.keep_bars = bar_list(filled.filter(at => !music.marked.has(at)));
    if (!request.keep_bars) request.keep_bars = "";
  } else if (form.marked.checked) {
    request.keep_bars = bar_list(filled.filter(at => music.marked.has(at)));
  }
  return request;
}

export function after_take() {
  if (form.new_seed.checked) form.seed.value = whole("seed") + 1;
}
