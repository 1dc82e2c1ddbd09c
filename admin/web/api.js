// Asks the relay. One place knows of the bearer token, of problem+json, and of what the caller may do.

const PATIENCE_MS = 10000;
const KEY = "turnpike-token";

export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const session = {
  token: sessionStorage.getItem(KEY),
  roles: null, // until the relay has told
  onUnauthorized: () => {},

  signIn(token) {
    this.token = token;
    sessionStorage.setItem(KEY, token);
  },
  signOut() {
    this.token = null;
    this.roles = null;
    sessionStorage.removeItem(KEY);
  },
  may(...roles) {
    return this.roles === null || this.roles.includes("admin") || roles.some((r) => this.roles.includes(r));
  },
};

// One for each thing that is to be done once, however often it is tried.
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

export function headers(more = {}) {
  return session.token ? { Authorization: `Bearer ${session.token}`, ...more } : more;
}

export async function problemOf(response) {
  let detail = "";
  try {
    const body = await response.json();
    detail = body.detail || body.title || "";
  } catch {
    // Not ours: a proxy between.
  }
  return new Problem(response.status, detail || `The relay answers ${response.status} ${response.statusText}`);
}

async function send(method, path, { query, body, key, etag } = {}) {
  const given = Object.entries(query ?? {}).filter(([, v]) => v !== "" && v !== null && v !== undefined);
  const url = `/api/v1${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
  const more = {}, { token } = session;
  if (body !== undefined) more["Content-Type"] = "application/json";
  if (key) more["Idempotency-Key"] = key;
  if (etag) more["If-Match"] = etag;
  let response;
  try {
    response = await fetch(url, {
      method, headers: headers(more), body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch (error) {
    throw new Problem(0, error.name === "TimeoutError" ? "The relay does not answer in time." : "The relay cannot be reached.");
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (response.status === 401 && session.token === token) session.onUnauthorized(problem); // told once of each token
  throw problem;
}

export async function call(method, path, options) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : response.json();
}

export const get = (path, query) => call("GET", path, { query });

// With its ETag.
export async function getTagged(path) {
  const response = await send("GET", path);
  return [await response.json(), response.headers.get("ETag")];
}
