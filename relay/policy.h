/*
 * Purpose:  where a relay may send to and receive from: the one function for peers.
 * Owner:    immutable after policy_new; shared by reference count. A reload makes a new one.
 * Lifetime: from policy_new to the last policy_unref.
 * Callers:  relay/turn, relay/forward ask; relay/relay builds.
 * RFC:      8656 section 21.2 (attacks by a relay), 6890 (special-purpose ranges), 6052, 3056, 4380 (embedded IPv4).
 */
#ifndef RELAY_POLICY_H
#define RELAY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "relay/ports.h"

enum policy_protocol {
    POLICY_UDP = 1,
    POLICY_TCP = 2,
    POLICY_ANY = 3, /* only in entries */
};

struct policy;

struct policy_config {
    const char *const
        *allowed;    /* "CIDR", "IP", "IP-IP", each also with ":PORT", ":PORT-PORT", "/udp" or "/tcp" behind the ports; */
    size_t nallowed; /* IPv6 with ports in brackets: "[2001:db8::/32]:5060/udp" */
    const char *const *denied;
    size_t ndenied;
    const struct addr *host; /* every address of this host, ports zero */
    size_t nhost;
    const struct addr *listeners; /* our own service ports; an unspecified IP stands for every address of this host */
    size_t nlisteners;
};

/* ERR_NOMEM. ERR_CONFIG: an entry can't be read; `bad` (if not NULL) is set to its text. */
int policy_new(struct policy **out, const struct policy_config *config, const char **bad);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy **p);
/* Differs between any two policies of this process: what was decided under another one is asked again. */
uint32_t policy_generation(const struct policy *p);

/* May any port of this address be a peer? CreatePermission. `*all_ports` (may be NULL): every port may, so that the flow need not be asked. */
bool policy_permission(const struct policy *p, const struct ports *ports, const struct addr *peer, enum policy_protocol protocol,
                       bool *all_ports);
/* May this address and port be a peer? ChannelBind, Send, and what comes in. A relayed address of ours must be live. */
bool policy_flow(const struct policy *p, const struct ports *ports, const struct addr *peer, enum policy_protocol protocol);

/* The text of the entry that decides a flow, for people: "denied-peer-ip=10.0.0.0/8 (built in)". */
const char *policy_explain(const struct policy *p, const struct ports *ports, const struct addr *peer,
                           enum policy_protocol protocol, char *text, size_t cap);

#endif
