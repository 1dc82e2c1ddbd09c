// What a browser can see of the firewall: the connections of a call, one after the other, and what became of each. Codes are turnpike-probe's.

import { Link } from "./link.js";
import { isTcp } from "./where.js";

const REACH_MS = 6000; // for a page that is only asked for: as long as a WebSocket has
const GATHER_MS = 12000; // for what is silent: a browser itself takes 40 s to give it up
const DOUBT_MS = 3000; // after which a relay that is silent is asked by TCP, too
const PAIR_MS = 10000;
const PACKETS = 200, EVERY_MS = 20, BYTES = 172; // as a call sends: G.711 behind an RTP header
const LATE_MS = 1000; // what is not there by then is lost
const LOSS_MAX = 0.02; // beyond, it is heard: turnpike-probe's limit

const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const round = (ms) => `${Math.max(1, Math.round(ms))} ms`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

const pass = (evidence) => ({ verdict: "PASS", evidence });
const fail = (code, evidence) => ({ verdict: "FAIL", code, evidence });
const warn = (code, evidence) => ({ verdict: "WARN", code, evidence });
export const skip = (evidence) => ({ verdict: "SKIP", evidence });

// ---- the page: it is here ----
export function page() {
  const [load] = performance.getEntriesByType("navigation");
  return pass(`this page came in ${round(load?.responseEnd ?? performance.now())}`);
}

// ---- the connect service ----
// Does anything answer HTTP there? "yes", "no" (and soon), "silent".
async function answers(url) {
  try {
    await fetch(new URL("/", url.replace(/^ws/, "http")), { mode: "no-cors", cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(REACH_MS) });
    return "yes";
  } catch (error) {
    return error.name === "TimeoutError" ? "silent" : "no";
  }
}

async function unreachable(url, why) {
  const http = await answers(url);
  if (http === "yes") return fail("ws_upgrade_stripped", "HTTPS is answered there, and the WebSocket is not");
  if (http === "silent" || why === "silent") return fail("tcp_timeout", "no answer");
  return fail("tcp_rst", "refused, or its certificate is none that this browser accepts: open the address in a tab to see");
}

// What has become of it: {link, hello, ms}, or {why}; who is told of a hello still learns of its end, by `why`.
function greet(url, token) {
  const begun = performance.now(), s = {};
  return new Promise((resolve) => {
    const settle = (what) => resolve(Object.assign(s, what, { ms: performance.now() - begun }));
    s.link = new Link(url, token, {
      up: (hello) => settle({ hello }),
      down: (why) => {
        s.link.close();
        settle({ why });
      },
      refused: (error) => settle({ why: "refused", error }),
      message: () => {},
    });
    s.link.open();
  });
}

// {finding, hello, link, cut}: without `hello` nothing more can be checked; cut() is another finding if the WebSocket has not lived until then.
export async function service(url, token) {
  const s = await greet(url, token), { link, hello, why, error } = s;
  if (hello) {
    const text = `WebSocket and hello in ${round(s.ms)}`;
    const cut = () => (!s.why ? null : s.error ? fail("token_refused", s.error.message) : fail("ws_idle_killed", `${text}, and cut after ${(s.ms / 1000).toFixed(1)} s`));
    return { finding: pass(text), hello, link, cut };
  }
  if (why === "refused") return { finding: fail("token_refused", error.message) };
  if (why === "unavailable") return { finding: warn("", "the WebSocket passes; the service can't look the token up now: see its log") };
  return { finding: await unreachable(url, why) };
}

// ---- the relay ----
// The servers with only those of their URLs, and none that have none left.
function only(servers, fits) {
  return servers.map((s) => ({ ...s, urls: [s.urls].flat().filter((u) => u.startsWith("turn") && fits(u)) })).filter((s) => s.urls.length);
}

const hasWebRtc = () => typeof RTCPeerConnection === "function";
const noWebRtc = skip("this browser has no WebRTC, or a policy or an extension takes it away: no call is possible with it");

