// The takes, side by side: a picture, figures, and what can be done with each.
import {colour} from "./roll.js";
import {bytes_of, download} from "./composing.js";

const list = document.getElementById("takes");

function picture(notes, steps, model) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${steps} ${model.notes}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const note of notes) {
    const rect = document.createElementNS(svg.namespaceURI, "rect");
    Object.entries({x: note.step, y: model.lowest_note + model.notes - 1 - note.pitch, width: note.length, height: 1.2}).forEach(([key, value]) => rect.setAttribute(key, value));
    rect.style.fill = colour(note);
    svg.append(rect);
  }
  return svg;
}

function button(text, label, action) {
  const made = document.createElement("button");
  made.textContent = text;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", action);
  return made;
}

// take: {number, kind, music, steps, done, command}. keep(take) makes it the start of the next one; hear(take) plays it.
export function add_take(take, model, {keep, hear}) {
  document.getElementById("no-takes").hidden = true;
  const {number, done} = take, article = document.createElement("article"), heading = document.createElement("h3"), figures = document.createElement("dl");
  article.className = "take";
  article.setAttribute("aria-label", `Take ${number}`);
  heading.textContent = `Take ${number}: ${take.kind}${done.cut ? ", stopped" : ""}${done.key ? `, ${done.key}` : ""}`;
  const figure = (name, text, title = "") => {
    const term = document.createElement("dt"), value = document.createElement("dd");
    term.textContent = name;
    value.textContent = text;
    value.title = title;
    figures.append(term, value);
    return value;
  };
  const composed = Math.max(1, done.steps - done.first);
  if (model.autoregressive)
    figure("log-likelihood", `${(done.log_likelihood / composed).toFixed(3)} nats a step, ${done.log_likelihood.toFixed(1)} in all`, "as poph evaluate has it").dataset.sum = done.log_likelihood;
  const copies = figure("copied", "..");
  if (done.condition) figure("what was kept", done.condition.join(" ").replace(/^condition of piece 1: /, ""));
  for (const warning of done.warnings) figure("beware", warning);
  const buttons = document.createElement("div");
  buttons.className = "bar";
  buttons.append(button("Keep", `Keep take ${number} as the start of the next`, () => keep(take)), button("Play", `Play take ${number}`, () => hear(take)),
                 button("MIDI", `Download take ${number} as MIDI`, () => download(`take_${number}.mid`, "audio/midi", bytes_of(done.midi))));
  article.append(heading, picture(take.music.notes, done.steps, model), figures, buttons);
  list.prepend(article);
  take.node = article;
  take.tell_copies = found => {
    copies.textContent = found.longest === 0 ? `nothing of ${found.among}`
      : `${found.longest} steps in a row at most (${found.of}); ${Math.round(100 * found.share)} % lie in runs of a bar or more, of ${found.among}`;
  };
}

export function show_kept(take) {
  for (const article of list.children) article.classList.toggle("kept", take && article === take.node);
}
