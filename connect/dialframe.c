/* The frames of connect/dial: wslay between two buffers. */
#include <event2/buffer.h>
#include <stdlib.h>
#include <sys/types.h>
#include <wslay/wslay.h>

#include "base/err.h"
#include "base/random.h"
#include "connect/dialparts.h"

struct dialframe {
    wslay_event_context_ptr ws;
    struct evbuffer *in, *out;
    struct dialframe_events events;
    void *ctx;
    bool binary; /* a message that is no text has come */
};

static ssize_t on_recv(wslay_event_context_ptr ws, uint8_t *buf, size_t len, int flags, void *ctx)
{
    struct dialframe *f = ctx;
    int n = evbuffer_remove(f->in, buf, len);

    (void)flags;
    if (n > 0)
        return n;
    wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr ws, const uint8_t *data, size_t len, int flags, void *ctx)
{
    struct dialframe *f = ctx;

    (void)flags;
    if (evbuffer_add(f->out, data, len) == 0)
        return (ssize_t)len;
    wslay_event_set_error(ws, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static int on_mask(wslay_event_context_ptr ws, uint8_t *buf, size_t len, void *ctx)
{
    (void)ws;
    (void)ctx;
    random_bytes(buf, len);
    return 0;
}

static void on_message(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *arg, void *ctx)
{
    struct dialframe *f = ctx;

    if (wslay_is_ctrl_frame(arg->opcode))
        return; /* wslay has answered a ping or a close by itself */
    if (arg->opcode == WSLAY_TEXT_FRAME) {
        f->events.text(f->ctx, (const char *)arg->msg, arg->msg_length);
    } else {
        f->binary = true;
        wslay_event_shutdown_read(ws); /* what came together with it is not heard either */
    }
}

int dialframe_new(struct dialframe **out, struct evbuffer *in, struct evbuffer *to, const struct dialframe_events *events,
                  void *ctx)
{
    static const struct wslay_event_callbacks CALLBACKS = {
        .recv_callback = on_recv, .send_callback = on_send, .genmask_callback = on_mask, .on_msg_recv_callback = on_message};
    struct dialframe *f = calloc(1, sizeof(*f));

    *out = NULL;
    if (!f || wslay_event_context_client_init(&f->ws, &CALLBACKS, f)) {
        free(f);
        return ERR_NOMEM;
    }
    wslay_event_config_set_max_recv_msg_length(f->ws, DIAL_MESSAGE_MAX);
    f->in = in;
    f->out = to;
    f->events = *events;
    f->ctx = ctx;
    *out = f;
    return 0;
}

void dialframe_free(struct dialframe **f)
{
    struct dialframe *frame = *f;

    *f = NULL;
    if (!frame)
        return;
    wslay_event_context_free(frame->ws);
    free(frame);
}

void dialframe_stop(struct dialframe *f)
{
    wslay_event_shutdown_read(f->ws);
}

int dialframe_read(struct dialframe *f, unsigned *code)
{
    int err = wslay_event_recv(f->ws);

    *code = 0;
    (void)wslay_event_send(f->ws);
    if (wslay_event_get_close_received(f->ws)) {
        *code = wslay_event_get_status_code_received(f->ws);
        return ERR_NOTCONN;
    }
    /* What breaks the protocol, wslay answers by a close frame of its own. */
    return err || f->binary || wslay_event_get_close_sent(f->ws) ? ERR_MALFORMED : 0;
}

static int queue(struct dialframe *f, uint8_t opcode, const char *text, size_t len)
{
    struct wslay_event_msg msg = {.opcode = opcode, .msg = (const uint8_t *)text, .msg_length = len};

    return wslay_event_queue_msg(f->ws, &msg) || wslay_event_send(f->ws) ? ERR_NOMEM : 0;
}

int dialframe_send(struct dialframe *f, const char *text, size_t len)
{
    return queue(f, WSLAY_TEXT_FRAME, text, len);
}

int dialframe_ping(struct dialframe *f)
{
    return queue(f, WSLAY_PING, "", 0);
}

void dialframe_close(struct dialframe *f)
{
    if (wslay_event_queue_close(f->ws, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0) == 0)
        (void)wslay_event_send(f->ws);
}
