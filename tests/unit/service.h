/*
 * Purpose:  a connect service that does what its script says, on the tests' own loop; and a proxy before it.
 * Owner:    one test program.
 * Lifetime: service_listen to service_close.
 * Callers:  tests/unit/.
 * RFC:      6455.
 */
#ifndef TESTS_UNIT_SERVICE_H
#define TESTS_UNIT_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

struct bufferevent;
struct event_base;
struct ssl_ctx_st;

enum { SERVICE_NOTES_MAX = 32, SERVICE_NOTE_MAX = 512 };

struct service {
    /* What it does with the next connections. */
    bool proxy; /* is a proxy first: answers CONNECT by `proxy_status` */
    int proxy_status;
    int status; /* instead of the upgrade; 0: upgrade */
    bool bad_accept;
    const char *subprotocol; /* instead of ours; NULL: ours */
    bool garbage;            /* answers with no HTTP at all */
    const char *hello;       /* the answer's members behind the id */
    const char *resumed;     /* the same to a hello with `resume`; NULL: as hello */
    bool answers;            /* other requests are answered */
    /* What has come. */
    unsigned port, hellos, nheard;
    char heard[SERVICE_NOTES_MAX][SERVICE_NOTE_MAX]; /* what clients have sent, but their hello */
    char last_hello[SERVICE_NOTE_MAX], connect_head[SERVICE_NOTE_MAX];
    struct ssl_ctx_st *tls; /* NULL: plain */
};
extern struct service service;

/* Begins anew, or at the port of before (0: a free one, and nothing is remembered). */
bool service_listen(struct event_base *base, unsigned port);
/* Nobody can connect any more. */
void service_deafen(void);
void service_close(void);
/* To the last connection: a text message; bytes as they are; its end, without a word (0) or with a close code. */
void service_say(const char *text);
void service_write(const void *bytes, size_t len);
void service_cut(unsigned code);
/* From now on there is TLS, with a certificate for this name ("DNS:localhost"), which is written into the file. */
bool service_certificate(const char *name, const char *file);

#endif
