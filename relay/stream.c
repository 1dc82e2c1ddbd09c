#include "relay/stream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "relay/alloc.h"
#include "relay/input.h"
#include "relay/source.h"
#include "relay/turn.h"

struct stream {
    struct streams *streams;
    struct bufferevent *bev;
    struct event more; /* frames that are left for the next pass */
    struct path path;
    uint64_t partial_ms;  /* when the frame began that is not whole yet; 0: none */
    bool heard;           /* has sent a whole frame */
    bool stranger;        /* counted in `strangers`: has no allocation, */
    uint64_t stranger_ms; /* and since when */
};

struct acceptor {
    struct streams *streams;
    struct event event;
    struct event pause;
    int fd;
};

/* A slot's generation tells a stream from the next one in the same slot. */
struct slot {
    struct stream *stream;
    uint32_t generation;
    uint32_t next_free;
};

struct streams {
    struct worker *worker;
    struct acceptor **acceptors;
    unsigned nacceptors;
    struct slot *slots;
    uint32_t nslots;
    uint16_t strangers[SOURCES_BUCKETS]; /* streams without an allocation, by relay/source's bucket */
    uint32_t free_slot;                  /* head of the list of free ones; NONE: none */
    uint8_t frame[HEADROOM + STUN_HEADER_LEN + DATAGRAM_MAX + TAILROOM];
};

#define NONE UINT32_MAX

static void stranger(struct stream *st)
{
    const struct shard *s = &st->streams->worker->shard;

    st->streams->strangers[source_bucket(s, &st->path.client)]++;
    st->stranger = true;
    st->stranger_ms = s->now.ms;
}

static void no_stranger(struct stream *st)
{
    if (st->stranger)
        st->streams->strangers[source_bucket(&st->streams->worker->shard, &st->path.client)]--;
    st->stranger = false;
}

static void stream_end(struct stream *st)
{
    struct streams *s = st->streams;
    struct slot *slot = &s->slots[st->path.io];

    no_stranger(st);
    turn_stream_closed(&s->worker->shard, &st->path);
    event_del(&st->more);
    bufferevent_free(st->bev); /* closes the descriptor */
    slot->stream = NULL;
    slot->generation++;
    slot->next_free = s->free_slot;
    s->free_slot = st->path.io;
    free(st);
}

/* ---- Receiving. ---- */

/* An allocation comes and goes by requests; or by itself, which the next one shows. False: it has been without one for too long. */
static bool after_message(struct stream *st)
{
    struct worker *w = st->streams->worker;

    if (alloc_find(&w->shard, &st->path))
        no_stranger(st);
    else if (!st->stranger)
        stranger(st);
    else if (w->shard.now.ms - st->stranger_ms > STREAM_STRANGER_S * 1000ULL) {
        count(&w->counters, DROP_STREAM_STRANGER);
        return false;
    }
    return true;
}

/* After a whole frame that began with this byte. False: close the stream. */
static bool on_frame(struct stream *st, uint8_t first)
{
    static const struct timeval IDLE = {.tv_sec = STREAM_IDLE_S};

    st->partial_ms = 0;
    if (!st->heard)
        bufferevent_set_timeouts(st->bev, &IDLE, NULL);
    st->heard = true;
    return stun_classify(first) != STUN_KIND_MESSAGE || after_message(st);
}

/* What is left is a part of a frame. False: it has been so for too long. */
static bool in_time(struct stream *st)
{
    struct worker *w = st->streams->worker;
    uint64_t now = w->shard.now.ms;

    if (!st->partial_ms)
        st->partial_ms = now;
    if (now - st->partial_ms <= STREAM_FRAME_S * 1000ULL)
        return true;
    count(&w->counters, DROP_STREAM_SLOW);
    return false;
}

/* What is no frame, or too long a one, closes the stream (C39). */
static void refuse(struct stream *st, int len)
{
    count(&st->streams->worker->counters, len == ERR_NOT_STUN ? DROP_NOT_STUN : DROP_STREAM_LONG);
    stream_end(st);
}

/* Others first: the rest in the next pass, and until then nothing more is read. */
static bool rest(struct stream *st)
{
    static const struct timeval NOW = {0};

    return event_add(&st->more, &NOW) == 0 && bufferevent_disable(st->bev, EV_READ) == 0;
}

