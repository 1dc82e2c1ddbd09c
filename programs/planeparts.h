/*
 * Purpose:  what the files of the admin plane's wiring know of each other; nobody else includes it.
 * Owner:    the control thread.
 * Lifetime: that of the struct plane.
 * Callers:  programs/plane*.
 * RFC:      none.
 */
#ifndef PROGRAMS_PLANEPARTS_H
#define PROGRAMS_PLANEPARTS_H

#include <event2/event_struct.h>

#include "admin/admin.h"
#include "programs/plane.h"
#include "programs/storeops.h"
#include "programs/storethread.h"
#include "relay/ports.h"

/* An allocation's id as text. */
#define PLANE_ID "%018" PRIu64
enum { PLANE_ID_DIGITS = 20 }; /* of any 64-bit number; ours have 18 */

struct plane {
    struct plane_config config;
    struct admin *admin;
    struct storeops *ops;
    struct storethread *store;
    int64_t started;           /* wall clock */
    int64_t certificate_until; /* of the admin plane, wall clock; 0: there is none */
    int64_t connect_until;     /* of the connect service, likewise */
    int64_t drain_deadline;    /* wall clock, to be shown; 0: none */
    uint64_t drain_until_ms;   /* boot clock: it goes by this */
    struct event look;
    struct event probed;                           /* while a bridge checks its rules: what has come of it? */
    bool told_hung, told_memory, told_certificate; /* to those who watch */
    uint64_t busy_ms;                              /* boot clock: of the last look at the workers */
    struct {
        uint64_t ns;
        double ratio;
    } busy[PORTS_WORKERS_MAX];
};

/* Each is an operation of admin/call.h; the ones that ask the store are in programs/storeops. */
admin_operation_fn planestatus_ready, planestatus_get, planestatus_nodes, planestatus_drain, planestatus_end_drain;
admin_operation_fn planemetrics_get;
admin_operation_fn planeconfig_get, planeconfig_check, planeconfig_reload, planeconfig_log_level;
admin_operation_fn planeallocations_list, planeallocations_get, planeallocations_delete;
admin_operation_fn planebridges_list;
admin_operation_fn planeprobes_start, planeprobes_list, planeprobes_get;
admin_operation_fn planepeers_ask, planepeers_test;

/* Why it is not ready to serve: an array of sentences, empty when it is; the caller's. */
json_t *planestatus_reasons(const struct plane *p);
/* Once a second: has anything changed that those who watch want to know? Has the time to drain passed? */
void planestatus_look(struct plane *p);
/* As often: how busy the workers were. */
void planemetrics_look(struct plane *p);
/* To tell those who watch what bridges find. ERR_NOMEM. */
int planeprobes_open(struct plane *p);
void planeprobes_close(struct plane *p);

#endif
