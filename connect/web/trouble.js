// What stands in the way, why, and what helps. The rules are the five of the firewalls; each of them names the hosts that it is about.

import { $, setText } from "./dom.js";
import { draw } from "./path.js";
import { ofRelay, ofService } from "./where.js";

const RULE = {
  1: { stops: ["you", "service", "office"], broken: 1, from: "the office's media bridge", to: "service" },
  3: { stops: ["you", "service", "office"], broken: 0, from: "this network", to: "service" },
  4: { stops: ["you", "relay", "office"], broken: 1, from: "the office's media bridge", to: "relay" },
  5: { stops: ["you", "relay", "office"], broken: 0, from: "this network", to: "relay" },
};

// title, cause, cure; `rule`: which rule is missing. "{service}" and "{relay}" are replaced, e.g. by "TCP 443 to connect.example".
const TROUBLES = {
  insecure: {
    title: "This page is not secure",
    cause: "A browser gives the microphone only to pages that came over https.",
    cure: "Open the same address with https:// in front.",
  },
  mic_denied: {
    title: "The microphone is not allowed",
    cause: "The browser, or the system, keeps this page from the microphone.",
    cure: "Allow the microphone by the icon beside the page's address, and in the system's privacy settings. Then call again.",
  },
  mic_missing: {
    title: "There is no microphone",
    cause: "The browser finds none on this device.",
    cure: "Plug in a headset, or switch it on. Then call again.",
  },
  mic_busy: {
    title: "The microphone can't be opened",
    cause: "Another program holds it, or the system does not give it.",
    cure: "Close other programs that record, or choose another microphone below. Then call again.",
  },
  mic_gone: {
    title: "The microphone is gone",
    cause: "It was unplugged or switched off during the call; you are not heard.",
    cure: "Plug it in again, or choose another one below.",
  },
  service_silent: {
    title: "The service can't be reached",
    cause: "{service} is blocked: nothing comes back. It is tried again all the time.",
    cure: "The firewall of this network has to let it out.",
    rule: 3,
  },
  service_closed: {
    title: "The service can't be reached",
    cause: "{service} is refused, or something on the way, often a proxy, lets no WebSocket pass. It is tried again all the time.",
    cure: "The firewall or proxy of this network has to let WebSockets out to it. If it does, the service is down.",
    rule: 3,
  },
  no_bridge: {
    title: "The office is not connected",
    cause: "Its media bridge does not reach the service: it is down, or {service} is blocked there.",
    cure: "The office's firewall has to let the bridge out.",
    rule: 1,
  },
  bridge_silent: {
    title: "The office does not answer",
    cause: "Its media bridge has said nothing: {service} is blocked there, or its connection is lost.",
    cure: "The office's firewall has to let the bridge out.",
    rule: 1,
  },
  bridge_lost: {
    title: "The office has lost its connection",
    cause: "Its media bridge has not come back within 30 seconds: it is down, or {service} is blocked there.",
    cure: "Call again. If that fails, the office's firewall has to let the bridge out.",
    rule: 1,
  },
  office_blocked: {
    title: "The sound does not leave the office",
    cause: "Its media bridge has found no relay: {relay} is blocked there.",
    cure: "The office's firewall has to let the bridge out.",
    rule: 4,
  },
  relay_blocked: {
    title: "The sound does not leave this network",
    cause: "This browser has found no relay: {relay} is blocked.",
    cure: "The firewall of this network has to let it out.",
    rule: 5,
  },
  relay_refused: {
    title: "The relay refuses this call",
    cause: "It can be reached, and gives no address.",
    cure: "Sign in again. If that does not help, tell the administrator what the relay said.",
  },
  no_relay: {
    title: "No sound gets through",
    cause: "There is no direct way, and the service names no relay.",
    cure: "The administrator has to give the service a relay (TURN).",
  },
  no_path: {
    title: "No sound gets through",
    cause: "Both sides reach the relay, but not each other by it.",
    cure: "The administrator has to look whether the relay may send to its own relayed addresses, and whether its own host drops them.",
  },
  media_failed: {
    title: "No sound gets through",
    cause: "The office has found no way for it.",
    cure: "Call again; tell the administrator what the office said.",
  },
  media_lost: {
    title: "The sound was lost",
    cause: "The way broke during the call, and for 20 seconds there was no other one.",
    cure: "Look whether this device has a network, and call again.",
  },
  phone_lost: {
    title: "The connection was lost",
    cause: "This browser has not reached the service for 30 seconds, so the call has ended.",
    cure: "Look whether this device has a network, and call again.",
  },
  token_ended: {
    title: "Signed out",
    cause: "The token has expired or was revoked.",
    cure: "Ask the administrator for a new one.",
  },
  pbx_down: {
    title: "The telephone system does not answer",
    cause: "The office's media bridge is there; the telephone system behind it is not.",
    cure: "Try again later; tell the administrator.",
  },
  pbx_error: { title: "The telephone system refuses the call", cause: "It gives a reason:", cure: "Tell the administrator." },
  limit: { title: "Too many calls", cause: "As many calls go on as there may be.", cure: "End one, or try again later." },
  shutdown: { title: "The service stops", cause: "It was stopped by its administrator, and has ended the call.", cure: "Call again in a moment." },
  unavailable: {
    title: "The service can't look up the token",
    cause: "Its store of tokens does not answer now. It is tried again all the time.",
    cure: "If it lasts, tell the administrator.",
  },
};

