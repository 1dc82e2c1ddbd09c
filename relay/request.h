/*
 * Purpose:  one request on its way through turn, authenticate, and the handler of its method.
 * Owner:    the worker; lives on its stack. What has to wait is copied into relay/park.
 * Lifetime: one call.
 * Callers:  relay/turn, relay/authenticate, relay/allocate, relay/bind. Private to them.
 * RFC:      8489 section 6.3.1, 8656 sections 7 to 12.
 */
#ifndef RELAY_REQUEST_H
#define RELAY_REQUEST_H

#include "relay/alloc.h"
#include "stun/msg.h"

enum {
    ANSWER_MAX = 1280, /* bytes; our answers stay below 548 (C11) but for a realm of extreme length */
    UNKNOWN_MAX = STUN_ATTRS_MAX,
};

/* A port that another worker gave up for this request's RESERVATION-TOKEN. */
enum redemption { REDEEM_NOT_ASKED, REDEEM_GRANTED, REDEEM_REFUSED };

struct request {
    struct shard *s;
    const struct path *from;
    const struct path *by; /* the way that the answer goes, if it is another one; NULL: back where the request came */
    const struct stun_msg *msg;
    bool paid;                     /* its source's token is taken, for the look-up and the answer alike */
    uint64_t pair;                 /* of its user and source, for base/throttle */
    const struct auth_answer *who; /* NULL until authenticated; then answers are signed */
    size_t key;                    /* which of its keys fits */
    bool sign_sha256;              /* C29 */
    struct parked *context;        /* where it waits, or would wait */
    const uint8_t *token;          /* with VERDICT_WAIT_TOKEN; in `msg` */
    enum redemption redemption;
    struct claimed redeemed;          /* with REDEEM_GRANTED; nulled by who takes it */
    struct auth_bandwidth *bandwidth; /* its share of the quotas is counted; nulled by who takes it. NULL: it is not */
    uint64_t bps;                     /* of that share */
    enum auth_quota_result quota;     /* with a share: what the fleet has said about it */
    struct auth_quota_ticket *asked;  /* with VERDICT_WAIT_QUOTA */
};

/* What is to become of it. */
enum verdict {
    VERDICT_DONE,
    VERDICT_WAIT_TOKEN, /* `r` waits for the worker that r->token names, which is asked when it is parked */
    VERDICT_WAIT_QUOTA, /* `r` waits for the fleet; r->asked is the ticket */
};

/* Building and sending answers. A success: begin, put attributes, send. */
void request_success(const struct request *r, struct stun_out *o, uint8_t buf[static ANSWER_MAX]);
void request_send(const struct request *r, struct stun_out *o);
/* Counts what it came to; `code` is the error's, 0 with RESULT_SUCCESS. */
void request_count(const struct request *r, enum count_result result, int code);
/* An error answer: signed when the request is authenticated. `detail` is for the log. */
void request_refuse(const struct request *r, int code, const char *detail);
/* 300: the client is to go to another server (C34: only after valid integrity). */
void request_redirect(const struct request *r, const struct addr *to, const char *detail);
/* 420 with these types. */
void request_refuse_unknown(const struct request *r, const uint16_t *types, size_t n);
/* 401 or 438 with REALM, NONCE and what belongs to them, unsigned. */
void request_challenge(const struct request *r, int code, const char *detail);

/* RFC 8489 section 9.2.4 up to the look-up: true when `question` is to be asked; otherwise the request has been answered. `name` is the
 * prepared user name's room. */
bool authenticate_question(struct request *r, struct auth_request *question, char name[static STUN_USERNAME_MAX + 1]);
/* The rest of it, with the answer: true when the integrity fits and r->who is set; otherwise the request has been answered. */
bool authenticate_answer(struct request *r, const struct auth_answer *answer);

/* Counts and tells a credential that was not believed; `user` is NULL when there is none of that name: people mistype passwords as names. */
void authenticate_failed(const struct request *r, enum count_failure why, const char *user);
/* S15: it is not answered. */
void authenticate_throttled(const struct request *r);

enum verdict allocate_on_allocate(struct request *r);
enum verdict allocate_on_refresh(struct request *r);
enum verdict bind_on_create_permission(struct request *r);
enum verdict bind_on_channel_bind(struct request *r);
/* An indication: `raw` is the datagram, writable, with room around it. */
void bind_on_send(struct shard *s, const struct path *from, const struct stun_msg *msg, uint8_t *raw, uint8_t tos);

/* The allocation of this 5-tuple, if the request's user made it; otherwise 437 or 441 has been sent, and NULL. */
struct alloc *request_alloc(const struct request *r);

#endif
