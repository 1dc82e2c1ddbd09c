/*
 * Purpose:  the wiring of the connect service: the port, the softphone page, who may sign in, and the ICE servers that are handed out.
 * Owner:    the control thread; the service has a thread of its own.
 * Lifetime: rendezvous_new, once the relay serves, to rendezvous_free, before it ends.
 * Callers:  programs/turnpiked.c, programs/plane*.c (numbers).
 * RFC:      none.
 */
#ifndef PROGRAMS_RENDEZVOUS_H
#define PROGRAMS_RENDEZVOUS_H

#include "connect/connect.h"
#include "programs/config.h"
#include "programs/credentials.h"
#include "relay/relay.h"

struct rendezvous;

/* NULL in `*out` and 0: the configuration wants neither service nor page. Errors as connect_new, with a text. `credentials` and `relay` are borrowed. `uris`: where
 * clients reach this relay, an array of texts, borrowed for the call. From then on what is revoked ends there, too. */
int rendezvous_new(struct rendezvous **out, const struct config *c, struct credentials *credentials, struct relay *relay,
                   const json_t *uris, char text[static RELAY_TEXT_MAX]);
/* NULL-safe; nulls the pointer. */
void rendezvous_free(struct rendezvous **r);
/* Would rendezvous_reload take it? NULL-safe. */
int rendezvous_check(const struct rendezvous *r, const struct config *c, char text[static RELAY_TEXT_MAX]);
/* Takes over what a new configuration says: ERR_CONFIG, and the old one stays. NULL-safe. */
int rendezvous_reload(struct rendezvous *r, const struct config *c, char text[static RELAY_TEXT_MAX]);
/* Of the service, or of the page; ADDR_NONE: none. NULL-safe. */
struct addr rendezvous_address(const struct rendezvous *r, bool app);
/* Numbers for metrics and status. NULL-safe: zeros. */
void rendezvous_read(const struct rendezvous *r, struct connect_counts *out);
/* As connect_bridges. NULL-safe: an empty list. */
json_t *rendezvous_bridges(const struct rendezvous *r, const char *tenant);
/* The runs of the probe at bridges (connect/probes.h). NULL: there is no connect service. NULL-safe. */
struct probes *rendezvous_probes(const struct rendezvous *r);
/* As connect_probe. */
int rendezvous_probe(const struct rendezvous *r, const char *id);

#endif
