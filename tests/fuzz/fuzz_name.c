/* User names as strangers send them: OpaqueString preparation, then the three forms of shared-secret names. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth.h"
#include "auth/secret.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void parse(const char *name, char separator)
{
    size_t len = strlen(name);
    struct secret_name n;

    if (!secret_parse_name(&n, name, separator))
        return;
    need(n.expires_at >= SECRET_EXPIRY_MIN);
    need(n.user >= name && n.user + n.user_len <= name + len);
    need(n.user_len < len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char once[STUN_USERNAME_MAX + 1], twice[STUN_USERNAME_MAX + 1];
    /* A copy of exactly this size, so that a read beyond its end is seen. */
    char *in = malloc(size ? size : 1);

    need(in != NULL);
    memcpy(in, data, size);
    int err = auth_opaque_string(once, sizeof(once), in, size);
    free(in);
    need(err == 0 || err == ERR_INVAL || err == ERR_NOSPC);
    if (err)
        return 0;
    need(once[0] != '\0' && strlen(once) < sizeof(once));
    /* Preparing what is prepared changes nothing (RFC 8264 section 7), or two workers could disagree about a name. */
    need(auth_opaque_string(twice, sizeof(twice), once, strlen(once)) == 0);
    need(strcmp(once, twice) == 0);
    parse(once, ':');
    parse(once, once[0]);
    return 0;
}
