/*
 * Purpose:  a TURN client for tests: builds requests with stun/, signs them, checks and reads the answers.
 * Owner:    one test.
 * Lifetime: a plain value; no clean-up. Needs its fakenet.
 * Callers:  tests/unit/test_*.c of relay/.
 * RFC:      8489 section 9.2.3, 8656.
 */
#ifndef TESTS_UNIT_CLIENT_H
#define TESTS_UNIT_CLIENT_H

#include "stun/channel.h"
#include "stun/msg.h"
#include "tests/unit/fakenet.h"

enum {
    CLIENT_REQUEST_MAX = 66000,
    CLIENT_ANSWER_MAX = 2048,
    CLIENT_V4 = 1U << 24, /* an attribute that names a family, as a number */
    CLIENT_V6 = 2U << 24,
    NO_ANSWER = -1,  /* instead of an error code */
    ODD_ANSWER = -2, /* an answer that no server may send; counted as a violation */
};

enum client_sign {
    SIGN_SHA1,   /* neither algorithm attribute: MD5 and MESSAGE-INTEGRITY */
    SIGN_SHA256, /* PASSWORD-ALGORITHM SHA-256 and MESSAGE-INTEGRITY-SHA256 */
    SIGN_MD5,    /* PASSWORD-ALGORITHM MD5 and MESSAGE-INTEGRITY-SHA256 */
};

struct client {
    struct fakenet *net;
    unsigned worker;
    struct path path;
    const char *user, *password;
    char rest_password[32];
    enum client_sign sign;
    bool userhash; /* USERHASH instead of USERNAME */
    char realm[STUN_REALM_MAX + 1];
    uint8_t nonce[STUN_NONCE_MAX];
    size_t nonce_len; /* 0: none yet */
    uint32_t next_txid;
    uint8_t txid[STUN_TXID_LEN];
    struct stun_out o; /* the request that is being built */
    uint8_t request[CLIENT_REQUEST_MAX];
    uint8_t answer_bytes[CLIENT_ANSWER_MAX];
    struct stun_msg answer; /* the last one; borrows answer_bytes */
    size_t answer_len;
    int signed_with;        /* 0: the last answer was not signed; 1 and 256: by which */
    struct addr relayed[2]; /* of the last success of an Allocate: [0] the first, [1] the second address */
    uint32_t lifetime;      /* of the last answer that had one */
};

/* "alice" with her password, at this address of the client, to 7.7.7.7:3478 (or [2a07::7]:3478). */
void client_init(struct client *c, struct fakenet *f, unsigned worker, const char *address, enum transport transport);
/* As "bob". */
void client_be_bob(struct client *c);
/* A net with these options, and the two that most tests need, on its first worker. */
void client_pair(struct client *alice, struct client *bob, struct fakenet *f, const struct fake_options *o);
/* As a user of a shared secret: `name` is "expiry:user" or so; borrowed. */
void client_be_rest(struct client *c, const char *name, const char *secret);

/* Building: begin, stun_put*(&c->o, ...), then one of the three. A new transaction id each; client_again keeps the last one. */
void client_begin(struct client *c, enum stun_class class, uint16_t method);
void client_again(struct client *c, enum stun_class class, uint16_t method);
/* Adds the credentials: user, realm, nonce and integrity. */
void client_put_identity(struct client *c);
void client_put_integrity(struct client *c);
/* The key of the user and password, for the algorithm in use. Returns its length. */
size_t client_key(const struct client *c, uint8_t key[static STUN_KEY_MAX]);
/* Sends what has been built as it is, and reads the answer: 0 for a success, the error code, NO_ANSWER or ODD_ANSWER. */
int client_send(struct client *c);
/* With credentials. */
int client_ask(struct client *c);
/* The next message of the server to this client: as client_send; for an indication its method. */
int client_answer(struct client *c);
/* Any bytes. Returns what fake_from_client does. */
int client_raw(struct client *c, const void *bytes, size_t len, uint8_t tos);
/* One further answer of the same kind? None must be left. */
bool client_quiet(struct client *c);

/* Whole transactions. */
int client_greet(struct client *c); /* an Allocate without credentials: 401, and realm and nonce are remembered */
void client_begin_allocate(struct client *c);
int client_allocate(struct client *c);                                     /* greets first if there is no nonce */
int client_allocate_with(struct client *c, uint16_t type, uint32_t value); /* with one attribute of 32 bits more */
int client_allocate_for(struct client *c, uint32_t lifetime);
int client_finish_allocate(struct client *c); /* asks what client_begin_allocate began, and reads relayed addresses */
int client_refresh(struct client *c, uint32_t lifetime);
int client_permit(struct client *c, const char *peer);
int client_bind(struct client *c, uint16_t number, const char *peer);
void client_say(struct client *c, const char *peer, const void *data, size_t len); /* Send indication */
int client_channel(struct client *c, uint16_t number, const void *data, size_t len,
                   uint8_t tos); /* ChannelData, padded on streams */

/* What the server has sent to this client as application data: the payload arrived from `peer` over this channel (0: as a Data
 * indication)? Takes it. */
bool client_got(struct client *c, const char *peer, uint16_t channel, const void *data, size_t len);
/* The next thing to any peer is this, from this client's relayed address. */
bool client_sent(struct client *c, const char *peer, const void *data, size_t len);

uint32_t client_get_u32(const struct client *c, uint16_t type, uint32_t missing);

#endif
