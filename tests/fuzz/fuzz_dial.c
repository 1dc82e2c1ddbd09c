/*
 * What a server or a proxy answers to a client that opens a WebSocket: the head of its answer, and behind one that is good the frames that follow. Neither
 * the bytes behind a head nor the pieces that frames come in change anything, and what opens a WebSocket names our key's answer and our protocol.
 * The first byte says how large the pieces are; 0: one.
 */
#include <event2/buffer.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "connect/dialhead.h"
#include "connect/dialparts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char SUBPROTOCOL[] = "turnpike.connect.v1";
static const char KEY[] = "dGhlIHNhbXBsZSBub25jZQ=="; /* of RFC 6455 section 1.3, and its answer */
static const char ACCEPT[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/* What came of the frames. */
struct heard {
    struct dialframe *frame;
    size_t texts, bytes;
    uint64_t sum; /* of them, in order */
    int err;
};

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void on_text(void *ctx, const char *text, size_t len)
{
    struct heard *h = ctx;

    need(len <= DIAL_MESSAGE_MAX);
    h->texts++;
    h->bytes += len;
    for (size_t i = 0; i < len; i++)
        h->sum = h->sum * 31 + (unsigned char)text[i];
    if (len == 4 && memcmp(text, "stop", 4) == 0)
        dialframe_stop(h->frame);
}

/* Frames of a client are masked, of no more than they have to be; ours are pongs and the close frame here. */
static void check_sent(struct evbuffer *out)
{
    unsigned char head[2];

    while (evbuffer_get_length(out)) {
        unsigned opcode;

        need(evbuffer_remove(out, head, sizeof(head)) == sizeof(head));
        opcode = head[0] & 15;
        need((head[0] & 0xf0) == 0x80 && (opcode == 8 || opcode == 10));
        need((head[1] & 0x80) && (head[1] & 0x7f) <= 125);
        need(evbuffer_drain(out, 4u + (head[1] & 0x7f)) == 0);
        need(opcode == 10 || evbuffer_get_length(out) == 0);
    }
}

static struct heard read_frames(const uint8_t *data, size_t len, size_t piece)
{
    static const struct dialframe_events EVENTS = {on_text};
    struct heard h = {0};
    unsigned code;
    struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();

    need(in && out && dialframe_new(&h.frame, in, out, &EVENTS, &h) == 0);
    while (len && !h.err) {
        size_t n = piece && piece < len ? piece : len;

        need(evbuffer_add(in, data, n) == 0);
        data += n;
        len -= n;
        h.err = dialframe_read(h.frame, &code);
        need(h.err == 0 || h.err == ERR_MALFORMED || h.err == ERR_NOTCONN);
        need(h.err == ERR_NOTCONN || code == 0);
    }
    check_sent(out);
    dialframe_free(&h.frame);
    evbuffer_free(in);
    evbuffer_free(out);
    return h;
}

/* How it ends may differ: wslay judges the reason of a close frame by the pieces that it comes in. */
static void check_frames(const uint8_t *data, size_t len, size_t piece)
{
    struct heard whole = read_frames(data, len, 0), pieces = read_frames(data, len, piece);

    need(whole.texts == pieces.texts && whole.bytes == pieces.bytes && whole.sum == pieces.sum);
}

static bool opens(const char *head, size_t len)
{
    bool good = !dialhead_wrong(head, len, ACCEPT, SUBPROTOCOL);

    need(!good || (memmem(head, len, ACCEPT, strlen(ACCEPT)) && memmem(head, len, SUBPROTOCOL, strlen(SUBPROTOCOL))));
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t piece = size ? *data++ : 0, len = size ? size - 1 : 0;
    char *buf = malloc(len + !len), accept[DIAL_ACCEPT_MAX]; /* of its own size: the sanitizer sees one byte too far */
    int n;

    if (!buf)
        return 0;
    if (len)
        memcpy(buf, data, len);
    need(dialhead_accept(accept, KEY) == 0 && strcmp(accept, ACCEPT) == 0);
    n = dialhead_len(buf, len);
    need(n >= 0 ? n <= DIAL_HEAD_MAX && (size_t)n <= len : n == ERR_MSGSIZE && len >= DIAL_HEAD_MAX);
    if (n > 0) {
        int status = dialhead_status(buf, (size_t)n);

        need(memcmp(buf + n - 4, "\r\n\r\n", 4) == 0);
        need(dialhead_len(buf, (size_t)n) == n && dialhead_len(buf, (size_t)n - 1) == 0);
        need(status == ERR_MALFORMED || (status >= 0 && status <= 999));
        if (opens(buf, (size_t)n) && status == 101)
            check_frames(data + n, len - (size_t)n, piece);
    }
    free(buf);
    return 0;
}
