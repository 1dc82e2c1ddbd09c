/*
 * Purpose:  UDP sockets of a worker: listeners towards clients, one socket for each relayed address towards peers.
 * Owner:    the worker's thread.
 * Lifetime: udp_new to udp_free; relay sockets from open to close.
 * Callers:  relay/worker; relay/relay adds the listeners.
 * RFC:      8656 sections 13 to 15 (IP header fields), 8489 section 6.2.1 (answers leave from where the request went, C10).
 */
#ifndef RELAY_UDP_H
#define RELAY_UDP_H

#include "relay/worker.h"

enum {
    UDP_BATCH = 64,                /* datagrams of one recvmmsg from a listener */
    UDP_RELAY_BATCH = 8,           /* of one recvmmsg from a relay socket: read to a short batch, then let others have a turn */
    UDP_SEND_BATCH = 128,          /* answers gathered for one sendmmsg */
    UDP_SEND_BYTES = 1 << 18,      /* bytes of them; a video burst of a pass fits */
    UDP_LISTENER_BUFFER = 1 << 22, /* bytes asked of the kernel for a listener, each direction: 50 ms at 500 Mbit/s */
};

int udp_new(struct udp **out, struct worker *w);
void udp_free(struct udp **u);
/* Takes the bound descriptor over, also on error. `bound` is its address; an unspecified IP means wildcard. */
int udp_listen(struct udp *u, int fd, const struct addr *bound);
/* Sends what has been gathered. At the end of every pass. */
void udp_flush(struct udp *u);

/* A bound, non-blocking UDP socket with the options that we need. Returns the descriptor or a negated errno. */
int udp_socket(const struct addr *bind_to, bool listener);

/* Of relay/net.h; `net` is the worker. */
int udp_relay_open(void *net, const struct addr *local, struct relay_socket **out);
int udp_relay_start(void *net, struct relay_socket *s, unsigned relay, uint16_t port);
void udp_relay_close(void *net, struct relay_socket **s);
int udp_relay_detach(void *net, struct relay_socket **s);
int udp_relay_adopt(void *net, int fd, struct relay_socket **out);
int udp_relay_send(void *net, struct relay_socket *s, const struct addr *peer, const uint8_t *data, size_t len, uint8_t tos,
                   bool df);
int udp_client_send(void *net, const struct path *to, const uint8_t *data, size_t len, uint8_t tos);

#endif
