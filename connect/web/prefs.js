// What this browser remembers of choices: devices, the way. Never a token; that one stays in the tab, and only if it is asked to.

const KEY = "turnpike-phone", TOKEN = "turnpike-phone-token";

function load() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

const kept = load();

export const prefs = {
  get(name, otherwise) {
    return kept[name] ?? otherwise;
  },
  set(name, value) {
    kept[name] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify(kept));
    } catch {
      // A browser that keeps nothing: the choice holds as long as the page.
    }
  },
};

export const token = {
  get() {
    return JSON.parse(sessionStorage.getItem(TOKEN));
  },
  keep(value) {
    sessionStorage.setItem(TOKEN, JSON.stringify(value));
  },
  forget() {
    sessionStorage.removeItem(TOKEN);
  },
};
