// The music on the page, with undo. A note is {pitch, step, length, velocity}, and of what was composed {probability, given, open}, too.
export class Music {
  constructor(changed) {
    this.changed = changed;
    this.notes = [];
    this.meters = [[0, 4, 4]];
    this.bars = 8;
    this.likelihoods = [];  // of the steps
    this.marked = new Set();
    this.past = [];
  }

  snapshot() {
    return {notes: this.notes.map(note => ({...note})), meters: this.meters, bars: this.bars, likelihoods: this.likelihoods, marked: new Set(this.marked)};
  }
  remember() {  // before each change
    this.past.push(this.snapshot());
    if (this.past.length > 200) this.past.shift();
  }
  undo() {
    if (this.past.length) this.show(this.past.pop());
  }
  show(other) {
    Object.assign(this, {notes: other.notes.map(note => ({...note})), meters: other.meters, bars: other.bars, likelihoods: other.likelihoods || [],
                         marked: new Set(other.marked || [])});
    this.changed();
  }

  at(pitch, step) {
    return this.notes.find(note => note.pitch === pitch && note.step <= step && step < note.step + note.length);
  }
  // A drawn note is nobody's guess; the curve no longer is of these notes.
  touch(note) {
    delete note.probability;
    delete note.open;
    note.given = true;
    this.likelihoods = [];
  }
  add(note) {
    this.touch(note);
    this.notes.push(note);
    return note;
  }
  erase(note) {
    this.notes = this.notes.filter(other => other !== note);
    this.likelihoods = [];
  }
  end() {
    return this.notes.reduce((end, note) => Math.max(end, note.step + note.length), 0);
  }
  rows() {
    return this.notes.map(({pitch, step, length, velocity}) => [pitch, step, length, velocity]);
  }
}

export const notes_of_rows = rows => rows.map(([pitch, step, length, velocity]) => ({pitch, step, length, velocity, given: true}));

// The notes of composed steps, [[log probability, [[pitch, velocity, struck again, probability, given], ..]], ..], from the step `first` on.
export function notes_of_steps(steps, first, settled) {
  const notes = [];
  let sounding = new Map();
  steps.forEach(([, cells], at) => {
    const now = new Map();
    for (const [pitch, velocity, again, probability, given] of cells) {
      let note = sounding.get(pitch);
      if (!note || again) {
        note = {pitch, step: first + at, length: 0, velocity, probability, given, open: at >= settled && !given};
        notes.push(note);
      }
      ++note.length;
      now.set(pitch, note);
    }
    sounding = now;
  });
  return notes;
}
