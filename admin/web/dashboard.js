// The page itself: which view is seen, when the relay is asked, and who may ask.

import * as allocations from "/dashboard/allocations.js";
import { get, session } from "/dashboard/api.js";
import * as credentials from "/dashboard/credentials.js";
import { $, onSubmit, setText, showProblem } from "/dashboard/dom.js";
import * as events from "/dashboard/events.js";
import * as firewall from "/dashboard/firewall.js";
import { time } from "/dashboard/format.js";
import * as overview from "/dashboard/overview.js";
import * as peers from "/dashboard/peers.js";
import * as relay from "/dashboard/relay.js";
import { rightsChanged } from "/dashboard/rights.js";

const POLL_MS = 2000;
const views = { overview, allocations, credentials, peers, firewall, relay, events };

let seen = "overview";
let state = "new"; // then "in" or "out"; "signing": who was out has given a token that is good
let answeredAt = Date.now() / 1000;
let timer = null, asking = false, again = false;

// ---- views ----
function show(name) {
  seen = name in views ? name : "overview";
  for (const id of Object.keys(views)) $(id).hidden = state !== "in" || id !== seen;
  for (const link of $("nav").children) {
    if (link.hash === `#${seen}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

window.addEventListener("hashchange", () => {
  show(location.hash.slice(1));
  window.scrollTo(0, 0);
  if (state !== "in") return;
  $("content").focus({ preventScroll: true });
  ask();
});

// The hash tells which view is seen, also when the page is loaded again: the skip link leaves it alone.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("content").scrollIntoView();
  $("content").focus();
});

// ---- asking ----
async function askOnce() {
  const { token } = session;
  try {
    const status = await get("/status");
    if (session.token !== token) return; // what is answered to who has left is nobody's
    answeredAt = Date.now() / 1000;
    session.roles = status.caller?.roles ?? null;
    enter();
    rightsChanged();
    overview.showStatus(status);
    firewall.showStatus(status);
    relay.showStatus(status);
    await views[seen].poll?.();
  } catch (error) {
    if (error.status === 401 || session.token !== token) return;
    enter();
    overview.showLost(error, time(answeredAt));
  }
}

// Asks now, and then every two seconds: while the page is seen and somebody is in, one question at a time.
async function ask() {
  clearTimeout(timer);
  if (document.hidden || state === "out") return;
  again = asking;
  if (asking) return;
  asking = true;
  do {
    again = false;
    await askOnce();
  } while (again);
  asking = false;
  if (state !== "out") timer = setTimeout(ask, POLL_MS);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(timer);
    events.stop();
  } else if (state !== "out") {
    if (state === "in") events.start();
    ask();
  }
});

// ---- who ----
function enter() {
  if (state === "in") return;
  const signed = state === "signing";
  state = "in";
  $("sign-in").hidden = true;
  $("nav").hidden = false;
  $("sign-out").hidden = session.token === null;
  show(location.hash.slice(1));
  if (signed) $("content").focus({ preventScroll: true }); // at once: later, somebody may type somewhere
  if (!document.hidden) events.start();
}

// A bearer token is wanted, or the one that there was is good no more.
function leave(problem) {
  const had = session.token !== null;
  state = "out";
  session.signOut();
  clearTimeout(timer);
  events.forget();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  $("nav").hidden = true;
  $("sign-out").hidden = true;
  show(seen);
  $("sign-in").hidden = false;
  $("pill").dataset.state = "unknown";
  setText($("pill-text"), "Signed out");
  showProblem($("sign-in-form"), had ? problem : null);
  $("sign-in-form").elements.token.focus();
}

session.onUnauthorized = leave;

onSubmit($("sign-in-form"), async (form) => {
  session.signIn(form.get("token").trim());
  await get("/status"); // who is refused stays here
  $("sign-in-form").reset();
  state = "signing";
  await ask();
});

// What was seen goes with the token. What is asked until the page has gone is refused, and must not show a form that goes with it.
$("sign-out").addEventListener("click", () => {
  session.onUnauthorized = () => {};
  session.signOut();
  location.reload();
});

ask();
