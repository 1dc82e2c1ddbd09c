/* RFC 8489 section 9.2.4, "Receiving a Request", in its order; but a nonce that is not ours ends it before anything is looked up (C30). */
#include <string.h>

#include <openssl/crypto.h>

#include "base/err.h"
#include "relay/request.h"
#include "relay/source.h"
#include "stun/integrity.h"

/* The security features that our nonces announce (C19). */
static uint32_t features(const struct shard *s)
{
    return (auth_can_sha256(s->auth) ? NONCE_PASSWORD_ALGORITHMS : 0) | (auth_can_userhash(s->auth) ? NONCE_USERNAME_ANONYMITY : 0);
}

/* PASSWORD-ALGORITHMS as we send it: SHA-256 preferred, MD5 for the rest; each with no parameters. */
static const uint16_t ALGORITHMS[] = {STUN_ALG_SHA256, STUN_ALG_MD5};
static const uint8_t ALGORITHMS_VALUE[] = {0, STUN_ALG_SHA256, 0, 0, 0, STUN_ALG_MD5, 0, 0};

void request_challenge(const struct request *r, int code, const char *detail)
{
    struct shard *s = r->s;
    const char *realm = auth_realm(s->auth);
    uint8_t buf[ANSWER_MAX], nonce[NONCE_LEN];
    struct stun_out o;
    struct request unsigned_request = *r;

    unsigned_request.who = NULL;
    if (!r->paid && !source_allow(s, &r->from->client))
        return;
    if (nonce_make(s->nonce_key, s->mac, &r->from->client, (uint8_t)r->from->transport, features(s), s->now.ms, nonce)) {
        count(s->counters, DROP_NO_MEMORY);
        return;
    }
    stun_begin(&o, buf, sizeof(buf), STUN_ERROR, r->msg->method, r->msg->txid);
    stun_put_error(&o, code);
    stun_put(&o, STUN_ATTR_REALM, realm, strlen(realm));
    stun_put(&o, STUN_ATTR_NONCE, nonce, sizeof(nonce));
    if (features(s) & NONCE_PASSWORD_ALGORITHMS)
        stun_put_algorithms(&o, ALGORITHMS, sizeof(ALGORITHMS) / sizeof(ALGORITHMS[0]));
    request_count(r, RESULT_CHALLENGE, code);
    if (detail) /* the first request of every client is challenged: no event for that */
        s->net->event(s->net_ctx, &(struct relay_event_info){.event = EVENT_REQUEST_REFUSED,
                                                             .path = r->from,
                                                             .method = stun_method_name(r->msg->method),
                                                             .code = code,
                                                             .detail = detail});
    request_send(&unsigned_request, &o);
}

/* C20: both algorithm attributes, the list as we sent it, the choice out of it; or neither, which means MD5. */
static bool choose_algorithm(const struct request *r, enum stun_password_algorithm *out)
{
    const struct stun_attr *list = stun_find(r->msg, STUN_ATTR_PASSWORD_ALGORITHMS);
    const struct stun_attr *choice = stun_find(r->msg, STUN_ATTR_PASSWORD_ALGORITHM);

    *out = STUN_ALG_MD5;
    if (!(features(r->s) & NONCE_PASSWORD_ALGORITHMS) || (!list && !choice))
        return true;
    if (!list || !choice || list->len != sizeof(ALGORITHMS_VALUE) || memcmp(list->value, ALGORITHMS_VALUE, list->len) != 0)
        return false;
    if (choice->len != 4 || choice->value[0] || choice->value[2] || choice->value[3])
        return false;
    *out = choice->value[1];
    return *out == STUN_ALG_MD5 || *out == STUN_ALG_SHA256;
}

/* S15: the user part, or an expiry that changes would make each try another user's; and the source. */
static uint64_t pair_of(const struct request *r, const struct auth_request *q)
{
    size_t len = STUN_USERHASH_LEN;
    const void *user = q->user ? auth_user_part(r->s->auth, q->user, &len) : (const void *)q->userhash;

    return throttle_pair(r->s->throttle, user, len, &r->from->client);
}

void authenticate_failed(const struct request *r, enum count_failure why, const char *user)
{
    struct shard *s = r->s;

    count(s->counters, count_failure(why));
    s->net->event(s->net_ctx, &(struct relay_event_info){
                                  .event = EVENT_AUTH_FAILED, .path = r->from, .user = user, .detail = count_failure_name(why)});
}

void authenticate_throttled(const struct request *r)
{
    count(r->s->counters, DROP_THROTTLED);
    count(r->s->counters, count_failure(FAILURE_THROTTLED)); /* that the pair has fallen silent was told then */
}

/* For people. Both questions are asked of each request, so that nobody learns the answer from the time (S14). */
static enum count_failure why_wrong(const struct request *r, const struct auth_answer *answer)
{
    const struct stun_attr *user = stun_find(r->msg, STUN_ATTR_USERNAME);
    char name[STUN_USERNAME_MAX + 1];
    bool over = user && auth_opaque_string(name, sizeof(name), (const char *)user->value, user->len) == 0 &&
                auth_is_over(r->s->auth, name, r->s->now.wall);

    return answer->status == AUTH_OK ? FAILURE_WRONG_PASSWORD : over ? FAILURE_EXPIRED : FAILURE_UNKNOWN_USER;
}

