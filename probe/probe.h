/*
 * Purpose:  proves the rules of a firewall from one end: every rule of a role, side by side.
 * Owner:    the thread of the event base; the process ignores SIGPIPE.
 * Lifetime: probe_new to probe_free, or one call of probe_run; the report borrows the rules.
 * Callers:  programs/turnpike-probe, programs/bridgeprobe.
 * RFC:      8489 section 6.2.1 (how long an answer is waited for), 8656.
 */
#ifndef PROBE_PROBE_H
#define PROBE_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#include "probe/report.h"
#include "probe/rules.h"

struct event_base;
struct hold;
struct probe;
struct ssl_ctx_st;

enum { PROBE_ERROR_MAX = 256 }; /* bytes of an error's text and its NUL */

/* What stands for a role of the rules. */
struct probe_host {
    const char *name;    /* a name or an IP (IPv6 without brackets); NULL: not given, its rules are skipped */
    uint16_t port;       /* 0: the rule's */
    const char *missing; /* in words, why it is not given; NULL: nobody has said it on the command line */
};

struct probe_config {
    const struct rules *rules;
    enum rules_source role;
    unsigned only;                           /* the number of one rule; 0: all of the role */
    struct probe_host host[RULES_HOST];      /* by enum rules_target */
    const char *user, *password;             /* for the relay; NULL: what the connect service hands out, or without one the token */
    const char *token_user, *token_password; /* for the connect service; NULL: nobody signs in there. Neither: nothing is relayed */
    const char *signed_in;  /* in words, that the caller is signed in already, in place of a token; NULL: he is not */
    const char *ca_file;    /* PEM; NULL: the system's authorities */
    struct ssl_ctx_st *tls; /* of dial_tls, in place of `ca_file`: to read many authorities takes 20 ms; NULL: none */
    const char *proxy;      /* "http://HOST:PORT" for TCP; NULL: none */
    const char *dns;        /* "IP[:PORT]" of a name server; NULL: the host's own */
    bool both;              /* against the other end, in the same tenant: a bridge, or another probe */
    struct hold *answer;    /* with `both`: a call of the other end's that is answered, and nothing else; borrowed. NULL: none */
    bool relay_only;        /* the other end hears no address of this host's, and gets nothing past the relay */
    bool quick;             /* short waits, no idle time-outs */
    unsigned idle_s;        /* how long WebSocket and UDP are left idle; 0: as long as it takes to be sure */
    /* After each rule: how many of `r->n` are done. May be NULL. */
    void (*progress)(void *ctx, const struct report *r, size_t done);
    void *ctx;
};

/* All rules are tried, and the report is complete. From the loop, once; may call probe_free. */
typedef void probe_done(void *ctx);

/* Begins on a loop that has other things to do: nothing here waits. `config` and what it points to, and `report`, are borrowed until probe_free.
 * ERR_CONFIG (a file of authorities, proxy or name server that can't be used), ERR_NOENT (no such rule for this role), ERR_NOMEM, ERR_CRYPTO; `error`
 * says what. What a rule fails by is no error. */
int probe_new(struct probe **out, struct event_base *base, const struct probe_config *config, struct report *report,
              probe_done *done, void *ctx, char error[static PROBE_ERROR_MAX]);
/* Ends it, complete or not: no callback any more. Not from within `progress`. NULL-safe; nulls the pointer. */
void probe_free(struct probe **p);
/* The whole run, on a loop of its own. Errors as above. */
int probe_run(const struct probe_config *config, struct report *out, char error[static PROBE_ERROR_MAX]);

#endif
