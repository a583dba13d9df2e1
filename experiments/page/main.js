// The page of poph play: it brings music, roll, sound, takes and the server together.
import {ask, ask_json, bytes_of, compose, download, post} from "./composing.js";
import {draw_curve} from "./curve.js";
import {Music, notes_of_rows, notes_of_steps} from "./music.js";
import {Roll, bars_of_music} from "./roll.js";
import {after_take, fill_in, plays_along, request_of, show_music, tempo} from "./settings.js";
import {Player, loudness, try_note, wake} from "./sound.js";
import {add_take, show_kept} from "./takes.js";

const element = id => document.getElementById(id);
const kinds = {harmonise: "harmonised", fill: "filled in", continue: "continued"};
let model, roll, composing = null, kept = null, takes = 0, awaited = false;

const say = text => { element("status").textContent = text; };
function complain(text) {
  element("problem").textContent = text;
  element("problem").hidden = !text;
}

const music = new Music(() => changed());

function changed() {
  if (roll.chosen && !music.notes.includes(roll.chosen)) roll.choose(null);
  roll.draw(composing ? composing.notes : null);
  draw_curve(element("curve"), composing ? composing.likelihoods : music.likelihoods, roll.steps());
  if (!composing && kept && !same_notes(kept.music.notes, music.notes)) show_kept(kept = null);
  show_music(music);
  show_buttons();
}

// Steps may come faster than pictures.
function draw_soon() {
  if (awaited) return;
  awaited = true;
  requestAnimationFrame(() => { awaited = false; changed(); });
}

function show_buttons() {
  const busy = composing !== null;
  for (const id of ["harmonise", "fill", "continue", "clear", "piece", "file"]) element(id).disabled = busy;
  element("stop").disabled = !busy;
  element("undo").disabled = busy || !music.past.length;
  element("erase").disabled = busy || !roll.chosen;
  element("sound").disabled = !model.sound;
  element("play").textContent = player.playing ? "Pause" : "Play";
  element("play").setAttribute("aria-pressed", player.playing);
}

// -- hearing
const played = {
  sounding: step => (composing ? composing.notes : music.notes).filter(note => note.step <= step && step < note.step + note.length)
    .map(note => ({pitch: note.pitch, velocity: note.velocity, begins: note.step === step})),
  ready: () => composing ? composing.first + composing.steps : music.end(),
  finished: () => !composing,
  seconds: () => 60 / tempo() / model.steps_per_quarter,
};
const player = new Player(played, step => roll.play_head(step), () => show_buttons());

function play_or_pause() {
  if (player.playing) player.stop();
  else player.start(0);
  show_buttons();
}

// -- composing
async function begin(kind) {
  complain("");
  let request;
  try {
    request = request_of(kind, music, model);
  } catch (error) {
    return complain(error.message);
  }
  performance.clearMarks();
  performance.mark("asked");
  wake();
  player.stop();
  const abort = new AbortController();
  const before = kind === "continue" ? music.notes.map(note => ({...note})) : [];
  composing = {kind, request, abort, rows: [], notes: before, before, likelihoods: [], first: 0, steps: 0, take: 0, failed: "", done: null};
  const now = composing;
  music.remember();
  changed();
  say("Composing ..");
  try {
    await compose(request, (event, data) => hear(now, event, data), abort.signal);
    if (!now.done && !now.failed) now.failed = "The program has ended while it composed.";
  } catch (error) {
    now.failed = error.message;
  }
  if (composing === now) finish(now);
}

function hear(now, event, data) {
  if (event === "waiting") {
    now.take = data.take;
    if (data.before) say(`Waiting: ${data.before} before this one.`);
  } else if (event === "begin") {
    Object.assign(now, {first: data.first, all: data.steps, command: data.command, given: data.given});
    if (data.first) {
      music.bars = bars_of_music(data.first + data.steps, music.meters, model.steps_per_quarter);
      now.before.forEach(note => { note.length = Math.min(note.length, data.first - note.step); });
    }
    say(["Composing ..", ...data.said].join(" "));
  } else if (event === "step") {
    now.rows.length = data.changed;
    now.rows.push(...data.fresh);
    now.steps = data.steps;
    const shown = notes_of_steps(now.rows, now.first, data.settled);
    now.notes = now.before.concat(shown);
    now.likelihoods = Array(now.first).fill(null).concat(now.rows.map(row => row[0]));
    if (plays_along() && !now.heard) player.start(now.first);
    now.heard = true;
    draw_soon();
  } else if (event === "done") {
    now.done = data;
    now.settled = notes_of_steps(now.rows, now.first, Infinity);
    finish(now);
  } else if (event === "copies") {
    if (now.finished) now.finished.tell_copies(data);
  } else if (event === "failed") {
    now.failed = data.message;
  }
}

function finish(now) {
  composing = null;
  if (!now.done) {
    music.undo();
    say("");
    complain(now.failed);
    return changed();
  }
  after_take();
  const {done} = now, piece = new Music(() => {});
  piece.notes = now.before.concat(now.settled);
  piece.meters = done.meters.length ? done.meters : [[0, 4, 4]];
  piece.bars = Math.max(now.kind === "continue" ? 1 : now.request.bars, bars_of_music(done.steps, piece.meters, model.steps_per_quarter));
  piece.likelihoods = now.likelihoods;
  piece.marked = new Set(music.marked);
  const take = {number: ++takes, kind: kinds[now.kind], music: piece.snapshot(), done, command: now.command, given: now.given};
  add_take(take, model, {keep, hear: one => { keep(one); player.start(0); show_buttons(); }});
  now.finished = take;
  show(take);
  const seconds = done.seconds.toFixed(1);
  say(`${done.cut ? "Stopped" : "Done"}: ${done.steps - done.first} steps in ${seconds} s. It is take ${take.number}.`);
}