/* Cuts what is there into frames. */
static void cut(struct stream *st)
{
    struct worker *w = st->streams->worker;
    struct evbuffer *in = bufferevent_get_input(st->bev);
    uint8_t *frame = st->streams->frame + HEADROOM;

    for (unsigned frames = 0;; frames++) {
        uint8_t head[4];
        ev_ssize_t have = evbuffer_copyout(in, head, sizeof(head));
        int len = have > 0 ? input_frame_len(&w->shard, &st->path, head, (size_t)have) : 0;

        if (len < 0 || len > STUN_HEADER_LEN + DATAGRAM_MAX) {
            refuse(st, len);
            return;
        }
        if (len == 0 || evbuffer_get_length(in) < (size_t)len) {
            if (have > 0 && !in_time(st))
                stream_end(st);
            return;
        }
        if (frames >= STREAM_PASS_FRAMES && rest(st))
            return;
        evbuffer_remove(in, frame, (size_t)len);
        if (input_frame(&w->shard, &st->path, frame, (size_t)len, 0) < 0 || !on_frame(st, head[0])) {
            stream_end(st);
            return;
        }
    }
}

static void on_read(struct bufferevent *bev, void *ctx)
{
    struct stream *st = ctx;

    (void)bev;
    worker_time(st->streams->worker);
    cut(st);
}

static void on_more(evutil_socket_t fd, short what, void *ctx)
{
    struct stream *st = ctx;
    struct worker *w = st->streams->worker;

    (void)fd;
    (void)what;
    worker_time(w);
    if (bufferevent_enable(st->bev, EV_READ)) { /* nobody would hear it any more (F13) */
        count(&w->counters, DROP_NO_MEMORY);
        stream_end(st);
        return;
    }
    cut(st);
}

static void on_event(struct bufferevent *bev, short what, void *ctx)
{
    struct stream *st = ctx;
    struct worker *w = st->streams->worker;

    worker_time(w);
    if ((what & BEV_EVENT_TIMEOUT) && alloc_find(&w->shard, &st->path)) {
        no_stranger(st);
        if (bufferevent_enable(bev, EV_READ) == 0) /* it may be silent: its allocation has a lifetime of its own */
            return;
    }
    if ((what & BEV_EVENT_TIMEOUT) && st->stranger)
        count(&w->counters, DROP_STREAM_SILENT);
    stream_end(st);
}

/* ---- Accepting. ---- */

static uint32_t take_slot(struct streams *s)
{
    uint32_t i = s->free_slot;

    if (i != NONE) {
        s->free_slot = s->slots[i].next_free;
        return i;
    }
    if (s->nslots == STREAMS_MAX)
        return NONE;
    if (s->nslots % 64 == 0) {
        struct slot *more = realloc(s->slots, (s->nslots + 64) * sizeof(*more));

        if (!more)
            return NONE;
        s->slots = more;
    }
    s->slots[s->nslots] = (struct slot){0};
    return s->nslots++;
}

static void set_options(int fd)
{
    static const struct {
        int level, option, value;
    } OPTIONS[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, STREAM_UNHEARD_S * 1000},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, STREAM_KEEPALIVE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, STREAM_KEEPALIVE_STEP_S},
        {IPPROTO_TCP, TCP_KEEPCNT, STREAM_KEEPALIVE_TRIES},
    };

    for (size_t i = 0; i < sizeof(OPTIONS) / sizeof(OPTIONS[0]); i++)
        setsockopt(fd, OPTIONS[i].level, OPTIONS[i].option, &OPTIONS[i].value, sizeof(OPTIONS[i].value));
}

/* `path` is without its slot. */
static void stream_new(struct streams *s, int fd, const struct path *path)
{
    static const struct timeval FIRST = {.tv_sec = STREAM_FIRST_S};
    size_t bucket = source_bucket(&s->worker->shard, &path->client);
    enum counter why = DROP_NO_MEMORY;
    struct stream *st = NULL;
    uint32_t slot;

    if (s->strangers[bucket] >= STREAMS_STRANGERS_MAX) {
        why = DROP_STREAMS_SOURCE;
        goto fail;
    }
    st = calloc(1, sizeof(*st));
    if (!st)
        goto fail;
    slot = take_slot(s);
    if (slot == NONE) {
        why = s->nslots == STREAMS_MAX ? DROP_STREAMS : DROP_NO_MEMORY;
        goto fail;
    }
    st->bev = bufferevent_socket_new(s->worker->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!st->bev) {
        s->slots[slot].next_free = s->free_slot;
        s->free_slot = slot;
        goto fail;
    }
    st->streams = s;
    st->path = *path;
    st->path.io = slot;
    st->path.generation = s->slots[slot].generation;
    stranger(st);
    s->slots[slot].stream = st;
    evtimer_assign(&st->more, s->worker->base, on_more, st);
    set_options(fd);
    bufferevent_setcb(st->bev, on_read, NULL, on_event, st);
    bufferevent_set_timeouts(st->bev, &FIRST, NULL);
    if (bufferevent_enable(st->bev, EV_READ | EV_WRITE) == 0)
        return;
    count(&s->worker->counters, DROP_NO_MEMORY); /* nobody would hear it, nor when it ends (F13) */
    stream_end(st);
    return;
fail:
    count(&s->worker->counters, why);
    free(st);
    close(fd);
}

