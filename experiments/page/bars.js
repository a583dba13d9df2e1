// Bars and beats, and the names of notes. Meters are [[step, numerator, denominator], ..], as the server has them.
const names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
export const note_name = pitch => names[pitch % 12] + (Math.floor(pitch / 12) - 1);
export const is_black = pitch => names[pitch % 12].length > 1;

const bar_steps = (numerator, denominator, quarter) => Math.max(1, Math.floor((8 * quarter * numerator + denominator) / (2 * denominator)));

// The bars that begin before `steps`: [{first, end}, ..].
export function bars_until(steps, meters, quarter) {
  const bars = [];
  let next = 0, length = 4 * quarter;
  for (let step = 0; step < steps;) {
    while (next < meters.length && meters[next][0] <= step) {
      length = bar_steps(meters[next][1], meters[next][2], quarter);
      ++next;
    }
    const end = Math.min(step + length, next < meters.length ? meters[next][0] : Infinity);
    bars.push({first: step, end});
    step = end;
  }
  return bars;
}

// So many bars.
export function first_bars(count, meters, quarter) {
  let steps = 4 * quarter;
  while (bars_until(steps, meters, quarter).length <= count) steps *= 2;
  return bars_until(steps, meters, quarter).slice(0, count);
}

// "1-2,5" of the bars with these numbers (from 0 on).
export function bar_list(numbers) {
  const parts = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = parts[parts.length - 1];
    if (last && last[1] === number - 1) last[1] = number;
    else parts.push([number, number]);
  }
  return parts.map(([a, b]) => a === b ? `${a + 1}` : `${a + 1}-${b + 1}`).join(",");
}

// "bar 2, beat 1"
export function place_text(step, bars, quarter) {
  const at = bars.findIndex(bar => step < bar.end), bar = bars[at];
  if (!bar) return "behind the end";
  const within = step - bar.first, beat = Math.floor(within / quarter) + 1, rest = within % quarter;
  return `bar ${at + 1}, beat ${beat}${rest ? ` and ${rest}/${quarter}` : ""}`;
}
