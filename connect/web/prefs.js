// What this browser remembers of choices: devices, the way. Never a token; that one stays in the tab, and only if it is asked to.

const KEY = "turnpike-phone", TOKEN = "turnpike-phone-token";

// A browser that may keep nothing of a site throws when it is asked.
function ifAllowed(work) {
  try {
    return work() ?? null;
  } catch {
    return null;
  }
}

const kept = ifAllowed(() => JSON.parse(localStorage.getItem(KEY))) ?? {};

export const prefs = {
  get(name, otherwise) {
    return kept[name] ?? otherwise;
  },
  set(name, value) {
    kept[name] = value;
    ifAllowed(() => localStorage.setItem(KEY, JSON.stringify(kept))); // else the choice holds as long as the page
  },
};

export const token = {
  get: () => ifAllowed(() => JSON.parse(sessionStorage.getItem(TOKEN))),
  keep: (value) => ifAllowed(() => sessionStorage.setItem(TOKEN, JSON.stringify(value))),
  forget: () => ifAllowed(() => sessionStorage.removeItem(TOKEN)),
};
