/*
 * Purpose:  the runs of the probe that bridges were asked for, and what has come of each, for whoever wants to show them.
 * Owner:    the control thread begins them and reads; the connect thread writes what bridges say. A lock, for as long as a list is made at most.
 * Lifetime: probes_new to probes_free.
 * Callers:  connect/desk, connect/deskprobe; programs/planeprobes.
 * RFC:      docs/connect-protocol.md, "probe.start".
 */
#ifndef CONNECT_PROBES_H
#define CONNECT_PROBES_H

#include <jansson.h>
#include <stdbool.h>

#include "base/clock.h"
#include "connect/probereport.h"

enum {
    PROBES_ID_MAX = 24,     /* bytes of an id, or of a session's, with the NUL */
    PROBES_KEPT = 32,       /* runs beside those that go on, and the newest of each bridge that has a session: two of it at most */
    PROBES_ERROR_MAX = 512, /* bytes of why there is no report */
    PROBES_SILENT_MS = 240000, /* that a bridge may say nothing new: a way that drops all takes 40 s, an idle WebSocket 65 s, */
    PROBES_SILENT_QUICK_MS = 60000, /* and quickly a few seconds */
    PROBES_WHOLE_MS = 1800000,      /* that it may take in all: some minutes are usual */
};

struct probes;

/* ERR_NOMEM. */
int probes_new(struct probes **out);
/* NULL-safe; nulls the pointer. */
void probes_free(struct probes **p);

struct probes_config {
    const char *bridge, *tenant, *name; /* its session, whose it is, and how it calls itself; copied */
    bool quick;
};
/* ERR_EXIST: one goes on at that bridge. ERR_NOMEM. */
int probes_begin(char id[static PROBES_ID_MAX], struct probes *p, const struct probes_config *config, const struct now *now);
/* Whom to ask for this run, which goes on. False: there is none. */
bool probes_asked(struct probes *p, const char *id, char bridge[static PROBES_ID_MAX], bool *quick);

/* What the bridge of this session says of it; less than before changes nothing. ERR_NOENT: it is none of its runs; ERR_STALE: it is over; ERR_NOMEM. */
int probes_progress(struct probes *p, const char *id, const char *bridge, unsigned done, unsigned of, const struct now *now);
/* Takes the report's text over with 0. */
int probes_done(struct probes *p, const char *id, const char *bridge, struct probereport *report, const struct now *now);
int probes_failed(struct probes *p, const char *id, const char *bridge, const char *why, const struct now *now);
/* The session is over, and whatever goes on there with it; what has come of it is kept no longer than other bridges leave room. */
void probes_gone(struct probes *p, const char *bridge, const char *why, const struct now *now);
/* Those that take too long, or whose bridge has been silent for too long, fail. */
void probes_sweep(struct probes *p, const struct now *now);

/*
 * [{"id","bridge","tenant","name","quick","state","began","ended","done","of","verdict","error"}], the newest first: `state` is "running", "done" or
 * "failed"; what there is not is null; times are seconds since 1970. The caller's; NULL: no memory.
 */
json_t *probes_list(struct probes *p);
/* The same of one, with its "report": a text of JSON, or null. NULL: there is none, or no memory. */
json_t *probes_get(struct probes *p, const char *id);
/* What has changed since the last call, [{"what","id","bridge","state","done","of","verdict","error"}]: `what` is "progress" or "done". `*running`: does
 * any go on? The caller's; NULL: no memory. */
json_t *probes_news(struct probes *p, bool *running);

#endif
