/*
 * The head of an HTTP request as strangers send it to the connect service: what is read lies within what was sent, and neither the bytes that follow nor the pieces
 * that it comes in change anything.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "connect/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void check_text(const struct http_text *t, const char *buf, size_t len)
{
    need(!t->p ? t->len == 0 : t->p >= buf && t->len <= len && t->p + t->len <= buf + len);
    for (size_t i = 0; i < t->len; i++)
        need(t->p[i] == '\t' || (unsigned char)t->p[i] >= ' ');
}

static void check_head(struct http_head *h, const char *buf)
{
    char accept[HTTP_ACCEPT_LEN + 1];

    need(h->len > 0 && h->len <= HTTP_HEAD_MAX && memcmp(buf + h->len - 4, "\r\n\r\n", 4) == 0);
    need(h->path.len > 0 && h->path.p[0] == '/');
    need(!h->host.p || (h->host.len > 0 && h->host.len <= HTTP_HOST_MAX && !memchr(h->host.p, ';', h->host.len) &&
                        !memchr(h->host.p, ' ', h->host.len)));
    check_text(&h->path, buf, h->len);
    check_text(&h->host, buf, h->len);
    check_text(&h->origin, buf, h->len);
    check_text(&h->if_none_match, buf, h->len);
    check_text(&h->key, buf, h->len);
    check_text(&h->version, buf, h->len);
    if (http_may_upgrade(h) == 0) {
        need(h->protocol && http_accept(accept, &h->key) == 0 && strlen(accept) == HTTP_ACCEPT_LEN);
    } else {
        need(h->status >= 400 && h->why);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *buf = calloc(1, size + !size); /* of its own size: the sanitizer sees one byte too far */
    struct http_head whole, part;
    int err;

    if (!buf)
        return 0;
    if (size)
        memcpy(buf, data, size);
    err = http_read(&whole, buf, size);
    need(err == 0 || err == ERR_AGAIN || err == ERR_MALFORMED);
    need(err != ERR_MALFORMED || (whole.status >= 400 && whole.status < 600 && whole.why && *http_reason(whole.status)));
    need(err != ERR_AGAIN || size < HTTP_HEAD_MAX);
    if (err == 0) {
        need(http_read(&part, buf, whole.len) == 0 && part.len == whole.len && part.upgrade == whole.upgrade &&
             part.keep == whole.keep);
        need(http_read(&part, buf, whole.len - 1) == ERR_AGAIN);
        check_head(&whole, buf);
    }
    free(buf);
    return 0;
}
