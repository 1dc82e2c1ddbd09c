// The connection to the connect service: a WebSocket that comes back by itself, JSON-RPC 2.0 over it, and a session that outlives a lost
// connection. docs/connect-protocol.md has every message.

const PROTOCOL = "turnpike.connect.v1";
const OPEN_MS = 6000; // a firewall that drops says nothing, and the user is told within ten seconds
const ANSWER_MS = 7000;
const RETRY_MS = [500, 10000]; // the first pause, and the longest
const WAITING_MAX = 200; // notifications that wait for a lost connection
const CLOSE = { GOING: 1000, UNAUTHORIZED: 4001, RESUMED: 4003 };

// What the service answers in place of a result; `reason` is the protocol's, or "lost": no connection.
export class Refused extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

const lost = () => new Refused("lost", "There is no connection to the service.");

export class Link {
  #url;
  #token;
  #on;
  #socket = null;
  #up = false;
  #session = null; // {session, secret} of a hello, for its resumption
  #number = 0;
  #asked = new Map(); // id: {resolve, reject, timer}
  #waiting = [];
  #pause = RETRY_MS[0];
  #timer = null;
  #over = false;

  // on: {up(hello, resumed), down(why), refused(error), message(method, params)}. `why`: "silent" and "closed" (it never was open), "lost",
  // "unavailable". After `refused` nothing is tried again.
  constructor(url, token, on) {
    this.#url = url;
    this.#token = token;
    this.#on = on;
  }

  open() {
    clearTimeout(this.#timer);
    const socket = (this.#socket = new WebSocket(this.#url, PROTOCOL));
    this.#timer = setTimeout(() => this.#drop("silent"), OPEN_MS);
    socket.onopen = () => {
      clearTimeout(this.#timer);
      this.#hello(socket);
    };
    socket.onmessage = (event) => socket === this.#socket && this.#take(event.data);
    socket.onclose = (event) => socket === this.#socket && this.#closed(event);
  }

  // For good: the session and its calls end.
  close() {
    this.#over = true;
    clearTimeout(this.#timer);
    if (this.#up) {
      this.notify("bye");
      this.#socket.close(CLOSE.GOING);
    } else {
      this.#socket?.close();
    }
    this.#socket = null;
    this.#up = false;
    this.#forget();
  }

  // The network may have changed: is the service still there? What it answers is needed then anyway. Asked of a dead connection, a new one is made.
  async probe() {
    if (this.#over) return null;
    if (!this.#up) {
      if (this.#socket === null) this.open();
      return null;
    }
    try {
      return await this.request("ice.servers");
    } catch {
      return null;
    }
  }

  request(method, params) {
    return this.#up ? this.#ask(method, params) : Promise.reject(lost());
  }

  // While the connection is lost it waits, in order, for the session to be resumed.
  notify(method, params = {}) {
    if (this.#up) this.#send({ jsonrpc: "2.0", method, params });
    else if (this.#session && this.#waiting.length < WAITING_MAX) this.#waiting.push([method, params]);
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #ask(method, params) {
    const id = ++this.#number;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#asked.delete(id);
        reject(new Refused("late", "The service does not answer."));
        this.#drop("silent"); // what is not answered in this time goes nowhere
      }, ANSWER_MS);
      this.#asked.set(id, { resolve, reject, timer });
      this.#send({ jsonrpc: "2.0", id, method, ...(params && { params }) });
    });
  }

  async #hello(socket) {
    const resume = this.#session;
    try {
      const hello = await this.#ask("hello", { token: this.#token, role: "phone", ...(resume && { resume }) });
      if (socket !== this.#socket) return;
      this.#session = { session: hello.session, secret: hello.secret };
      this.#pause = RETRY_MS[0];
      this.#up = true;
      const waiting = this.#waiting.splice(0);
      if (resume) waiting.forEach(([method, params]) => this.notify(method, params));
      this.#on.up(hello, Boolean(resume));
    } catch (error) {
      if (socket !== this.#socket) return;
      if (error.reason === "no_session" && resume) {
        this.#session = null;
        if (socket.readyState === WebSocket.OPEN) this.#hello(socket);
      } else if (["unauthorized", "forbidden", "limit"].includes(error.reason)) {
        this.#refuse(error);
      } else if (!["lost", "late"].includes(error.reason)) {
        this.#drop("unavailable");
      }
    }
  }

  #take(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      this.#drop("lost");
      return;
    }
    if (message.method) {
      this.#on.message(message.method, message.params ?? {});
      return;
    }
    const asked = this.#asked.get(message.id);
    if (!asked) return;
    this.#asked.delete(message.id);
    clearTimeout(asked.timer);
    if (message.error) asked.reject(new Refused(message.error.data?.reason ?? "error", message.error.message));
    else asked.resolve(message.result);
  }

  #closed({ code }) {
    const opened = this.#up || this.#session !== null;
    if (code === CLOSE.UNAUTHORIZED) this.#refuse(new Refused("token_ended", "The token has expired or was revoked."));
    else if (code === CLOSE.RESUMED) this.#refuse(new Refused("resumed", "This session goes on somewhere else."));
    else this.#drop(opened ? "lost" : "closed");
  }

  #refuse(error) {
    this.#over = true;
    this.#let();
    this.#on.refused(error);
  }

  // This connection is no good: another one, after a pause that grows and is not the same for everybody.
  #drop(why) {
    this.#let();
    const pause = this.#pause * (0.5 + Math.random() / 2);
    this.#pause = Math.min(2 * this.#pause, RETRY_MS[1]);
    this.#timer = setTimeout(() => this.open(), pause);
    this.#on.down(why);
  }

  #let() {
    const socket = this.#socket;
    this.#socket = null;
    this.#up = false;
    clearTimeout(this.#timer);
    socket?.close();
    this.#forget();
  }

  #forget() {
    for (const { reject, timer } of this.#asked.values()) {
      clearTimeout(timer);
      reject(lost());
    }
    this.#asked.clear();
  }
}
