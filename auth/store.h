/*
 * Purpose:  the embedded credential store, first form: users that Turnpike generated itself, in one file of the state directory.
 * Owner:    the control thread (start); workers never see it.
 * Lifetime: store_open to store_free; passwords are wiped.
 * Callers:  programs/.
 * RFC:      none.
 */
#ifndef AUTH_STORE_H
#define AUTH_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/auth.h"

enum {
    STORE_PASSWORD_LEN = 24, /* 144 random bits in base64url */
    STORE_PATH_MAX = 4096,
};

struct store;

/*
 * Reads DIR/credentials: lines `user=NAME:PASSWORD`, `#` opens a comment. Neither the file nor the directory need exist: they are
 * made by the first store_user that has to write. ERR_NOMEM, ERR_ACCES, ERR_MALFORMED (a line that is none of those), ERR_NOSPC
 * (path or file too long), or another negated errno. With ERR_MALFORMED `*line` is its number, otherwise 0; `line` may be NULL.
 */
int store_open(struct store **out, const char *dir, unsigned *line);
void store_free(struct store **s);
/* The file's path, for messages; borrowed. */
const char *store_path(const struct store *s);
/*
 * The password of `name`: the one that is kept, or a new one that is generated and written (mode 0600, to a new file that replaces
 * the old one, on the disk before this returns). `*generated` may be NULL. The text is borrowed until store_free. ERR_INVAL: a name
 * that cannot stand in the file (empty, with ':' or a control character); ERR_NOMEM, ERR_ACCES, ERR_NOSPC, ERR_IO, ...
 */
int store_user(struct store *s, const char *name, const char **password, bool *generated);
/* Adds all users to `a`; a name that is there already (from the configuration) keeps what it has. As auth_add_user. */
int store_load(const struct store *s, struct auth *a);
size_t store_count(const struct store *s);

#endif
