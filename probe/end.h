/*
 * Purpose:  one end of a call as the relay knows it: a UDP socket, requests one at a time, a channel, and what arrives.
 * Owner:    the thread of its event base.
 * Lifetime: end_open to end_free; borrows what its configuration points to.
 * Callers:  probe/binding, probe/pair.
 * RFC:      8489, 8656.
 */
#ifndef PROBE_END_H
#define PROBE_END_H

#include "probe/fault.h"
#include "stun/client.h"

struct end;
struct event_base;

enum {
    END_ROOM = 4,           /* bytes before a payload: the head of ChannelData */
    END_PAYLOAD_MAX = 1500, /* bytes */
    END_CHANNEL = 0x4000,   /* one peer, one channel */
};

enum end_how {
    END_ANSWERED,
    END_REFUSED, /* an error code: `answer.code` */
    END_SILENT,  /* no answer to all that was sent */
    END_ALTERED, /* answers came, but changed: `why` */
    END_FAULT,   /* the socket, or ICMP: `code` and `why` */
};
struct end_result {
    enum end_how how;
    enum code code;
    char why[FAULT_WHY_MAX];
    struct turn_answer answer;
    unsigned sends; /* requests that were sent */
    uint64_t took_ms;
};

struct end_config {
    struct event_base *base;
    const struct addr *server; /* copied */
    struct stun_mac *mac;
    const char *user, *password; /* NULL: Binding only */
    uint32_t rto_ms;             /* STUN_RTO_MS, or less in a hurry */
};
/* None from within a call of the functions below, and end_free not from within these. */
struct end_events {
    void (*done)(void *ctx, struct end *e, const struct end_result *r); /* of a request, once */
    void (*data)(void *ctx, struct end *e, const uint8_t *data,
                 size_t len); /* by the channel, or in a Data indication; borrowed; NULL: of no interest */
};

/* ERR_NOMEM, or a negated errno of the socket calls. */
int end_open(struct end **out, const struct end_config *config, const struct end_events *events, void *ctx);
/* Gives its allocation back, as far as one datagram does. NULL-safe; nulls the pointer. */
void end_free(struct end **e);
/* A request, when no other is under way. What `params` points to is borrowed until it is done. */
void end_request(struct end *e, enum stun_method method, const struct turn_params *params);
/* Over the channel; END_ROOM bytes before the payload are written. False: it could not be sent now (too long for this host's line, say). */
bool end_send(struct end *e, uint8_t *payload, size_t len);
/* A further socket at the same address and port, for whoever is not the relay; `fd` is the caller's, or -1. A negated errno of the socket calls. */
int end_beside(const struct end *e, int *fd);
/* The address that it sends from; ADDR_NONE if there is none. */
struct addr end_local(const struct end *e);

#endif
