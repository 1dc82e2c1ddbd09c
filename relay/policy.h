/*
 * Purpose:  where a relay may send to and receive from: the one function for peers.
 * Owner:    immutable once it is made; shared by reference count. A reload makes a new one.
 * Lifetime: from policy_new or policy_own to the last policy_unref.
 * Callers:  relay/turn, relay/forward ask; relay/relay, and relay/user for a credential, build.
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

/* Where an entry comes from. The operator's three are one list, of whose entries none is stronger by its source. */
enum policy_source {
    POLICY_BUILT_IN, /* the special-purpose ranges */
    POLICY_HOST,     /* an address of this host */
    POLICY_CONFIGURATION,
    POLICY_REALM,  /* coturn's options of the realm */
    POLICY_STORED, /* the store of credentials */
    POLICY_SOURCES
};

/* One source's entries, as text. */
struct policy_entries {
    const char *const
        *allowed;    /* "CIDR", "IP", "IP-IP", each also with ":PORT", ":PORT-PORT", "/udp" or "/tcp" behind the ports; */
    size_t nallowed; /* IPv6 with ports in brackets: "[2001:db8::/32]:5060/udp" */
    const char *const *denied;
    size_t ndenied;
};

struct policy_config {
    const char *const *allowed; /* the configuration's, as in struct policy_entries */
    size_t nallowed;
    const char *const *denied;
    size_t ndenied;
    struct policy_entries realm, stored;
    const struct addr *host; /* every address of this host, ports zero */
    size_t nhost;
    const struct addr *listeners; /* our own service ports; an unspecified IP stands for every address of this host */
    size_t nlisteners;
};

/* ERR_NOMEM. ERR_CONFIG: an entry can't be read; `bad` (if not NULL) is set to its text. */
int policy_new(struct policy **out, const struct policy_config *config, const char **bad);
/*
 * A credential's own peers, which only narrow that: `text` holds entries as above, between blanks, and what none of them holds is denied,
 * our own relayed addresses with it. ERR_NOMEM. ERR_CONFIG: an entry can't be read; `bad` (if not NULL) is set to it, in `text`.
 */
int policy_own(struct policy **out, const char *text, const char **bad);
/* Is it made of this text? */
bool policy_is(const struct policy *own, const char *text);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy **p);
/* Differs between any two policies of this process: what was decided under another one is asked again. */
uint32_t policy_generation(const struct policy *p);

/* Who is asked about a peer: both must allow it. */
struct policy_judges {
    const struct policy *server;
    const struct policy *own; /* the credential's; NULL: it has none */
    const struct ports *ports;
};
/* May any port of this address be a peer? CreatePermission. `*all_ports` (may be NULL): every port may, so that the flow need not be asked. */
bool policy_permission(struct policy_judges j, const struct addr *peer, enum policy_protocol protocol, bool *all_ports);
/* May this address and port be a peer? ChannelBind, Send, and what comes in. A relayed address of ours must be live. */
bool policy_flow(struct policy_judges j, const struct addr *peer, enum policy_protocol protocol);

/* One entry, for people. */
struct policy_entry {
    const char *text; /* as it was written; borrowed from the policy */
    bool allow;
    enum policy_source source;
};
/* Every entry of a server's policy, in the order in which they are asked, the longest prefix first; a range where its longest one stands. */
void policy_each(const struct policy *p, void (*visit)(void *ctx, const struct policy_entry *entry), void *ctx);
/* "built in", "this host", "configuration", "realm", "stored"; never NULL. */
const char *policy_source_name(enum policy_source source);

/* What decides a flow, for people: "denied-peer-ip=10.0.0.0/8 (built in)", "the credential's peers". */
const char *policy_explain(struct policy_judges j, const struct addr *peer, enum policy_protocol protocol, char *text, size_t cap);

#endif
