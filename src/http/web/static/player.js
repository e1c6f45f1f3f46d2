// Adds a waveform, speeds, keys and the call as a whole to the browser's own players. Everything
// works without it, and nothing plays by itself.

import WaveSurfer from "./wavesurfer.esm.js";

const KIND = "audio/mpeg";
const players = [];
let current = 0;
// Whether one recording follows the other.
let whole = false;

function step(audio, seconds) {
  audio.currentTime = Math.max(0, audio.currentTime + seconds);
}

// One that is paused again before it began is no failure.
function start(audio) {
  audio.play().catch((error) => {
    if (error.name !== "AbortError") console.warn("cannot play:", error);
  });
}

// In a recording of variable bitrate browsers guess where a time lies, and are seconds off, even by
// its own table of contents. Of one that is handed over whole, as a stream, they count the frames.
// Nothing is fetched before somebody plays.
function countFrames(audio) {
  if (!window.MediaSource?.isTypeSupported(KIND)) return;
  const { src, currentTime, paused } = audio;
  const stream = new MediaSource();
  const opened = new Promise((done) => stream.addEventListener("sourceopen", done, { once: true }));
  const fill = async () => {
    const answer = await fetch(src);
    if (!answer.ok) throw new Error(answer.statusText);
    const bytes = await answer.arrayBuffer();
    await opened;
    const buffer = stream.addSourceBuffer(KIND);
    await new Promise((done, failed) => {
      buffer.addEventListener("updateend", done);
      buffer.addEventListener("error", failed);
      buffer.appendBuffer(bytes);
    });
    stream.endOfStream();
  };
  const asBefore = (error) => {
    console.warn("played as the browser can:", error);
    const at = audio.currentTime;
    audio.src = src;
    audio.currentTime = at;
    if (!audio.paused) start(audio);
  };
  audio.addEventListener("play", () => fill().catch(asBefore), { once: true });
  audio.src = URL.createObjectURL(stream);
  audio.currentTime = currentTime;
  if (!paused) start(audio);
}

// The waveform is drawn from peaks that the server knows: no byte of audio is fetched for it.
async function wave(player, audio) {
  const box = player.querySelector(".wave");
  const answer = await fetch(player.dataset.peaks, { headers: { accept: "application/json" } });
  if (!answer.ok) return;
  const { peaks, duration_s: seconds, is_vbr: isVbr } = await answer.json();
  if (isVbr) countFrames(audio);
  const colours = getComputedStyle(player);
  // Made outside the page, so that its style can be handed over in a way the page's policy allows.
  const container = document.createElement("div");
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
  next.player.scrollIntoView({ block: "nearest" });
  if (play) start(next.audio);
}

// By a key: the focus goes along. One recording that follows another takes it from nobody.
function go(at, play) {
  select(at, play);
  players[current].audio.focus();
}

const button = document.querySelector(".bar .whole");
const said = document.querySelector(".bar .said");

function playWhole(on) {
  whole = on;
  if (!button) return;
  button.textContent = on ? "Stop" : button.dataset.text;
  said.textContent = "";
}

function from(at) {
  players[at].audio.currentTime = 0;
  select(at, true);
}

button?.addEventListener("click", () => {
  playWhole(!whole);
  if (whole) from(0);
  else players[current].audio.pause();
});

function onKey(event) {
  // A wide table that has the focus is scrolled by the same keys.
  const busy = event.target.closest("input, select, textarea, button, summary, a, .wide");
  if (busy || event.ctrlKey || event.metaKey || event.altKey) return;
  const { audio } = players[current];
  const playing = !audio.paused;
  const acts = {
    " ": () => (playing ? audio.pause() : start(audio)),
    ArrowLeft: () => step(audio, -5),
    ArrowRight: () => step(audio, 5),
    "[": () => go(current - 1, playing),
    "]": () => go(current + 1, playing),
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

for (const player of document.querySelectorAll(".player")) {
  const audio = player.querySelector("audio");
  const at = players.push({ player, audio }) - 1;
  const conversation = player.closest(".conversation");
  player.querySelectorAll("[data-step]").forEach((button) => {
    button.addEventListener("click", () => step(audio, Number(button.dataset.step)));
  });
  // One speed for all of them, so that a call goes on as it was set.
  player.querySelector("select").addEventListener("change", ({ target: { value } }) => {
    players.forEach((each) => {
      each.player.querySelector("select").value = value;
      each.audio.defaultPlaybackRate = each.audio.playbackRate = Number(value);
    });
  });
  audio.addEventListener("play", () => {
    // Told late, when another may have been chosen already.
    if (audio.paused) return;
    players.forEach((other) => other.audio !== audio && other.audio.pause());
    current = at;
    conversation.dataset.playing = "";
    player.querySelector(".trouble").textContent = "";
    if (whole) said.textContent = `Playing ${conversation.dataset.name}`;
  });
  audio.addEventListener("pause", () => delete conversation.dataset.playing);
  audio.addEventListener("ended", () => {
    if (whole && players[at + 1]) from(at + 1);
    else if (whole) playWhole(false);
  });
  audio.addEventListener("error", () => {
    playWhole(false);
    const why = "This cannot be played now. Load the page again: perhaps your reason holds no more.";
    player.querySelector(".trouble").textContent = why;
  });
  wave(player, audio).catch((error) => console.warn("no waveform:", error));
}
if (players.length) document.addEventListener("keydown", onKey, { capture: true });
