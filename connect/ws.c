#include "connect/ws.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "base/err.h"
#include "base/log.h"
#include "connect/conn.h"
#include "connect/link.h"

struct ws {
    struct conn *conn;
    wslay_event_context_ptr ctx;
    struct desk_seat *seat;
    uint64_t heard_ms, pinged_ms;
    struct rate control;
    unsigned fragments; /* of the message that is coming */
    bool ends;          /* the close frame is queued: nothing is heard or said any more */
};

/* ---- Out. ---- */

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *user)
{
    struct ws *w = user;

    (void)flags;
    if (bufferevent_write(w->conn->bev, data, len) == 0)
        return (ssize_t)len;
    wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static size_t waiting(const struct ws *w)
{
    return evbuffer_get_length(bufferevent_get_output(w->conn->bev));
}

static void flush(struct ws *w)
{
    if (wslay_event_send(w->ctx))
        conn_cut(w->conn);
}

/* The connection itself ends with the next look at it: whoever calls us may be in the middle of something. */
static void end(struct ws *w, unsigned code, const char *reason)
{
    size_t len = strlen(reason);

    if (w->ends)
        return;
    w->ends = true;
    wslay_event_shutdown_read(w->ctx);
    wslay_event_queue_close(w->ctx, (uint16_t)code, (const uint8_t *)reason, len < LINK_REASON_MAX ? len : LINK_REASON_MAX - 1);
    flush(w);
}

static void refuse(struct ws *w, enum connect_refusal why, unsigned code, const char *text)
{
    if (w->ends)
        return;
    conn_refused(w->conn->service, &w->conn->from, why, text);
    end(w, code, text);
}

/* Frames of both kinds count: a client that sends pings and does not read would fill the queue with our answers. */
static bool has_room(struct ws *w, size_t len)
{
    if (waiting(w) + len <= LINK_QUEUE_MAX)
        return true;
    refuse(w, CONNECT_SLOW, LINK_POLICY, "does not read what it is sent");
    return false;
}

/* ---- What the desk asks. ---- */

static void link_send(void *carrier, const char *text, size_t len)
{
    struct ws *w = carrier;
    const struct wslay_event_msg msg = {WSLAY_TEXT_FRAME, (const uint8_t *)text, len};

    if (w->ends || !has_room(w, len))
        return;
    if (wslay_event_queue_msg(w->ctx, &msg))
        conn_cut(w->conn);
    else
        flush(w);
}

static void link_close(void *carrier, enum link_code code, const char *reason)
{
    end(carrier, (unsigned)code, reason);
}

static size_t link_room(void *carrier)
{
    size_t n = waiting(carrier);

    return n < LINK_QUEUE_MAX ? LINK_QUEUE_MAX - n : 0;
}

static void link_known(void *carrier)
{
    struct ws *w = carrier;

    conn_known(w->conn);
}

static const struct link_ops LINK = {link_send, link_close, link_room, link_known};

/* ---- In. ---- */

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *user)
{
    struct ws *w = user;
    int n = w->ends ? 0 : evbuffer_remove(bufferevent_get_input(w->conn->bev), buf, len);

    (void)flags;
    if (n > 0)
        return n;
    wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
    return -1;
}

/* What may not be is refused before its bytes have come. */
static void on_frame(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_start_arg *frame, void *user)
{
    struct ws *w = user;

    (void)ctx;
    w->heard_ms = w->conn->service->now.ms;
    if (wslay_is_ctrl_frame(frame->opcode)) {
        if (!rate_take(&w->control, 1, w->heard_ms))
            refuse(w, CONNECT_FRAME, LINK_POLICY, "too many pings");
        return;
    }
    w->fragments = frame->opcode == WSLAY_CONTINUATION_FRAME ? w->fragments + 1 : 1;
    if (frame->opcode == WSLAY_BINARY_FRAME)
        refuse(w, CONNECT_FRAME, LINK_NOT_TEXT, "text messages only");
    else if (w->fragments > WS_FRAGMENTS_MAX)
        refuse(w, CONNECT_FRAME, LINK_POLICY, "a message in too many pieces");
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *msg, void *user)
{
    struct ws *w = user;

    (void)ctx;
    if (!w->ends && msg->opcode == WSLAY_TEXT_FRAME)
        desk_text(w->seat, (const char *)msg->msg, msg->msg_length, &w->conn->service->now);
}

static const struct wslay_event_callbacks CALLBACKS = {.recv_callback = on_recv,
                                                       .send_callback = on_send,
                                                       .on_frame_recv_start_callback = on_frame,
                                                       .on_msg_recv_callback = on_message};

/* ---- The connection. ---- */

/* wslay has answered what ends it: the client's close frame, or with one of its own what is no WebSocket, is too large, or is not UTF-8. */
static void note_end(struct ws *w)
{
    if (w->ends || wslay_event_get_read_enabled(w->ctx))
        return;
    if (!wslay_event_get_close_received(w->ctx))
        conn_refused(w->conn->service, &w->conn->from, CONNECT_FRAME, "frames or messages that are not allowed");
    w->ends = true;
}

static void readable(struct conn *c)
{
    struct ws *w = c->ctx;

    if (wslay_event_recv(w->ctx))
        refuse(w, CONNECT_FRAME, LINK_PROTOCOL, "no WebSocket frames");
    note_end(w);
    flush(w); /* pongs, and the answer to a close frame */
    if (w->ends)
        conn_end(c);
    else
        has_room(w, 0);
}

static void drained(struct conn *c)
{
    (void)c;
}

static void tick(struct conn *c)
{
    static const struct wslay_event_msg PING = {.opcode = WSLAY_PING};
    struct ws *w = c->ctx;
    uint64_t now = c->service->now.ms;

    if (now - w->heard_ms > WS_SILENCE_MS)
        refuse(w, CONNECT_SLOW, LINK_POLICY, "does not answer pings");
    if (w->ends) {
        conn_end(c);
        return;
    }
    if (now - w->pinged_ms < WS_PING_MS)
        return;
    w->pinged_ms = now;
    if (wslay_event_queue_msg(w->ctx, &PING))
        conn_cut(c);
    else
        flush(w);
}

static void gone(struct conn *c)
{
    struct ws *w = c->ctx;

    if (w->seat)
        desk_closed(w->seat, &c->service->now);
    wslay_event_context_free(w->ctx);
    free(w);
    c->ctx = NULL;
}

static const struct conn_ops WS = {readable, drained, tick, gone};

static void begin(struct ws *w)
{
    struct conn *c = w->conn;
    const struct link link = {&LINK, w};

    wslay_event_config_set_max_recv_msg_length(w->ctx, LINK_MESSAGE_MAX);
    w->heard_ms = w->pinged_ms = c->service->now.ms;
    rate_init(&w->control, WS_CONTROL_PER_S, WS_CONTROL_BURST, w->heard_ms);
    conn_hand(c, &WS, w);
    w->seat = desk_open(c->service->desk, &link, &c->from, &c->service->now);
    if (!w->seat)
        refuse(w, CONNECT_FULL, LINK_POLICY, "as many clients as there may be");
    readable(c); /* what came with the handshake */
}

void ws_start(struct conn *c)
{
    struct ws *w = calloc(1, sizeof(*w));

    if (!w || wslay_event_context_server_init(&w->ctx, &CALLBACKS, w)) {
        free(w);
        conn_cut(c);
        return;
    }
    w->conn = c;
    begin(w);
}
