// What is asked of the server. Its refusals are sentences, and are thrown as they are.
async function checked(answer) {
  if (answer.ok) return answer;
  let message = `The program answered ${answer.status}.`;
  try {
    message = (await answer.json()).message;
  } catch (error) { /* it was no sentence */ }
  throw new Error(message);
}

export async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    throw new Error("The program does not answer: is poph play still running?");
  }
  return checked(answer);
}

export const ask_json = async (path, options) => (await ask(path, options)).json();
export const post = (path, body) => ask(path, {method: "POST", body});

// Composes; `hear` is called with each event's name and data. An abort of `signal` ends composing without a piece.
export async function compose(request, hear, signal) {
  const answer = await ask("compose", {method: "POST", body: JSON.stringify(request), signal});
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      throw new Error("The program has ended while it composed.");
    }
    if (part.done) break;
    text += part.value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const found = /^event: (\w+)\ndata: (.*)$/.exec(event);
      if (found) hear(found[1], JSON.parse(found[2]));
    }
  }
}

export const bytes_of = base64 => Uint8Array.from(atob(base64), character => character.charCodeAt(0));

export function download(name, type, bytes) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], {type}));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