static void on_accept(evutil_socket_t listener, short what, void *ctx)
{
    static const struct timeval PAUSE = {.tv_usec = STREAM_ACCEPT_PAUSE_MS * 1000};
    struct acceptor *a = ctx;

    (void)what;
    worker_time(a->streams->worker);
    for (int i = 0; i < STREAM_ACCEPT_BATCH; i++) {
        struct sockaddr_storage from, to;
        socklen_t from_len = sizeof(from), to_len = sizeof(to);
        int fd = accept4(listener, (struct sockaddr *)&from, &from_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct path path = {.transport = TRANSPORT_TCP};

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                worker_accept_rests(a->streams->worker, -errno);
                event_del(&a->event);
                if (event_add(&a->pause, &PAUSE))
                    event_add(&a->event, NULL); /* busy is better than deaf */
            }
            return;
        }
        if (getsockname(fd, (struct sockaddr *)&to, &to_len) || addr_from_sockaddr(&path.client, (struct sockaddr *)&from) ||
            addr_from_sockaddr(&path.server, (struct sockaddr *)&to)) {
            close(fd);
            continue;
        }
        path.scope = addr_scope((struct sockaddr *)&from);
        stream_new(a->streams, fd, &path);
    }
}

static void on_pause_over(evutil_socket_t fd, short what, void *ctx)
{
    struct acceptor *a = ctx;

    (void)fd;
    (void)what;
    event_add(&a->event, NULL);
}

/* ---- Sending. ---- */

int stream_client_send(void *net, const struct path *to, const uint8_t *data, size_t len)
{
    static const uint8_t PADDING[3];
    struct worker *w = net;
    struct streams *s = w->streams;
    struct stream *st = to->io < s->nslots && s->slots[to->io].generation == to->generation ? s->slots[to->io].stream : NULL;
    struct evbuffer *out;
    bool first;

    if (!st)
        return ERR_NOENT;
    out = bufferevent_get_output(st->bev);
    first = evbuffer_get_length(out) == 0;
    if (evbuffer_get_length(out) + len > STREAM_QUEUE_MAX) {
        count(&w->counters, DROP_STREAM_FULL);
        return 0;
    }
    if (evbuffer_expand(out, len + sizeof(PADDING)) || evbuffer_add(out, data, len) ||
        (len % 4 && evbuffer_add(out, PADDING, 4 - len % 4)))
        return ERR_NOMEM;
    /* F13: a bufferevent that was made of the last memory may have no way to learn that there is something to write (libevent 2.1). */
    if (first && !event_pending(&st->bev->ev_write, EV_WRITE, NULL) && bufferevent_enable(st->bev, EV_WRITE))
        return ERR_NOMEM;
    return 0;
}

/* ---- Life. ---- */

int stream_socket(const struct addr *bind_to)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(bind_to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, err = 0;

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) ||
        (bind_to->family == ADDR_V6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) ||
        bind(fd, (struct sockaddr *)&sa, len) || listen(fd, STREAM_BACKLOG))
        err = -errno;
    if (err) {
        close(fd);
        return err;
    }
    return fd;
}

int streams_new(struct streams **out, struct worker *w)
{
    struct streams *s = calloc(1, sizeof(*s));

    if (!s)
        return ERR_NOMEM;
    s->worker = w;
    s->free_slot = NONE;
    *out = s;
    return 0;
}

int streams_listen(struct streams *s, int fd)
{
    struct acceptor **more = realloc(s->acceptors, (s->nacceptors + 1) * sizeof(struct acceptor *));
    struct acceptor *a = more ? calloc(1, sizeof(*a)) : NULL;

    if (more)
        s->acceptors = more;
    if (!a) {
        close(fd);
        return ERR_NOMEM;
    }
    a->streams = s;
    a->fd = fd;
    if (event_assign(&a->event, s->worker->base, fd, EV_READ | EV_PERSIST, on_accept, a) ||
        event_assign(&a->pause, s->worker->base, -1, 0, on_pause_over, a) || event_add(&a->event, NULL)) {
        close(fd);
        free(a);
        return ERR_IO;
    }
    s->acceptors[s->nacceptors++] = a;
    return 0;
}

void streams_free(struct streams **sp)
{
    struct streams *s = *sp;

    *sp = NULL;
    if (!s)
        return;
    for (uint32_t i = 0; i < s->nslots; i++)
        if (s->slots[i].stream)
            stream_end(s->slots[i].stream);
    for (unsigned i = 0; i < s->nacceptors; i++) {
        event_del(&s->acceptors[i]->event);
        event_del(&s->acceptors[i]->pause);
        close(s->acceptors[i]->fd);
        free(s->acceptors[i]);
    }
    free(s->acceptors);
    free(s->slots);
    free(s);
}
