/*
 * Purpose:  the client's side of STUN and TURN: retransmission, requests that are signed, answers that are checked. No I/O.
 * Owner:    one thread each; time is an argument.
 * Lifetime: plain values; a turn_client borrows user, password and MAC, and turn_client_deinit wipes its key.
 * Callers:  bench/, probe/, tests.
 * RFC:      8489 sections 6.2.1 (retransmission), 9.2.3, 9.2.5 (credentials); 8656 sections 7 to 12.
 */
#ifndef STUN_CLIENT_H
#define STUN_CLIENT_H

#include "stun/integrity.h"
#include "stun/msg.h"

enum {
    STUN_RTO_MS = 500,                /* RFC 8489 section 6.2.1 */
    STUN_RC = 7,                      /* sends */
    STUN_RM = 16,                     /* RTOs waited after the last send */
    STUN_RELIABLE_TIMEOUT_MS = 39500, /* Ti, section 6.2.2 */
};

/* One transaction: when to send, and when to give up. */
struct stun_txn {
    uint8_t txid[STUN_TXID_LEN];
    uint32_t rto_ms;
    bool reliable; /* a stream: sent once */
    unsigned sends;
    uint64_t due_ms; /* the next send, or the end */
};
/* A random transaction id; the first send is due at once. */
void stun_txn_start(struct stun_txn *t, uint32_t rto_ms, bool reliable, uint64_t now_ms);
enum stun_txn_step { STUN_TXN_WAIT, STUN_TXN_SEND, STUN_TXN_TIMEOUT };
/* What to do now. STUN_TXN_SEND is said once for each send; `due_ms` is when to ask again. */
enum stun_txn_step stun_txn_step(struct stun_txn *t, uint64_t now_ms);
/* Is this the transaction's answer (a success or an error)? */
bool stun_txn_matches(const struct stun_txn *t, const struct stun_msg *m);

enum turn_client_flags {
    TURN_CLIENT_PLAIN_MD5 = 1,   /* a client of RFC 5389: PASSWORD-ALGORITHMS mean nothing to it */
    TURN_CLIENT_USERHASH = 2,    /* USERHASH in place of USERNAME where the server's nonce allows it */
    TURN_CLIENT_FINGERPRINT = 4, /* requests carry FINGERPRINT, and so do the answers then: what is changed on the way is seen */
};

/* A user towards one server, over one 5-tuple. */
struct turn_client {
    const char *user;     /* borrowed; NULL: Binding only */
    const char *password; /* borrowed */
    struct stun_mac *mac; /* borrowed */
    unsigned flags;       /* 0 after turn_client_init; may be set then */
    bool challenged;      /* realm, nonce and key are known: requests are signed. False again makes a new client of it */
    bool anonymous;       /* the server takes USERHASH, and we have the flag */
    unsigned retries;     /* challenges since the last other answer */
    uint16_t algorithm;   /* chosen of PASSWORD-ALGORITHMS; 0: none are in use, implicit MD5 */
    char realm[STUN_REALM_MAX + 1];
    uint8_t nonce[STUN_NONCE_MAX];
    size_t nonce_len;
    uint8_t algorithms[64]; /* PASSWORD-ALGORITHMS as received: sent back byte for byte */
    size_t algorithms_len;
    uint8_t key[STUN_KEY_MAX];
    size_t key_len;
};
void turn_client_init(struct turn_client *c, const char *user, const char *password, struct stun_mac *mac);
void turn_client_deinit(struct turn_client *c);

/* What a request carries; zero is "without". */
struct turn_params {
    uint8_t transport; /* REQUESTED-TRANSPORT of an Allocate; 0 is UDP */
    bool with_lifetime;
    uint32_t lifetime_s;
    uint8_t family;            /* REQUESTED-ADDRESS-FAMILY: enum addr_family */
    uint8_t additional_family; /* ADDITIONAL-ADDRESS-FAMILY */
    bool even_port, reserve_next;
    bool dont_fragment;
    const uint8_t *token; /* RESERVATION-TOKEN, 8 bytes */
    const struct addr *peers;
    size_t npeers;
    uint16_t channel;
    uint32_t change; /* CHANGE-REQUEST of a Binding: enum stun_change */
};
/* Builds an Allocate, Refresh, CreatePermission, ChannelBind or Binding. The length, or ERR_NOSPC, ERR_CRYPTO. */
int turn_request(const struct turn_client *c, uint8_t *buf, size_t cap, enum stun_method method, const uint8_t *txid,
                 const struct turn_params *params);
/* A Send indication. The length, or ERR_NOSPC. */
int turn_send_indication(uint8_t *buf, size_t cap, const uint8_t *txid, const struct addr *peer, const void *data, size_t len);

enum turn_outcome {
    TURN_SUCCESS,
    TURN_RETRY,  /* challenged, or a stale nonce: send the request again, with a new transaction */
    TURN_FAILED, /* an error answer: `code` */
    TURN_BOGUS,  /* integrity is missing or wrong, or a challenge is cut down: go on waiting, nothing has changed */
};
struct turn_answer {
    int code;               /* 0, or the error code */
    struct addr relayed[2]; /* IPv4, IPv6; ADDR_NONE: not there */
    struct addr mapped;
    struct addr alternate; /* of code 300 */
    struct addr other;     /* OTHER-ADDRESS of a Binding: where the server could answer from instead */
    uint32_t lifetime_s;
    bool has_token;
    uint8_t token[STUN_RESERVATION_TOKEN_LEN];
};
/* Reads the answer to a request of this client. A second 401 in the same realm is TURN_FAILED: the credentials are
 * wrong. An error answer may be unsigned: what a server refuses before it knows the user, it cannot sign. */
enum turn_outcome turn_read(struct turn_client *c, const struct stun_msg *m, struct turn_answer *out);

#endif
