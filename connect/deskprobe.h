/*
 * Purpose:  the desk's part of a run of the probe at a bridge: it asks the bridge, and judges what that says of it.
 * Owner:    the connect thread.
 * Lifetime: that of the desk; the runs are connect/probes'.
 * Callers:  connect/desk, connect/session.
 * RFC:      docs/connect-protocol.md, "probe.start", "probe.progress", "probe.done".
 */
#ifndef CONNECT_DESKPROBE_H
#define CONNECT_DESKPROBE_H

#include "connect/deskparts.h"

/* Asks the bridge of a run that has begun; one whose bridge is gone fails. */
void deskprobe_start(struct desk *d, const char *id);
/* probe.progress or probe.done. RPC_METHOD: from a phone; RPC_PARAMS: `wrong` (static) names the member, "probe" also for what is none of this bridge's;
 * RPC_STATE: that run is over; RPC_UNAVAILABLE: no memory. A run of this bridge whose probe.done is refused has failed. */
enum rpc_error deskprobe_message(const struct session *s, const char *method, const json_t *params, const char **wrong);
/* The session ends. */
void deskprobe_ended(const struct session *s, enum desk_reason reason);

#endif
