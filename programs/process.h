/*
 * Purpose:  what our daemons do alike as processes: their limits, the start of the log, the ready file.
 * Owner:    the thread that starts the program.
 * Lifetime: no state.
 * Callers:  programs/turnpiked.c, programs/turnpike-bridge.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_PROCESS_H
#define PROGRAMS_PROCESS_H

#include <jansson.h>
#include <stddef.h>

#include "base/conf.h"
#include "base/log.h"

/* As many descriptors as the system lets us have, and no core files. */
void process_limits(void);
/* As log_start; what can't be is said in `text`. */
int process_start_log(const struct log_config *config, char *text, size_t cap);
/* What a configuration has been warned about. After the log's start. */
void process_warn(const struct conf_list *warnings);
/* Writes it (taken over) whole or not at all: whoever waits for the file must not read half of it. Errors as of fopen(3), logged. */
int process_write_ready(const char *path, json_t *root);

#endif
