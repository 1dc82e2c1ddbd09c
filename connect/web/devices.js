// Microphone and speaker: which there are, which is used, and how loud it is.

import { $, el } from "./dom.js";
import { prefs } from "./prefs.js";

const BINS = 1024; // samples for one look at the level
const FLOOR_DB = -60;
const SPEAKERS = "setSinkId" in HTMLMediaElement.prototype;

// Why there is no microphone, as trouble.js names it.
const CAUSES = { NotAllowedError: "mic_denied", SecurityError: "mic_denied", NotFoundError: "mic_missing", NotReadableError: "mic_busy", AbortError: "mic_busy" };

export class NoMicrophone extends Error {
  constructor(trouble, message) {
    super(message);
    this.trouble = trouble;
  }
}

function wanted(exact) {
  const clean = prefs.get("clean", true), id = prefs.get("microphone", "");
  return {
    echoCancellation: clean, noiseSuppression: clean, autoGainControl: clean,
    ...(exact && id && { deviceId: { exact: id } }),
  };
}

// A stream of the chosen microphone, or of another one if that is gone.
export async function open() {
  if (!navigator.mediaDevices) throw new NoMicrophone("insecure", "");
  for (const exact of [true, false]) {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: wanted(exact) });
      list();
      return stream;
    } catch (error) {
      if (exact && error.name === "OverconstrainedError") continue;
      throw new NoMicrophone(CAUSES[error.name] ?? "mic_busy", `${error.name}: ${error.message}`);
    }
  }
  return null;
}

export const close = (stream) => stream?.getTracks().forEach((t) => t.stop());

function choices(select, devices, name, chosen) {
  const known = devices.filter((d) => d.deviceId && d.deviceId !== "default" && d.deviceId !== "communications");
  select.replaceChildren(el("option", { value: "" }, `The system's ${name}`),
    ...known.map((d, i) => el("option", { value: d.deviceId }, d.label || `${name} ${i + 1}`)));
  select.value = known.some((d) => d.deviceId === chosen) ? chosen : "";
}

function show(devices) {
  choices($("microphone"), devices.filter((d) => d.kind === "audioinput"), "microphone", prefs.get("microphone", ""));
  choices($("speaker"), devices.filter((d) => d.kind === "audiooutput"), "speaker", prefs.get("speaker", ""));
}

// Names are told only to a page that may use the microphone.
const list = async () => show((await navigator.mediaDevices?.enumerateDevices?.()) ?? []);

export function listenWith(audio) {
  if (SPEAKERS) audio.setSinkId(prefs.get("speaker", "")).catch(() => {}); // it is gone: the system's then
}

// ---- the level ----
let meter = null;

// Of this stream, until it is told of another one, or of none.
export function watch(stream) {
  meter?.context.close();
  meter = null;
  $("level").value = 0;
  if (!stream) return;
  const context = new AudioContext(), analyser = context.createAnalyser(), samples = new Float32Array(BINS);
  analyser.fftSize = BINS;
  context.createMediaStreamSource(stream).connect(analyser);
  const mine = (meter = { context });
  const look = () => {
    if (meter !== mine) return;
    analyser.getFloatTimeDomainData(samples);
    const db = 10 * Math.log10(samples.reduce((sum, s) => sum + s * s, 0) / BINS + 1e-12);
    $("level").value = Math.max(0, 1 - db / FLOOR_DB);
    requestAnimationFrame(look);
  };
  look();
}

// on: {microphone(), speaker()}: another one was chosen, or the old one is gone.
export function start(on) {
  const choose = (id, name) => $(id).addEventListener("change", () => {
    prefs.set(id, $(id).value);
    on[name]();
  });
  choose("microphone", "microphone");
  choose("speaker", "speaker");
  $("clean").checked = prefs.get("clean", true);
  $("clean").addEventListener("change", () => {
    prefs.set("clean", $("clean").checked);
    on.microphone();
  });
  $("speaker").closest("label").hidden = !SPEAKERS;
  navigator.mediaDevices?.addEventListener("devicechange", list);
  show([]); // the browser may take its time
  list();
}
