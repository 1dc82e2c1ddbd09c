/*
 * Purpose:  the client's side: retransmission of a request, and a TURN client's requests, credentials and answers.
 * Owner:    the thread that holds the object. No I/O, no allocation; time is an argument.
 * Lifetime: a client borrows user, password and `struct stun_mac` for as long as it is used; turn_client_deinit wipes the key.
 * Callers:  bench/, probe/, bridge/, tests.
 * RFC:      8489 sections 6.2, 9.2; 8656 sections 7 to 12.
 */
#ifndef STUN_CLIENT_H
#define STUN_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "stun/integrity.h"
#include "stun/msg.h"

/* ---- A transaction: when to send, and when to give up ---- */

enum {
    STUN_RTO_MS = 500, /* RFC 8489 section 6.2.1: sent at 0, 500, 1500, 3500, 7500, 15500 and 31500 ms, */
    STUN_RC = 7,       /* seven times in all, */
    STUN_RM = 16,      /* and given up 16 RTO after the last: 39500 ms. */
    STUN_TI_RTO = 79,  /* Ti in RTO, section 6.2.2: over TCP and TLS sent once, and given up after the same 39500 ms */
};

struct stun_txn {
    uint64_t due_ms; /* the next call of stun_txn_poll that does something; UINT64_MAX while not active */
    uint32_t rto_ms;
    uint8_t sent; /* times sent so far */
    bool reliable;
    uint8_t txid[STUN_TXID_LEN];
};

enum stun_txn_action {
    STUN_TXN_WAIT,
    STUN_TXN_SEND,    /* now: the first time too */
    STUN_TXN_TIMEOUT, /* nobody answered; the transaction is over */
};

/* `rto_ms` 0 means STUN_RTO_MS. The first transmission is due at once. */
void stun_txn_start(struct stun_txn *t, const uint8_t *txid, bool reliable, uint32_t rto_ms, uint64_t now_ms);
enum stun_txn_action stun_txn_poll(struct stun_txn *t, uint64_t now_ms);
/* True, and the transaction is over, when `m` is a success or error answer to it. Call stun_txn_start again for a retry. */
bool stun_txn_match(struct stun_txn *t, const struct stun_msg *m);
void stun_txn_stop(struct stun_txn *t);
bool stun_txn_active(const struct stun_txn *t);

/* ---- A TURN client ---- */

enum turn_client_flags {
    TURN_CLIENT_SHA256 = 1,   /* take part in PASSWORD-ALGORITHMS; without it the client is one of RFC 5389, implicit MD5 */
    TURN_CLIENT_USERHASH = 2, /* USERHASH in place of USERNAME where the server's nonce allows it */
};

enum { TURN_ALGORITHMS_MAX = 64 /* bytes of PASSWORD-ALGORITHMS that are kept to be sent back */ };

struct turn_client {
    const char *user;     /* borrowed, prepared already (OpaqueString) */
    const char *password; /* borrowed */
    struct stun_mac *mac; /* borrowed */
    unsigned flags;

    /* What the last challenge said. */
    char realm[STUN_REALM_MAX + 1];
    uint8_t nonce[STUN_NONCE_MAX];
    size_t nonce_len;
    uint16_t algorithm; /* the chosen one; 0 while implicit */
    uint8_t algorithms[TURN_ALGORITHMS_MAX];
    size_t algorithms_len;
    bool anonymous; /* USERHASH is understood */
    uint8_t key[STUN_KEY_MAX];
    size_t key_len;   /* 0: no challenge yet, requests go out unsigned */
    unsigned retries; /* challenges since the last answer that was none */

    /* What answers gave. */
    struct addr relayed[2];
    size_t nrelayed;
    struct addr mapped;
    struct addr alternate; /* of error 300 */
    uint32_t lifetime_s;
    uint8_t token[STUN_RESERVATION_TOKEN_LEN];
    bool has_token;
    int error; /* the code of the last error answer; 0 after a success */
};

void turn_client_init(struct turn_client *c, struct stun_mac *mac, const char *user, const char *password, unsigned flags);
void turn_client_deinit(struct turn_client *c);

/* What an Allocate asks for; all zero is the plain one: UDP, IPv4 by the server's default, its default lifetime. */
struct turn_allocate {
    uint8_t transport; /* REQUESTED-TRANSPORT; 0 means 17, UDP */
    bool has_lifetime;
    uint32_t lifetime_s;
    enum addr_family family;     /* REQUESTED-ADDRESS-FAMILY */
    enum addr_family additional; /* ADDITIONAL-ADDRESS-FAMILY */
    bool even_port;
    bool reserve;         /* EVEN-PORT with its R bit */
    bool dont_fragment;
    const uint8_t *token; /* RESERVATION-TOKEN, 8 bytes, borrowed; or NULL */
};

/* Each builds one message into `buf` and returns its length, or ERR_NOSPC, ERR_CRYPTO, ERR_AFNOSUPPORT. `txid` is 12 fresh random bytes;
 * a retransmission sends the same bytes again. All but Binding and Send are signed once a challenge is known. */
int turn_client_binding(uint8_t *buf, size_t cap, const uint8_t *txid);
int turn_client_allocate(struct turn_client *c, uint8_t *buf, size_t cap, const uint8_t *txid, const struct turn_allocate *a);
/* `family` ADDR_NONE: no REQUESTED-ADDRESS-FAMILY. Lifetime 0 deletes the allocation. */
int turn_client_refresh(struct turn_client *c, uint8_t *buf, size_t cap, const uint8_t *txid, uint32_t lifetime_s,
                        enum addr_family family);
int turn_client_permission(struct turn_client *c, uint8_t *buf, size_t cap, const uint8_t *txid, const struct addr *peers, size_t n);
int turn_client_channel_bind(struct turn_client *c, uint8_t *buf, size_t cap, const uint8_t *txid, uint16_t number,
                             const struct addr *peer);
int turn_client_send(uint8_t *buf, size_t cap, const uint8_t *txid, const struct addr *peer, const void *data, size_t len,
                     bool dont_fragment);

enum turn_result {
    TURN_SUCCESS, /* the values are in the client */
    TURN_RETRY,   /* a challenge (401, 438) was taken in: build the request again, with a new transaction id */
    TURN_ERROR,   /* `error` has the code; TURN_RETRY would not help */
    TURN_IGNORE,  /* the integrity is missing or wrong, or the challenge is cut down: as if it had never come */
};
/* An answer that belongs to a transaction of this client (stun_txn_match). */
enum turn_result turn_client_answer(struct turn_client *c, const struct stun_msg *m);

/* A Data indication's peer and payload (borrowed). ERR_NOENT: it is none; ERR_MALFORMED. */
int turn_client_data(const struct stun_msg *m, struct addr *peer, const uint8_t **data, size_t *len);

#endif
