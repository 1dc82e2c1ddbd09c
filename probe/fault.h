/*
 * Purpose:  what a socket's error means for a firewall: who refused, and how; from errno, ICMP and what TCP counts.
 * Owner:    the thread of the socket.
 * Lifetime: no state.
 * Callers:  probe/tcp, probe/end.
 * RFC:      792, 1812 section 5.2.7.1 (codes of ICMP), 4443 section 3.1 (of ICMPv6).
 */
#ifndef PROBE_FAULT_H
#define PROBE_FAULT_H

#include <stdbool.h>

#include "probe/codes.h"

enum { FAULT_WHY_MAX = 160 }; /* bytes of a cause in words, and its NUL */

/* Errors of ICMP are kept by the socket, with who sent them, and end a connection that is not there yet. */
void fault_watch(int fd, int family);
/* What `error` (an errno of this socket) comes from. */
enum code fault_of(int fd, int error, char why[static FAULT_WHY_MAX]);
/* Is there an error of ICMP? CODE_NONE: there is none. */
enum code fault_icmp(int fd, char why[static FAULT_WHY_MAX]);
/* Do this host's own rules drop what a connection that is not there yet sends? Known once it has sent again, after a second. */
bool fault_dropped_here(int fd);

#endif
