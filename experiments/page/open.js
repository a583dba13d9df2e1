// A link of a report leads here, with a piece as MIDI behind the "#", which no server sees. This page knows no token and asks for nothing: it
// hands the piece to the page of poph play that is open in the same browser, which asks its user.
const said = document.getElementById("said"), channel = new BroadcastChannel("poph"), midi = location.hash.slice(1);
const absent = setTimeout(() => {
  said.textContent = "No page of poph play is open in this browser. Open the address that it printed, and load this page again.";
}, 1500);
channel.onmessage = event => {
  if (event.data !== "taken") return;
  clearTimeout(absent);
  said.textContent = "The piece is on the page of poph play. You can close this one.";
};
if (/^[A-Za-z0-9+/=]+$/.test(midi)) channel.postMessage({midi});
else said.textContent = "There is no piece in this address.";
