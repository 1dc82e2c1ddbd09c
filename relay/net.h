/*
 * Purpose:  the sockets as the relay's core sees them: a table of functions, so that a scripted network can stand in.
 * Owner:    one table and context a worker, used on its thread only.
 * Lifetime: that of the worker.
 * Callers:  relay/turn, relay/alloc, relay/forward call; relay/worker and the unit tests implement.
 * RFC:      8656 sections 2 and 12 to 15 (what is sent where, and with which IP header fields).
 */
#ifndef RELAY_NET_H
#define RELAY_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "stun/names.h"

enum transport {
    TRANSPORT_UDP,
    TRANSPORT_TCP,
};

/* A client's 5-tuple and the way back to it. The first PATH_KEY_LEN bytes are the 5-tuple and compare with memcmp. */
struct path {
    struct addr client;
    struct addr server;
    uint32_t transport;  /* enum transport */
    uint32_t scope;      /* interface of a link-local client, else 0: two links may have the same address (RFC 4007) */
    uint32_t io;         /* listener's or stream's slot: the network's own number */
    uint32_t generation; /* of that slot; a stream that is gone is not mistaken for the next one */
};
enum { PATH_KEY_LEN = 48 };
_Static_assert(offsetof(struct path, io) == PATH_KEY_LEN, "the 5-tuple stands in front");

/* What one event is about; for the log and, later, the admin plane's event stream. Borrowed for the call. */
struct alloc;
enum relay_event {
    EVENT_ALLOCATION_CREATED,   /* `lifetime_s` */
    EVENT_ALLOCATION_REFRESHED, /* `lifetime_s`, of the address that lives longest; 0: it ends */
    EVENT_ALLOCATION_DELETED,   /* `detail` is the reason */
    EVENT_REQUEST_REFUSED,      /* `code` and `detail` */
    EVENT_AUTH_FAILED,          /* `detail` is count_failure_name's; `user` is NULL if there is none of that name */
    EVENT_QUOTA_REFUSED,        /* `detail` is the limit; `user` is the owner */
    EVENT_PEER_DENIED,          /* `detail` is the policy entry */
    EVENT_THROTTLED, /* a user and a source are not answered for a while (S15); `user` is NULL if there is none of that name */
};
struct relay_event_info {
    enum relay_event event;
    const struct path *path;
    const struct alloc *alloc; /* NULL when there is none */
    const char *method;
    const char *user;   /* NULL when not known */
    const char *detail; /* NULL when there is none */
    const struct addr *peer;
    int code;
    uint32_t lifetime_s;
};

/* A message from one worker to another, on the control side: redeeming a reservation. Copied. */
enum mail_kind {
    MAIL_REDEEM,   /* token, user, ticket: give me the socket behind this token */
    MAIL_REDEEMED, /* ticket, and the socket; fd -1: no such token */
};
struct mail {
    enum mail_kind kind;
    unsigned from;
    uint64_t ticket; /* the asker's own number of the parked request */
    uint8_t token[STUN_RESERVATION_TOKEN_LEN];
    char user[STUN_USERNAME_MAX + 1];
    int fd;
    unsigned relay; /* index of the relay address */
    uint16_t port;
};

struct relay_socket; /* one bound UDP socket of a relayed transport address */

struct net_ops {
    /* Opens and binds, without reading from it yet. ERR_ADDRINUSE, ERR_MFILE, ... */
    int (*relay_open)(void *net, const struct addr *local, struct relay_socket **out);
    /* From now on datagrams go to forward_from_peer with these numbers. */
    int (*relay_start)(void *net, struct relay_socket *s, unsigned relay, uint16_t port);
    /* Closes at once; NULL-safe; nulls the pointer. */
    void (*relay_close)(void *net, struct relay_socket **s);
    /* For a socket that another worker's request redeems: give up the descriptor, and take one. */
    int (*relay_detach)(void *net, struct relay_socket **s);
    int (*relay_adopt)(void *net, int fd, struct relay_socket **out); /* owns fd, also on error */
    /* One datagram to a peer. `tos` is DSCP and ECN, `df` sets Don't Fragment. Negative when it was not sent. */
    int (*relay_send)(void *net, struct relay_socket *s, const struct addr *peer, const uint8_t *data, size_t len, uint8_t tos,
                      bool df);
    /* To a client. The bytes are copied (or written) before the call returns. Streams get whole frames, padded by the network. */
    int (*client_send)(void *net, const struct path *to, const uint8_t *data, size_t len, uint8_t tos);
    /* Sets the shard's time, once a pass: for calls that come from outside of relay/. */
    void (*clock)(void *net);
    /* Copies the mail to another worker. */
    int (*post)(void *net, unsigned worker, const struct mail *mail);
    /* The ring to another worker: room for one record, or NULL (full: the caller drops and counts); then commit. */
    void *(*splice_reserve)(void *net, unsigned worker, size_t len);
    void (*splice_commit)(void *net, unsigned worker);
    void (*event)(void *net, const struct relay_event_info *e);
    bool can_dont_fragment; /* C42 */
};

#endif
