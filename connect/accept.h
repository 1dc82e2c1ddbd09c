/*
 * Purpose:  the port: listens, and finds out by its first byte what a connection speaks.
 * Owner:    the connect thread; bound by the control thread.
 * Lifetime: accept_new to accept_free.
 * Callers:  connect/connect.
 * RFC:      7983 (first bytes), 8656 section 2.1 (TURN over TCP and TLS).
 */
#ifndef CONNECT_ACCEPT_H
#define CONNECT_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct acceptor;
struct service;

enum accept_class { ACCEPT_TURN, ACCEPT_TLS, ACCEPT_HTTP, ACCEPT_OTHER, ACCEPT_CLASSES };
enum accept_class accept_classify(uint8_t first);

/* A socket that listens there; `a` gets the port in use. A negated errno of bind(2), with the cause and the cure in `text`. */
int accept_bind(int *out, struct addr *a, const char *key, char *text, size_t cap);
/* Takes the descriptor over, on error too. `connects`: WebSockets are opened here; `app`: the page is served. ERR_NOMEM. */
int accept_new(struct acceptor **out, struct service *s, int fd, bool connects, bool app);
/* NULL-safe; nulls the pointer. */
void accept_free(struct acceptor **a);
/* Four times a second: it may have rested for want of descriptors. */
void accept_tick(struct acceptor *a);

#endif
