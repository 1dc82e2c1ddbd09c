/*
 * Purpose:  names of owners of whom something is to be told or shown, each once, in the order in which they came.
 * Owner:    any thread adds, one takes.
 * Lifetime: owners_new to owners_free.
 * Callers:  auth/redisfleet, auth/redistokens.
 * RFC:      none.
 */
#ifndef AUTH_OWNERS_H
#define AUTH_OWNERS_H

#include <stdbool.h>

struct owners;

/* ERR_NOMEM. Closed at first. */
int owners_new(struct owners **out);
void owners_free(struct owners **o);
/* While it is closed nothing is added, and closing forgets all. */
void owners_open(struct owners *o, bool open);
/* `later`: not before the next owners_due. True: it is the first that can be taken. Without memory it is left out. */
bool owners_add(struct owners *o, const char *name, bool later);
void owners_due(struct owners *o);
/* The caller's to free(3); NULL: there is none. */
char *owners_take(struct owners *o);

#endif
