// The tones of a telephone, made here: no sound is fetched. Pitches and rhythms are those of European exchanges (ITU-T E.180).

// hz: heard together; beat: seconds of sound and silence in turn; times: beats until it stops by itself.
const TONES = {
  ringback: { hz: [425], gain: 0.08, beat: [1, 4], times: 60 },
  ring: { hz: [523, 659], gain: 0.16, beat: [0.4, 0.2, 0.4, 2], times: 60, shake: [400, 200, 400] },
  busy: { hz: [425], gain: 0.08, beat: [0.48, 0.48], times: 4 },
};
const EDGE_S = 0.02; // no click where a tone begins and ends

let context = null, gain = null, timer = null;

function beat(tone, left) {
  let at = context.currentTime + EDGE_S;
  tone.beat.forEach((seconds, i) => {
    if (i % 2 === 0) {
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(tone.gain, at + EDGE_S);
      gain.gain.setValueAtTime(tone.gain, at + seconds - EDGE_S);
      gain.gain.linearRampToValueAtTime(0, at + seconds);
    }
    at += seconds;
  });
  if (tone.shake && navigator.userActivation?.hasBeenActive) navigator.vibrate?.(tone.shake);
  timer = setTimeout(() => (left > 1 ? beat(tone, left - 1) : stop()), 1000 * tone.beat.reduce((a, b) => a + b));
}

export function play(name) {
  stop();
  const tone = TONES[name];
  context = new AudioContext();
  gain = context.createGain();
  gain.gain.value = 0;
  gain.connect(context.destination);
  for (const hz of tone.hz) {
    const pitch = context.createOscillator();
    pitch.frequency.value = hz;
    pitch.connect(gain);
    pitch.start();
  }
  document.documentElement.dataset.tone = name;
  beat(tone, tone.times);
}

export function stop() {
  clearTimeout(timer);
  delete document.documentElement.dataset.tone;
  context?.close();
  context = null;
}