// {address} of the first candidate of this type, or what came instead: `refused` by the server, `nameless`: its name has no address, or `silent`: it did not answer.
async function gather(servers, type = "relay", ms = GATHER_MS) {
  const begun = performance.now(), c = new RTCPeerConnection({ iceServers: servers, iceTransportPolicy: type === "relay" ? "relay" : "all" });
  let refused = null, nameless = false, silent = false;
  const found = new Promise((resolve) => {
    c.onicecandidate = ({ candidate }) => candidate?.type === type && resolve(candidate.address);
    c.onicecandidateerror = (e) => {
      if (e.errorCode < 700) refused = e;
      else if (/lookup/i.test(e.errorText)) nameless = true;
      else silent = true;
    };
    c.onicegatheringstatechange = () => c.iceGatheringState === "complete" && resolve(null);
  });
  c.createDataChannel("check");
  await c.setLocalDescription();
  const address = await Promise.race([found, after(ms)]);
  c.close();
  return { address, refused, nameless, silent: silent || address === undefined, ms: performance.now() - begun };
}

// What the same comes to by TCP, when UDP has not come to anything in time.
async function gatherDoubting(servers, udp) {
  return (await Promise.race([udp, after(DOUBT_MS)])) || !servers.length ? {} : gather(servers, "relay", GATHER_MS - DOUBT_MS);
}

const CODES = { 401: "turn_401", 486: "turn_486_quota" };
const refusal = (e, text = "") => fail(CODES[e.errorCode] ?? "turn_refused", `${text}the relay answers ${e.errorCode} ${e.errorText}`);
const dumb = (ms) => skip(`the browser gave up after ${round(ms)} and does not tell why: a policy or an extension lets it send no UDP, or the relay refuses the credentials. Try another browser`);
const unnamed = () => fail("dns_failed", "the name of the relay has no address here");

async function relayed(servers) {
  const udp = only(servers, (u) => !isTcp(u)), tcp = only(servers, isTcp);
  if (!udp.length) return { finding: skip("the service names no relay over UDP") };
  const asked = gather(udp), doubts = gatherDoubting(tcp, asked).catch(() => ({})); // who awaits the first is told
  const { address, refused, nameless, silent, ms } = await asked;
  if (address) return { udp, text: `relayed address ${address} in ${round(ms)}` };
  if (refused) return { finding: refusal(refused) };
  if (!silent && (nameless || ms < DOUBT_MS)) return { finding: nameless ? unnamed() : dumb(ms) }; // silence takes longer
  const other = await doubts;
  return { finding: fail("udp_timeout", `no answer in ${Math.round(ms / 1000)} s${other.address ? "; by TCP the relay answers: UDP is filtered" : ""}`) };
}

// Without credentials: does the relay answer at all? A browser shows no server-reflexive address that is its own: then nothing is known.
export async function binding(url) {
  if (!url) return skip("without the connect service nobody tells where the relay is");
  if (!hasWebRtc()) return noWebRtc;
  const { address, nameless, silent, ms } = await gather([{ urls: url }], "srflx");
  if (nameless && !silent) return unnamed();
  if (address) return pass(`answered in ${round(ms)}, seen as ${address}; relaying not tried: credentials come from the connect service`);
  return silent ? fail("udp_timeout", `no answer in ${Math.round(ms / 1000)} s`) : skip("without the connect service there are no credentials for the relay");
}

