#include "auth/rediskeys.h"

#include <stdio.h>

const char REDISKEYS_MARK[] =
    "local left = (tonumber(redis.call('HGET', KEYS[1], 'expires_at') or 0) or 0) - ARGV[1]\n"
    "redis.call('SET', KEYS[2], ARGV[1], 'EX', left > 0 and left or ARGV[2])\n"
    "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSETNX', KEYS[1], 'revoked_at', ARGV[1]) end\n"
    "return 1\n";

/* A brace of the owner's would end the hash tag, and an owner without a name would be none. */
bool rediskeys_owner(char *out, size_t cap, const char *owner)
{
    size_t n = 0;

    if (!owner[0])
        return (size_t)snprintf(out, cap, "%%") < cap;
    for (const char *p = owner; *p; p++) {
        if (n + 4 > cap)
            return false;
        if (*p == '%' || *p == '{' || *p == '}')
            n += (size_t)snprintf(out + n, cap - n, "%%%02X", (unsigned)(unsigned char)*p);
        else
            out[n++] = *p;
    }
    out[n] = '\0';
    return true;
}