/* The answer is the same whether the user is unknown or the password wrong (C27, S14), and so is what it counts for the throttle. */
static void wrong_credentials(const struct request *r, const struct auth_answer *answer)
{
    struct shard *s = r->s;
    const char *known = answer->status == AUTH_OK ? answer->name : NULL;
    bool silenced = throttle_failure(s->throttle, r->pair, s->now.ms);

    authenticate_failed(r, why_wrong(r, answer), known);
    request_challenge(r, STUN_E_UNAUTHENTICATED, "wrong credentials");
    if (silenced)
        s->net->event(s->net_ctx, &(struct relay_event_info){.event = EVENT_THROTTLED, .path = r->from, .user = known});
}

/* F13: no fault of the client's, which must not be counted as one (S15). */
static const char CANNOT_CHECK[] = "integrity cannot be checked now";

bool authenticate_question(struct request *r, struct auth_request *question, char name[static STUN_USERNAME_MAX + 1])
{
    const struct stun_msg *m = r->msg;
    const struct stun_attr *user = stun_find(m, STUN_ATTR_USERNAME), *hash = stun_find(m, STUN_ATTR_USERHASH);
    const struct stun_attr *realm = stun_find(m, STUN_ATTR_REALM), *nonce = stun_find(m, STUN_ATTR_NONCE);
    const char *own_realm = auth_realm(r->s->auth);
    int err;

    if (!stun_find(m, STUN_ATTR_MESSAGE_INTEGRITY) && !stun_find(m, STUN_ATTR_MESSAGE_INTEGRITY_SHA256)) {
        request_challenge(r, STUN_E_UNAUTHENTICATED, NULL); /* C16 */
        return false;
    }
    if ((!user && !hash) || !realm || !nonce) {
        request_refuse(r, STUN_E_BAD_REQUEST, "integrity without user name, realm or nonce"); /* C17 */
        return false;
    }
    err = nonce_check(r->s->nonce_key, r->s->mac, &r->from->client, (uint8_t)r->from->transport, features(r->s), r->s->now.ms,
                      nonce->value, nonce->len);
    if (err == ERR_CRYPTO) {
        request_refuse(r, STUN_E_SERVER_ERROR, CANNOT_CHECK);
        return false;
    }
    if (err) {
        request_challenge(r, STUN_E_STALE_NONCE, NULL); /* C21, C28, C30 */
        return false;
    }
    if (!choose_algorithm(r, &question->algorithm)) {
        request_refuse(r, STUN_E_BAD_REQUEST, "password algorithms differ from those offered");
        return false;
    }
    if (realm->len != strlen(own_realm) || memcmp(realm->value, own_realm, realm->len) != 0) {
        authenticate_failed(r, FAILURE_REALM, NULL);
        request_challenge(r, STUN_E_UNAUTHENTICATED, "another realm");
        return false;
    }
    if (user && user->len <= STUN_USERNAME_MAX &&
        auth_opaque_string(name, STUN_USERNAME_MAX + 1, (const char *)user->value, user->len) == 0) {
        question->user = name;
    } else if (!user && hash->len == STUN_USERHASH_LEN && auth_can_userhash(r->s->auth)) {
        question->userhash = hash->value;
    } else {
        authenticate_failed(r, FAILURE_UNREADABLE, NULL);
        request_challenge(r, STUN_E_UNAUTHENTICATED, "unreadable user name");
        return false;
    }
    r->pair = pair_of(r, question);
    if (throttle_silent(r->s->throttle, r->pair, r->s->now.ms)) {
        authenticate_throttled(r);
        return false;
    }
    r->paid = source_allow(r->s, &r->from->client); /* before it costs a look-up: made-up names are each a new one */
    return r->paid;
}

/* C22: -SHA256 alone decides where it is present. */
static int check(const struct request *r, const uint8_t *key, size_t len)
{
    if (stun_find(r->msg, STUN_ATTR_MESSAGE_INTEGRITY_SHA256))
        return stun_check_sha256(r->s->mac, r->msg, key, len);
    return stun_check_sha1(r->s->mac, r->msg, key, len);
}

bool authenticate_answer(struct request *r, const struct auth_answer *answer)
{
    static const uint8_t NOBODY[STUN_KEY_MAX];
    bool unchecked = false;
    int err;
    size_t fits = SIZE_MAX, nkeys = answer->status == AUTH_OK ? answer->nkeys : 0, tries = auth_tries(r->s->auth);

    if (answer->status == AUTH_UNAVAILABLE) {
        authenticate_failed(r, FAILURE_UNAVAILABLE, NULL);
        request_refuse(r, STUN_E_SERVER_ERROR, "credentials cannot be looked up now");
        return false;
    }
    /* An unknown user costs what a wrong password costs, and gets the same answer (C27, S14). */
    for (size_t i = 0; i < nkeys || i < tries; i++) {
        err = i < nkeys ? check(r, answer->keys[i], answer->key_len) : check(r, NOBODY, STUN_MD5_KEY_LEN);
        if (err == 0 && i < nkeys && fits == SIZE_MAX)
            fits = i;
        unchecked = unchecked || err == ERR_CRYPTO;
    }
    if (unchecked) {
        request_refuse(r, STUN_E_SERVER_ERROR, CANNOT_CHECK);
        return false;
    }
    if (fits == SIZE_MAX) {
        wrong_credentials(r, answer);
        return false;
    }
    r->who = answer;
    r->key = fits;
    r->sign_sha256 = stun_find(r->msg, STUN_ATTR_PASSWORD_ALGORITHM) && (features(r->s) & NONCE_PASSWORD_ALGORITHMS); /* C29 */
    return true;
}
