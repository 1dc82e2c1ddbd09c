/*
 * Purpose:  one client's connection as the desk sees it: whole text messages, whatever carries them.
 * Owner:    the connect thread.
 * Lifetime: from desk_open to the desk_closed that the carrier calls, whoever closed it.
 * Callers:  connect/desk sends and closes; connect/ws (and the units' fakes) carry.
 * RFC:      6455.
 */
#ifndef CONNECT_LINK_H
#define CONNECT_LINK_H

#include <stddef.h>

enum link_code { /* RFC 6455 section 7.4.1, and from 4000 on our own (docs/connect-protocol.md) */
                 LINK_NORMAL = 1000,
                 LINK_AWAY = 1001,
                 LINK_PROTOCOL = 1002,
                 LINK_NOT_TEXT = 1003,
                 LINK_POLICY = 1008,
                 LINK_UNAUTHORIZED = 4001,
                 LINK_NO_HELLO = 4002,
                 LINK_RESUMED = 4003,
};

enum {
    LINK_MESSAGE_MAX = 65536, /* bytes of a message, either way: an SDP with its candidates has 10 KiB */
    LINK_QUEUE_MAX = 262144,  /* bytes that may wait for a client who does not read */
    LINK_REASON_MAX = 123,    /* bytes of a close frame's reason, RFC 6455 section 5.5 */
};

struct link_ops {
    /* Queues one text message, which is copied. What there is no room for (LINK_QUEUE_MAX) closes the link by itself; after a close it goes nowhere.
     * desk_closed follows later, never from within. */
    void (*send)(void *carrier, const char *text, size_t len);
    /* What waits is sent, then the close frame with a reason for people (cut to LINK_REASON_MAX). desk_closed follows later, never from within; no message of
     * the client's comes any more. */
    void (*close)(void *carrier, enum link_code code, const char *reason);
    /* Bytes that may be queued now: what is longer closes the link. */
    size_t (*room)(void *carrier);
    /* Its hello was good: it is no stranger any more, of whom a source may have a few only. */
    void (*known)(void *carrier);
};

struct link {
    const struct link_ops *ops;
    void *carrier;
};

#endif
