/*
 * Purpose:  a WebSocket on a connection: frames become messages for the desk, and the desk's messages frames (wslay).
 * Owner:    the connect thread.
 * Lifetime: from ws_start to the connection's end; the desk hears of that exactly once.
 * Callers:  connect/serve.
 * RFC:      6455. No extension: what is compressed beside secrets tells them.
 */
#ifndef CONNECT_WS_H
#define CONNECT_WS_H

struct conn;

/* Every limit of a WebSocket beside those of connect/link.h, with its unit and reason (S20). */
enum {
    WS_PING_MS = 25000,    /* between two pings: proxies give up after 30 to 60 s */
    WS_SILENCE_MS = 60000, /* without a whole frame: two pings are unanswered */
    WS_FRAGMENTS_MAX = 64, /* frames of a message: each costs memory beside its bytes */
    WS_CONTROL_PER_S = 20, /* pings, pongs: each is answered or looked at; */
    WS_CONTROL_BURST = 100,
};

/* The connection's handshake is answered; the bytes that follow it may be in its buffer. */
void ws_start(struct conn *c);

#endif
