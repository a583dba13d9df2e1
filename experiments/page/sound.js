// A small piano by the Web Audio API: a string's partials, which die away the faster the higher they are.
let piano;

class Piano {
  constructor() {
    this.context = new AudioContext();
    this.out = this.context.createDynamicsCompressor();
    this.analyser = this.context.createAnalyser();
    this.out.connect(this.analyser);
    this.analyser.connect(this.context.destination);
    const partials = [0, 1, .62, .34, .24, .13, .09, .05, .04, .02];
    this.bright = this.context.createPeriodicWave(new Float32Array(partials.length), Float32Array.from(partials));
    this.warm = this.context.createPeriodicWave(new Float32Array(5), Float32Array.from([0, 1, .28, .08, .03]));
  }

  // Begins a note at a time of the context; the answer ends it.
  strike(pitch, velocity, time) {
    const hertz = 440 * 2 ** ((pitch - 69) / 12), loud = .28 * (velocity / 127) ** 1.5, lasts = Math.min(9, 4.5 * (220 / hertz) ** .45);
    const damper = this.context.createGain();
    damper.connect(this.out);
    const strings = [[this.bright, .55, lasts * .35, -1.5], [this.warm, .8, lasts, 1.5]].map(([wave, share, seconds, detune]) => {
      const string = this.context.createOscillator(), gain = this.context.createGain();
      string.setPeriodicWave(wave);
      string.frequency.value = hertz;
      string.detune.value = detune;
      gain.gain.setValueAtTime(0, time);
      gain.gain.linearRampToValueAtTime(loud * share, time + .006);
      gain.gain.exponentialRampToValueAtTime(1e-4, time + .006 + seconds);
      string.connect(gain).connect(damper);
      string.start(time);
      string.stop(time + .1 + seconds);
      return string;
    });
    return at => {
      damper.gain.setTargetAtTime(0, Math.max(at, time + .03), .07);
      strings.forEach(string => string.stop(Math.max(at, time) + .6));
    };
  }
}

// A browser lets a page sound after a press of a button or a key.
export function wake() {
  piano = piano || new Piano();
  if (piano.context.state === "suspended") piano.context.resume();
  return piano;
}

// The loudest sample that leaves the piano now, from 0 to 1.
export function loudness() {
  if (!piano) return 0;
  const samples = new Float32Array(piano.analyser.fftSize);
  piano.analyser.getFloatTimeDomainData(samples);
  return samples.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
}

export function try_note(pitch) {
  const {context} = wake();
  piano.strike(pitch, 80, context.currentTime)(context.currentTime + .35);
}

// Plays steps as they are there. `music` has sounding(step), the notes {pitch, velocity, begins} of a step; ready(), the steps that are
// there; finished(), whether more may come; and seconds(), of a step.
export class Player {
  constructor(music, moved, ended) {
    Object.assign(this, {music, moved, ended, voices: new Map(), playing: false});
  }

  start(step) {
    this.stop();
    const {context} = wake();
    Object.assign(this, {playing: true, step, time: context.currentTime + .05, marks: []});
    this.timer = setInterval(() => this.tick(), 25);
    this.tick();
  }

  tick() {
    const now = piano.context.currentTime;
    while (this.time < now + .15) {
      if (this.step >= this.music.ready()) {
        if (this.music.finished()) {
          for (const end of this.voices.values()) end(this.time);
          this.voices.clear();
          if (now >= this.time) return this.stop();
          break;
        }
        this.time = now + .05;  // it waits for what is composed
        break;
      }
      this.play(this.step);
      this.marks.push([this.time, this.step]);
      this.time += this.music.seconds();
      ++this.step;
    }
    while (this.marks.length && this.marks[0][0] <= now) this.moved(this.marks.shift()[1]);
  }

  play(step) {
    const time = Math.max(this.time, piano.context.currentTime), sounding = this.music.sounding(step), pitches = new Set(sounding.map(note => note.pitch));
    for (const [pitch, end] of this.voices)
      if (!pitches.has(pitch)) {
        end(time);
        this.voices.delete(pitch);
      }
    for (const {pitch, velocity, begins} of sounding) {
      if (!begins && this.voices.has(pitch)) continue;
      if (this.voices.has(pitch)) this.voices.get(pitch)(time);
      this.voices.set(pitch, piano.strike(pitch, velocity, time));
      if (!performance.getEntriesByName("heard").length) performance.mark("heard");
    }
  }

  stop() {
    if (!this.playing) return;
    clearInterval(this.timer);
    this.playing = false;
    for (const end of this.voices.values()) end(piano.context.currentTime);
    this.voices.clear();
    this.moved(-1);
    this.ended();
  }
}
