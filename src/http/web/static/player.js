// Adds a waveform, speeds and keys to the browser's own players. Everything works without it, and
// nothing plays by itself.

import WaveSurfer from "./wavesurfer.esm.js";

const STEP_S = 5;
const SPEEDS = [0.75, 1, 1.25, 1.5, 2];
const players = [];
let current = 0;

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function step(audio, seconds) {
  audio.currentTime = Math.max(0, audio.currentTime + seconds);
}

function tools(audio) {
  const speeds = SPEEDS.map((speed) =>
    element("option", { value: speed, textContent: `${speed}×`, selected: speed === 1 }),
  );
  const speed = element("select", {}, ...speeds);
  speed.addEventListener("change", () => {
    audio.playbackRate = Number(speed.value);
  });
  const button = (text, label, seconds) => {
    const made = element("button", { type: "button", className: "quiet", textContent: text });
    made.setAttribute("aria-label", label);
    made.addEventListener("click", () => step(audio, seconds));
    return made;
  };
  return [
    button("−5 s", "Back 5 seconds", -STEP_S),
    button("+5 s", "On 5 seconds", STEP_S),
    element("label", {}, "Speed ", speed),
  ];
}

// The waveform is drawn from peaks that the server knows: no byte of audio is fetched for it.
async function wave(player, audio) {
  const box = player.querySelector(".wave");
  const answer = await fetch(player.dataset.peaks, { headers: { accept: "application/json" } });
  if (!answer.ok) return;
  const { peaks, duration_s: seconds } = await answer.json();
  const colours = getComputedStyle(player);
  // Made outside the page, so that its style can be handed over in a way the page's policy allows.
  const container = element("div", {});
  const surfer = WaveSurfer.create({
    container,
    media: audio,
    peaks: [peaks.flat()],
    duration: seconds ?? Number(player.dataset.seconds),
    height: 64,
    normalize: true,
    barWidth: 2,
    barGap: 1,
    barRadius: 1,
    cursorWidth: 1,
    cursorColor: colours.color,
    waveColor: colours.getPropertyValue("--wave").trim(),
    progressColor: colours.getPropertyValue("--talk").trim(),
  });
  const root = surfer.getWrapper().getRootNode();
  const style = root.querySelector("style");
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(style.textContent);
  style.remove();
  root.adoptedStyleSheets = [sheet];
  box.replaceChildren(container);
}

function select(at, play) {
  const next = players[at];
  if (!next) return;
  players[current].audio.pause();
  current = at;
  next.audio.focus();
  next.player.scrollIntoView({ block: "nearest" });
  if (play) next.audio.play();
}

function onKey(event) {
  const busy = event.target.closest("input, select, textarea, button, summary, a");
  if (busy || event.ctrlKey || event.metaKey || event.altKey) return;
  const { audio } = players[current];
  const playing = !audio.paused;
  const acts = {
    " ": () => (playing ? audio.pause() : audio.play()),
    ArrowLeft: () => step(audio, -STEP_S),
    ArrowRight: () => step(audio, STEP_S),
    "[": () => select(current - 1, playing),
    "]": () => select(current + 1, playing),
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

for (const player of document.querySelectorAll(".player")) {
  const audio = player.querySelector("audio");
  const at = players.push({ player, audio }) - 1;
  player.querySelector(".tools").prepend(...tools(audio));
  const conversation = player.closest(".conversation");
  audio.addEventListener("play", () => {
    players.forEach((other) => other.audio !== audio && other.audio.pause());
    current = at;
    conversation.dataset.playing = "";
  });
  audio.addEventListener("pause", () => delete conversation.dataset.playing);
  wave(player, audio).catch((error) => console.warn("no waveform:", error));
}
if (players.length) {
  const keys = "Keys: space plays, ← → 5 s" + (players.length > 1 ? ", [ ] conversations" : "");
  const hint = element("span", { className: "keys", textContent: keys });
  players[0].player.querySelector(".tools label").after(hint);
  document.addEventListener("keydown", onKey, { capture: true });
}
