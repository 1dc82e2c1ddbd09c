/*
 * Purpose:  the nodes of a fleet: what each tells of itself, as fields of text; which has room; and what the workers may know of them.
 * Owner:    records are plain values; a `struct fleet` is written by the control thread and read by the workers.
 * Lifetime: fleet_new to fleet_free, around the life of the workers.
 * Callers:  auth/redisfleet, auth/redisnodes, programs/.
 * RFC:      8489 section 10 (ALTERNATE-SERVER), 7065 (turn: URIs).
 */
#ifndef AUTH_FLEET_H
#define AUTH_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum {
    FLEET_ID_MAX = 64,       /* bytes: a host's name and a port */
    FLEET_NODES_MAX = 128,   /* each reads all others once a second: 16,000 commands are little for one Redis */
    FLEET_ADDRESSES_MAX = 8, /* two families, two transports, and room for TLS */
    FLEET_VERSION_MAX = 31,
    FLEET_FIELDS_MAX = 32, /* of a record: those below, and room for newer ones, which are left alone */
    FLEET_NEAR = 50,       /* per mille: nodes that differ by less share what is sent elsewhere */
    FLEET_URI_MAX = 96,    /* bytes of "turn:[2001:db8::1]:3478?transport=udp" and its NUL */
};

struct fleet_address {
    bool stream; /* TCP; else UDP */
    struct addr addr;
};

struct fleet_node {
    char id[FLEET_ID_MAX + 1];
    struct fleet_address address[FLEET_ADDRESSES_MAX]; /* where clients reach it */
    size_t naddresses;
    char version[FLEET_VERSION_MAX + 1];
    int64_t started;   /* wall clock, seconds */
    uint64_t capacity; /* allocations that it is good for */
    uint64_t load;     /* allocations that it has */
    uint64_t used;     /* per mille of what is scarcest: allocations or bandwidth */
    bool full;         /* it takes no new one now */
    bool draining;     /* nor shall it */
    uint64_t rank;     /* fleet_choose's own */
};

/* Letters, digits, '.', '_' and '-', at most FLEET_ID_MAX: it stands in keys and URLs. */
bool fleet_id_ok(const char *id);
/* As much of a text as fits, with '-' for what may not stand in an id. */
void fleet_id_make(char out[static FLEET_ID_MAX + 1], const char *text);

struct fleet_field {
    const char *name; /* NUL-terminated */
    const char *value;
    size_t len;
};
/* Room for the texts that fleet_write makes. */
struct fleet_text {
    char addresses[FLEET_ADDRESSES_MAX * (ADDR_TEXT_MAX + 8)];
    char uris[2 * FLEET_ADDRESSES_MAX * FLEET_URI_MAX];
    char numbers[6][24];
};
/*
 * addresses: "udp 192.0.2.1:3478,tcp [2001:db8::1]:3478"; uris: the same for clients, between blanks; version; started, capacity, load, used: decimal;
 * full, draining: 0 or 1. Returns how many; they borrow from both. `draining` comes first.
 */
size_t fleet_write(const struct fleet_node *n, struct fleet_text *text, struct fleet_field fields[static FLEET_FIELDS_MAX]);
/* The other way round; `uris` follow from the addresses. Nothing is believed: ERR_MALFORMED (S23). Unknown fields are skipped. */
int fleet_read(struct fleet_node *n, const char *id, const struct fleet_field *fields, size_t count);
/* "stun:192.0.2.1:3478", "turn:192.0.2.1:3478?transport=udp". */
void fleet_uri(char out[static FLEET_URI_MAX], const struct fleet_address *a, bool turn);

/* Puts those in front that take new allocations, the least loaded first; `seed` decides between equals. Returns how many those are. */
size_t fleet_choose(struct fleet_node *nodes, size_t n, uint64_t seed);

/* ---- What the workers see. ---- */
struct fleet;
int fleet_new(struct fleet **out); /* ERR_NOMEM */
void fleet_free(struct fleet **f);
/* The other nodes that live, as they were told last. Copied. */
void fleet_publish(struct fleet *f, const struct fleet_node *nodes, size_t n);
void fleet_drain(struct fleet *f, bool draining);
/* As auth_draining and auth_elsewhere; any thread. */
bool fleet_draining(const struct fleet *f);
bool fleet_elsewhere(struct fleet *f, enum addr_family family, bool stream, struct addr *out);

#endif
