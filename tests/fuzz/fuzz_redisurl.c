/* Whatever an operator writes where the URL of Redis belongs: taken or refused, never overrun, never half. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/redisurl.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct redis_target t, again;
    char text[REDIS_DESCRIBE_MAX];
    const char *why = NULL;
    char *in = malloc(size + 1);
    int err;

    need(in != NULL);
    memcpy(in, data, size);
    in[size] = '\0';
    err = redisurl_parse(&t, in, &why);
    free(in);
    need(why != NULL && (err == 0) == (*why == '\0'));
    if (err) {
        need(err == ERR_INVAL);
        for (size_t i = 0; i < sizeof(t); i++) /* no part of a password stays */
            need(((const unsigned char *)&t)[i] == 0);
        return 0;
    }
    need(*t.path ? t.nhosts == 0 : t.nhosts >= 1 && t.nhosts <= REDIS_HOSTS_MAX);
    need(t.kind != REDIS_SINGLE || t.nhosts <= 1);
    need((t.kind == REDIS_SENTINEL) == (*t.master != '\0'));
    need(t.connect_timeout_ms >= 1000 && t.silence_timeout_ms >= 1000);
    for (size_t i = 0; i < t.nhosts; i++)
        need(*t.hosts[i].name && t.hosts[i].port);
    redisurl_describe(&t, text, sizeof(text));
    /* What the log shows names the same place. A cut list, a path with a '?' and a timeout are beyond a description. */
    if (strstr(text, "...") || strpbrk(t.path, "?%@") || strpbrk(t.master, "?%/@"))
        return 0;
    need(redisurl_parse(&again, text, &why) == 0);
    need(again.kind == t.kind && again.tls == t.tls && again.nhosts == t.nhosts && again.db == t.db &&
         strcmp(again.master, t.master) == 0);
    need(!*again.password && !*again.user);
    return 0;
}
