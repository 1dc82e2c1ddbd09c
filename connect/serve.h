/*
 * Purpose:  HTTP on a connection: the softphone's files, what the page has to know, and the way to a WebSocket.
 * Owner:    the connect thread.
 * Lifetime: no state of its own.
 * Callers:  connect/accept.
 * RFC:      9110, 9112, 6455 section 4.2.
 */
#ifndef CONNECT_SERVE_H
#define CONNECT_SERVE_H

struct conn;

/* The connection speaks HTTP: what has come of the first request may be in its input buffer. */
void serve_start(struct conn *c);
/* It speaks HTTP where TLS is wanted: it is told so, and ends. */
void serve_no_tls(struct conn *c);

#endif
