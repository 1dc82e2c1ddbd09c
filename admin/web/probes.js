// The firewall rules as bridges have proven them: who is here, what each was asked, and what came of it.

import { call, get, newKey } from "/dashboard/api.js";

const MOST = 1000; // entries of a page

let bridges = [], probes = []; // the newest first
let turn = 0; // what was asked before something was changed is not taken any more
const reports = new Map(); // of probes that are done: they stay as they are

export function forget() {
  turn++;
  bridges = [];
  probes = [];
  reports.clear();
}

// An answer may be older than an event that came before it.
function further(known, told) {
  return known && told.state === "running" && known.done > told.done ? known : told;
}

// Of those that are to be shown.
async function getReports(shown, mine) {
  for (const { proven } of shown) {
    if (!proven || reports.has(proven.id)) continue;
    try {
      const { report } = await get(`/probes/${encodeURIComponent(proven.id)}`);
      if (mine === turn) reports.set(proven.id, report);
    } catch (error) {
      if (error.status !== 404) throw error; // newer ones have taken its place
    }
  }
}

// Asks; with reports, if those are to be shown. True when there is something new to show.
export async function refresh(withReports) {
  const mine = ++turn;
  const [b, p] = await Promise.all([get("/bridges", { limit: MOST }), get("/probes", { limit: MOST })]);
  if (withReports) await getReports(placesOf(b.items, p.items), mine);
  if (mine !== turn) return false;
  const known = new Map(probes.map((one) => [one.id, one]));
  bridges = b.items;
  probes = p.items.map((one) => further(known.get(one.id), one));
  for (const id of reports.keys()) if (!probes.some((one) => one.id === id)) reports.delete(id);
  return true;
}

// How far one has come, by an event; false: it is not known yet.
export function take({ id, done, of }) {
  const probe = probes.find((p) => p.id === id);
  if (!probe) return false;
  if (probe.state === "running") Object.assign(probe, { done, of });
  return true;
}

export async function start(bridge, quick) {
  const made = await call("POST", "/probes", { body: { bridge, quick }, key: newKey() });
  turn++;
  if (!probes.some((p) => p.id === made.id)) probes.unshift(made);
}

// Each bridge with its newest probe, and the newest that has come to its end with a report.
function placesOf(here, done) {
  const isNamed = (one, b) => b.name !== "" && one.name === b.name && one.tenant === b.tenant;
  // One that has signed in anew is another session; what it has proven before is still its own, if it is the only one of its name.
  const isEarlier = (p, b) => isNamed(p, b) && !here.some((one) => one.id === p.bridge || (one !== b && isNamed(one, b)));
  return here.map((bridge) => {
    const own = done.filter((p) => p.bridge === bridge.id || isEarlier(p, bridge)), proven = own.find((p) => p.state === "done");
    return { bridge, newest: own[0], proven, report: reports.get(proven?.id) };
  });
}

export const places = () => placesOf(bridges, probes);

// FAIL, WARN, SKIP or PASS; a check that came to no end is a warning.
export function verdictOf({ newest, proven }) {
  const said = proven?.verdict ?? "SKIP";
  return newest?.state === "failed" && said !== "FAIL" ? "WARN" : said;
}

export function worst(verdicts) {
  return ["FAIL", "WARN", "SKIP", "PASS"].find((v) => verdicts.includes(v)) ?? "SKIP";
}
