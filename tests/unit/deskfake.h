/*
 * Purpose:  a desk with fake links, a fake clock and a source of a few tokens, and what its clients say and hear.
 * Owner:    one test program.
 * Lifetime: fake_up to fake_down, which each fake_up calls, too.
 * Callers:  tests/unit/test_desk*, test_bridgestatus, test_probes, tests/fuzz/fuzz_rpc.
 * RFC:      docs/connect-protocol.md.
 */
#ifndef TESTS_UNIT_DESKFAKE_H
#define TESTS_UNIT_DESKFAKE_H

#include <jansson.h>

#include "connect/desk.h"
#include "tests/unit/tap.h"

enum { FAKE_CLIENTS = 400, FAKE_WALL = 1800000000, FAKE_TEXT_MAX = 70000 };

struct fake_client {
    struct desk_seat *seat; /* NULL: gone */
    json_t *heard;          /* what it was sent and has not been asked about */
    unsigned nheard;        /* in all */
    size_t waits;           /* bytes that it has not read yet */
    int code;               /* with which it was closed; 0: it was not */
    bool known;
};
extern struct fake_client fake[FAKE_CLIENTS];
extern struct desk *fake_desk;
extern struct auth *fake_auth;
extern struct now fake_now;
extern long fake_json_left; /* pieces of memory that jansson gets before there is none once; negative: there is always some */

/* The source's tokens are called NAME, with the password "pw", and are what FAKE_TOKENS in deskfake.c says. */
extern int64_t fake_expires_at; /* of all of them; 0: never */
extern enum auth_status
    fake_auth_is; /* AUTH_OK: as the tokens are; AUTH_PENDING: they are asked for, fake_auth_answers brings the answer */
extern unsigned fake_forgotten; /* revocations that the source was told of */
extern unsigned fake_cancelled; /* questions */
void fake_auth_answers(void);

/* ICE servers: at once they are wanted by one more; fake_ice_comes brings all of them, or that there are none. */
extern unsigned fake_ice_wanted, fake_ice_retracted;
extern bool fake_ice_refuses,
    fake_ice_waits; /* it has no room; it waits for fake_ice_comes, and does not come at the next fake_pass */
void fake_ice_comes(bool good);
/* Where a side of a call relays, of which call, as the host was told last; and how often. */
extern char fake_relayed[ADDR_TEXT_MAX], fake_relayed_call[64];
extern unsigned fake_nrelayed;

bool fake_up(void);
void fake_down(void);
/* Client `i` connects. */
void fake_open(int i);
/* The connection of client `i` is gone. */
void fake_gone(int i);
/* Says it, with ' for ", and brings the ICE servers that are wanted then. */
void fake_say(int i, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The next thing that it has heard, without blanks and with ' for "; "" nothing. Good until the next call. */
const char *fake_hears(int i);
/* Does it contain this text? */
bool fake_hears_of(int i, const char *part);
/* The same, after whatever else it hears before. */
bool fake_hears_at_last(int i, const char *part);
/* A text member of the result or the params of what was heard last; "" if there is none. */
const char *fake_member(const char *name);
const json_t *fake_member_json(const char *name);
/* Opens, says hello and hears the answer. */
bool fake_hello(int i, const char *token, const char *role);
/* Says hello for a session that it has, where it is open. */
void fake_resume(int i, const char *token, const char *role, const char *session, const char *secret);
/* What is in this text, with ' for "; the caller's. NULL: it is no JSON. */
json_t *fake_json(const char *text);
/* Time goes on, and the desk's tick with it. */
void fake_after(unsigned ms);

#endif