export const isTrouble = (name) => Object.hasOwn(TROUBLES, name);

// The trouble that a text of the office names by its rule.
export function byRule(text) {
  return { 1: "bridge_silent", 3: "service_closed", 4: "office_blocked", 5: "relay_blocked" }[text?.match(/\brule ([1345])\b/i)?.[1]] ?? null;
}

const addressOf = ({ host, protocol, port }) => `${protocol} ${port} to ${host}`;

// Of the first TURN server, or null.
function relayOf(servers) {
  return ofRelay((servers ?? []).flatMap((s) => s.urls).filter((u) => /^turns?:/.test(u)));
}

// Where things are, for the texts: {connect: URL, servers: of ICE}.
const hosts = { service: "TCP 443", relay: "UDP 3478" };

export function know({ connect, servers }) {
  const relay = relayOf(servers);
  if (connect) hosts.service = addressOf(ofService(connect));
  if (relay) hosts.relay = addressOf(relay);
}

export const hasRelay = (servers) => relayOf(servers) !== null;

const named = (text) => text.replace(/\{(\w+)\}/g, (_, name) => hosts[name]);

// One sentence for the other side, which may have no screen.
export function sentence(name) {
  const { cause, rule } = TROUBLES[name];
  return rule ? `rule ${rule}: ${hosts[RULE[rule].to]} from ${RULE[rule].from.replace("this", "the browser's")}` : named(cause);
}

export function show(name, said) {
  const { title, cause, cure, rule } = TROUBLES[name];
  setText($("trouble-title"), title);
  setText($("trouble-cause"), named(cause));
  setText($("trouble-cure"), named(cure));
  setText($("trouble-said"), said ?? "");
  $("trouble-said").hidden = !said;
  $("trouble-rule").hidden = $("trouble-path").hidden = !rule;
  if (rule) {
    const { stops, broken, from, to } = RULE[rule];
    setText($("trouble-rule"), `Rule ${rule}: out, ${hosts[to]}, from ${from}, any port`);
    draw($("trouble-path"), { stops, broken, words: `It breaks between ${["this browser", to, "the office"].slice(broken, broken + 2).join(" and ")}.` });
  }
  $("trouble").dataset.name = name;
  $("trouble").hidden = false;
}

// `names`: only if it is one of these.
export function hide(...names) {
  if (!names.length || names.includes($("trouble").dataset.name)) $("trouble").hidden = true;
}
