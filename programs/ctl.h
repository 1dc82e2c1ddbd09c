/*
 * Purpose:  what turnpikectl's commands share: what was asked for, whom they ask, and how the program ends.
 * Owner:    the program's only thread.
 * Lifetime: the program's.
 * Callers:  programs/turnpikectl.c and the files of its commands.
 * RFC:      9110 (status codes).
 */
#ifndef PROGRAMS_CTL_H
#define PROGRAMS_CTL_H

#include <jansson.h>

#include "admin/call.h"
#include "programs/config.h"
#include "programs/ctlhttp.h"
#include "programs/ctloptions.h"
#include "programs/storeops.h"

/* As turnpikectl(8) has them. */
enum ctl_status {
    CTL_OK = 0,
    CTL_FAULT = 1,
    CTL_USAGE = 2,      /* the command or the configuration is wrong */
    CTL_NOT_FOUND = 3,  /* what was named is not there */
    CTL_REFUSED = 4,    /* who asks may not */
    CTL_CONFLICT = 5,   /* it is there already, or is not as it was */
    CTL_RULE_FAILS = 6, /* the check is done, and a rule of the firewall does not hold */
};

enum {
    CTL_WATCH_S = 2, /* between two looks of --watch */
};

struct ctl {
    const struct options *options;
    const char *argument; /* ID, NAME or FILE; NULL: none */
    int64_t now;
    const struct config *config; /* NULL: nothing of it is needed, or it can't be read */
    const char *config_file;     /* its name, also when it is not valid; NULL: it is not ours to read, or not needed */
    const char *socket;          /* whom is asked; NULL: options->url */
    struct ctlhttp *http;        /* NULL: nobody has been asked yet, */
    struct storeops *store;      /* or no relay runs, and this stands for it. NULL: not needed yet */
};

/* How the program ends with a fault: cause, and what to do about it. Returns `status`. */
int ctl_complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The connection, which is made when it is asked for. CTL_*, and then it has been said. */
int ctl_connect(struct ctl *c);
/* It failed: which status, after saying so. */
int ctl_unreachable(struct ctl *c, int err);
void ctl_close(struct ctl *c);

/* What a command asks. `query` and `body` are taken over; NULL: none. */
struct ctl_question {
    enum admin_operation operation;
    const char *id; /* the last part of the path; NULL: it has none */
    json_t *query, *body;
    const char *if_match;
    bool may_be_away; /* that no relay runs is an answer, too: status 0 */
};
struct ctl_answer {
    int status;   /* HTTP's */
    json_t *body; /* the caller's; NULL: none */
    char etag[ADMIN_ETAG_MAX];
    char detail[ADMIN_DETAIL_MAX];
};

/* Of the relay, or where none runs of its store. CTL_OK: there is an answer, of whatever status. Else CTL_*, after saying why. */
int ctl_send(struct ctl *c, const struct ctl_question *q, struct ctl_answer *a);
/* The same, and a refusal is said and becomes a status of the program. `*out` is the caller's (NULL: not wanted). */
int ctl_ask(struct ctl *c, const struct ctl_question *q, json_t **out);
/* What a refusal becomes, after it is said; the answer is released. */
int ctl_refused(struct ctl_answer *a);
/* All pages of a list as one array. */
int ctl_list(struct ctl *c, enum admin_operation operation, json_t *query, json_t **items);
/* Again and again with --watch, else once. */
int ctl_watch(struct ctl *c, int (*once)(struct ctl *c));
/* Prints it as --json says, and releases it. */
void ctl_json(const struct ctl *c, json_t *root);

/* ---- Options on their way into a question. ---- */

/* Left out when `text` is NULL. */
void ctl_put_text(json_t *object, const char *key, const char *text);
void ctl_put_list(json_t *object, const char *key, const struct option_list *l);
/* A number with k, M or G behind it; "none" is null. `option` names it in a complaint. */
int ctl_put_size(json_t *object, const char *key, const char *option, const char *text);
/* A time as seconds from now; "never" is null. */
int ctl_put_span(const struct ctl *c, json_t *object, const char *key, const char *option, const char *text);

/* ---- Commands, by file. ---- */
int ctlrelay_status(struct ctl *c);
int ctlrelay_allocations(struct ctl *c);
int ctlrelay_kick(struct ctl *c);

int ctltokens_issue(struct ctl *c);
int ctltokens_list(struct ctl *c);
int ctltokens_show(struct ctl *c);
int ctltokens_revoke(struct ctl *c);

int ctlusers_add(struct ctl *c);
int ctlusers_set(struct ctl *c);
int ctlusers_list(struct ctl *c);
int ctlusers_show(struct ctl *c);
int ctlusers_remove(struct ctl *c);
int ctlusers_revoke(struct ctl *c);

int ctlusage_show(struct ctl *c);
int ctlusage_credentials(struct ctl *c);
int ctlusage_ice_servers(struct ctl *c);

int ctlrules_peers(struct ctl *c);
int ctlrules_test(struct ctl *c);
int ctlrules_set(struct ctl *c);
int ctlrules_quota(struct ctl *c);
int ctlrules_set_quota(struct ctl *c);

int ctlserver_nodes(struct ctl *c);
int ctlserver_drain(struct ctl *c);
int ctlserver_reload(struct ctl *c);
int ctlserver_log_level(struct ctl *c);
int ctlserver_check(struct ctl *c);
int ctlserver_config(struct ctl *c);

int ctlbridge_status(struct ctl *c);
int ctlprobe_check(struct ctl *c);

int ctlevents_follow(struct ctl *c);

int ctladmin_issue(struct ctl *c);
int ctladmin_list(struct ctl *c);
int ctladmin_revoke(struct ctl *c);

int ctlimport_coturn(struct ctl *c);

#endif