function show(take) {
  kept = take;
  music.show(take.music);
  show_kept(take);
  element("command").textContent = take.command;
  element("given").href = take.given ? `data:audio/midi;base64,${take.given}` : "";
  element("given").hidden = !take.given;
}

function keep(take) {
  if (composing) return;
  music.remember();
  player.stop();
  show(take);
  say(`Take ${take.number} is the start of the next one.`);
}

async function stop() {
  if (!composing) return;
  try {
    await post("stop", String(composing.take));
  } catch (error) {
    complain(error.message);
  }
}

// -- music in and out
function open_piece(piece, name) {
  music.remember();
  player.stop();
  music.show({notes: notes_of_rows(piece.notes), meters: piece.meters.length ? piece.meters : [[0, 4, 4]],
              bars: Math.min(model.limits.bars, bars_of_music(piece.steps, piece.meters, model.steps_per_quarter))});
  roll.look_at(music.notes);
  say(`${name} is open. ${piece.said || ""}`);
}

async function read(bytes, name) {
  complain("");
  try {
    if (bytes.byteLength > model.limits.body) throw new Error(`${name} is too large: at most ${model.limits.body} bytes can be opened.`);
    open_piece(await (await post("read", bytes)).json(), name);
  } catch (error) {
    complain(`${name}: ${error.message}`);
  }
}

async function open_bundled(name) {
  if (!name) return;
  complain("");
  try {
    open_piece(await ask_json(`piece?name=${encodeURIComponent(name)}`), name);
  } catch (error) {
    complain(error.message);
  }
}

const same_notes = (a, b) => JSON.stringify(a.map(note => [note.pitch, note.step, note.length])) === JSON.stringify(b.map(note => [note.pitch, note.step, note.length]));

// The take's own file where it is on the roll as it was composed.
async function save_midi() {
  complain("");
  if (kept && same_notes(kept.music.notes, music.notes)) return download(`take_${kept.number}.mid`, "audio/midi", bytes_of(kept.done.midi));
  try {
    const answer = await post("midi", JSON.stringify({notes: music.rows(), meters: music.meters, tempo: tempo()}));
    download("drawn.mid", "audio/midi", await answer.arrayBuffer());
  } catch (error) {
    complain(error.message);
  }
}

async function save_sound() {
  complain("");
  say("The sound is made ..");
  try {
    const answer = await post("sound", JSON.stringify({notes: music.rows(), meters: music.meters, tempo: tempo()}));
    download("piece.oga", "audio/ogg", await answer.arrayBuffer());
    say("");
  } catch (error) {
    say("");
    complain(error.message);
  }
}

function take_what_is_sent() {
  const channel = new BroadcastChannel("poph");
  let sent = null;
  channel.onmessage = event => {
    if (!event.data || typeof event.data.midi !== "string") return;
    channel.postMessage("taken");
    sent = event.data.midi;
    element("sent").hidden = false;
  };
  element("sent-ignore").addEventListener("click", () => { element("sent").hidden = true; });
  element("sent-open").addEventListener("click", () => {
    element("sent").hidden = true;
    if (!composing) read(bytes_of(sent), "The piece of the report");
  });
}

function listen() {
  const press = (id, action) => element(id).addEventListener("click", action);
  for (const kind of ["harmonise", "fill", "continue"]) press(kind, () => begin(kind));
  press("stop", stop);
  press("play", play_or_pause);
  press("undo", () => { if (!composing) music.undo(); });
  press("erase", () => roll.erase());
  press("clear", () => {
    music.remember();
    music.show({notes: [], meters: music.meters, bars: music.bars});
  });
  press("midi", save_midi);
  press("sound", save_sound);
  element("piece").addEventListener("change", event => open_bundled(event.target.value));
  element("file").addEventListener("change", async event => {
    const file = event.target.files[0];
    if (file) read(await file.arrayBuffer(), file.name);
  });
  document.addEventListener("dragover", event => { event.preventDefault(); document.body.classList.add("dragging"); });
  document.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
  document.addEventListener("drop", async event => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    const file = event.dataTransfer.files[0];
    if (file && !composing) read(await file.arrayBuffer(), file.name);
  });
  document.addEventListener("keydown", event => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !composing && event.target.tagName !== "INPUT") {
      event.preventDefault();
      music.undo();
    } else if (event.key === " " && (event.target === document.body || event.target === roll.node)) {
      event.preventDefault();
      play_or_pause();
    }
  });
  element("roll").addEventListener("chosen", show_buttons);
}

async function start() {
  try {
    model = await ask_json("model");
  } catch (error) {
    return complain(error.message);
  }
  element("model").textContent = model.name;
  document.title = `PopH: ${model.name}`;
  element("no-sound").textContent = model.sound ? "" : `Sound cannot be downloaded here: ${model.no_sound}.`;
  for (const name of model.pieces) element("piece").append(new Option(name.replaceAll("_", " "), name));
  roll = new Roll(element("roll"), element("bars"), music, model,
                  {said: text => { element("cursor").textContent = text; }, busy: () => composing !== null, tried: try_note});
  music.bars = Math.min(8, model.bars);
  music.meters = [[0, ...model.meter]];
  fill_in(model, (name, value) => {
    if (name === "problem") return complain(value);
    if (composing) return show_music(music);
    music.remember();
    music[name] = value;
    changed();
  });
  listen();
  take_what_is_sent();
  changed();
  roll.look_at([]);
  document.body.dataset.ready = "yes";
}

// For tests of the page in a browser.
window.poph = {music, loudness, ask, composing: () => composing !== null, playing: () => player.playing};
start();
