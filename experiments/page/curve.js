// The likelihood of each step under the roll, by D3 (d3.js is a script of its own, which makes `d3`).
import {step_width, left} from "./roll.js";

const height = 64;

export function draw_curve(node, likelihoods, steps) {
  const svg = d3.select(node), width = left + steps * step_width;
  svg.attr("width", width).attr("height", height).selectAll("*").remove();
  if (!likelihoods.length) {
    svg.append("text").attr("x", left + 4).attr("y", height / 2).text("Here stands how likely the model finds each step, once it has composed.");
    return;
  }
  const x = d3.scaleLinear().domain([0, steps]).range([left, width]);
  const known = likelihoods.map((value, step) => [step, value]).filter(([, value]) => value !== null);
  const y = d3.scaleLinear().domain([Math.min(-1, d3.min(known, d => d[1])), 0]).range([height - 6, 8]);
  svg.append("g").attr("transform", `translate(${left},0)`).call(d3.axisLeft(y).ticks(3).tickSizeOuter(0));
  svg.append("path").attr("class", "line").datum(known).attr("d", d3.line().curve(d3.curveStepAfter).x(d => x(d[0])).y(d => y(d[1])));
  const sum = d3.sum(known, d => d[1]);
  svg.attr("aria-label", `How likely the model finds each step: ${(sum / known.length).toFixed(2)} nats a step on average`);
}