// ---- a pair of relayed addresses, and its quality ----
// Two ends in this page, joined by nothing but the relay: their {channels}, or what the relay has `refused` if that has left one without an address.
async function join(ends) {
  let refused = null;
  const addressed = new Set();
  const [a, b] = ends, channel = a.createDataChannel("check", { ordered: false, maxRetransmits: 0 });
  channel.binaryType = "arraybuffer";
  let described;
  const ready = new Promise((resolve) => (described = resolve));
  const open = Promise.all([new Promise((resolve) => (channel.onopen = resolve)), new Promise((resolve) => (b.ondatachannel = (e) => resolve(e.channel)))]);
  const hopeless = new Promise((resolve) => {
    for (const [from, to] of [[a, b], [b, a]]) {
      from.onicecandidateerror = (e) => e.errorCode < 700 && (refused = e);
      from.onicecandidate = ({ candidate }) => {
        if (candidate?.candidate) { // an empty one, which Firefox has before the null, is no address
          addressed.add(from);
          ready.then(() => to.addIceCandidate(candidate).catch(() => {}));
        } else if (!candidate && !addressed.has(from)) {
          resolve(null);
        }
      };
    }
  });
  await a.setLocalDescription();
  await b.setRemoteDescription(a.localDescription);
  await b.setLocalDescription();
  await a.setRemoteDescription(b.localDescription);
  described();
  const got = await Promise.race([open, hopeless, after(PAIR_MS)]);
  return got ? { channels: [channel, got[1]] } : { refused: addressed.size < ends.length ? refused : null };
}

// One direction, at its receiver: RFC 3550 section 6.4.1 for the jitter.
class Way {
  count = 0;
  reordered = 0;
  jitter = 0;
  #highest = -1;
  #transit = null;

  take(number, sent) {
    const transit = performance.now() - sent;
    if (this.#transit !== null) this.jitter += (Math.abs(transit - this.#transit) - this.jitter) / 16;
    this.#transit = transit;
    this.count++;
    if (number < this.#highest) this.reordered++;
    else this.#highest = number;
  }
}

const packet = (number, begun, sent) => new Float64Array(new ArrayBuffer(BYTES - (BYTES % 8))).map((_, i) => [number, begun, sent][i] ?? 0);

async function measure(here, there) {
  const up = new Way(), down = new Way(), rtts = [];
  there.binaryType = "arraybuffer";
  there.onmessage = ({ data }) => {
    const [number, begun, sent] = new Float64Array(data);
    up.take(number, sent);
    if (there.readyState === "open") there.send(packet(number, begun, performance.now()));
  };
  here.onmessage = ({ data }) => {
    const [number, begun, sent] = new Float64Array(data);
    down.take(number, sent);
    rtts.push(performance.now() - begun);
  };
  const begun = performance.now();
  for (let number = 0; number < PACKETS && here.readyState === "open"; number++) {
    const early = begun + number * EVERY_MS - performance.now();
    if (early > 0) await after(early); // what is due goes at once: a page that is not in front has a timer a second
    const now = performance.now();
    here.send(packet(number, now, now));
  }
  const until = performance.now() + LATE_MS;
  while (down.count < PACKETS && performance.now() < until) await after(EVERY_MS);
  rtts.sort((x, y) => x - y);
  return { rtt: rtts[rtts.length >> 1], jitter: Math.max(up.jitter, down.jitter), reordered: up.reordered + down.reordered,
    lossUp: 1 - up.count / PACKETS, lossDown: up.count ? 1 - down.count / up.count : 1 };
}

async function quality(servers) {
  const ends = [0, 1].map(() => new RTCPeerConnection({ iceServers: servers, iceTransportPolicy: "relay" }));
  try {
    const { channels, refused } = await join(ends);
    return channels ? await measure(...channels) : { refused };
  } finally {
    for (const end of ends) end.close();
  }
}

// told(text): what goes on now.
export async function relay(servers, told) {
  if (!hasWebRtc()) return noWebRtc;
  const { finding, udp, text } = await relayed(servers);
  if (finding) return finding;
  told(`${text}; relay to relay …`);
  const q = await quality(udp);
  if (q.refused) return refusal(q.refused, `${text}; to a second one `);
  if (q.lossUp === undefined) return fail("relay_pair_failed", `${text}; two relayed addresses did not reach each other in ${PAIR_MS / 1000} s`);
  const figures = `${text}; relay to relay: ${q.rtt ? `${round(q.rtt)} there and back` : "nothing came back"}, jitter ${round(q.jitter)}, lost ${percent(q.lossUp)} and ${percent(q.lossDown)}, reordered ${q.reordered}`;
  return Math.max(q.lossUp, q.lossDown) > LOSS_MAX ? fail("loss_high", figures) : pass(figures);
}
