#include "relay/request.h"

#include <string.h>

#include "relay/source.h"

static void begin(const struct request *r, struct stun_out *o, uint8_t *buf, enum stun_class class)
{
    stun_begin(o, buf, ANSWER_MAX, class, r->msg->method, r->msg->txid);
}

void request_success(const struct request *r, struct stun_out *o, uint8_t buf[static ANSWER_MAX])
{
    begin(r, o, buf, STUN_SUCCESS);
}

void request_send(const struct request *r, struct stun_out *o)
{
    struct shard *s = r->s;
    int len;

    if (s->settings.software[0])
        stun_put(o, STUN_ATTR_SOFTWARE, s->settings.software, strlen(s->settings.software));
    if (r->who && r->sign_sha256)
        stun_put_sha256(o, s->mac, r->who->keys[r->key], r->who->key_len);
    else if (r->who)
        stun_put_sha1(o, s->mac, r->who->keys[r->key], r->who->key_len);
    if (stun_find(r->msg, STUN_ATTR_FINGERPRINT))
        stun_put_fingerprint(o);
    len = stun_end(o);
    if (len < 0 || s->net->client_send(s->net_ctx, r->by ? r->by : r->from, o->w.buf, (size_t)len, 0) < 0)
        count(s->counters, DROP_CLIENT_SEND);
}

static enum count_method method_of(const struct request *r)
{
    static const uint16_t NUMBERS[COUNT_METHODS] = {[METHOD_BINDING] = STUN_BINDING,
                                                    [METHOD_ALLOCATE] = STUN_ALLOCATE,
                                                    [METHOD_REFRESH] = STUN_REFRESH,
                                                    [METHOD_CREATE_PERMISSION] = STUN_CREATE_PERMISSION,
                                                    [METHOD_CHANNEL_BIND] = STUN_CHANNEL_BIND};
    enum count_method m = METHOD_BINDING;

    while (NUMBERS[m] != r->msg->method) /* a request of any other is none of ours (C2) */
        m++;
    return m;
}

void request_count(const struct request *r, enum count_result result, int code)
{
    static const enum counter OF_ALL[COUNT_RESULTS] = {
        [RESULT_SUCCESS] = COUNT_SUCCESSES, [RESULT_CHALLENGE] = COUNT_CHALLENGES, [RESULT_ERROR] = COUNT_ERRORS};
    enum count_method method = method_of(r);

    count(r->s->counters, OF_ALL[result]);
    count(r->s->counters, count_request(method, result));
    if (method == METHOD_ALLOCATE)
        count(r->s->counters, count_code(code));
}

static void report(const struct request *r, int code, const char *detail)
{
    request_count(r, RESULT_ERROR, code);
    r->s->net->event(r->s->net_ctx, &(struct relay_event_info){.event = EVENT_REQUEST_REFUSED,
                                                               .path = r->from,
                                                               .method = stun_method_name(r->msg->method),
                                                               .user = r->who ? r->who->name : NULL,
                                                               .code = code,
                                                               .detail = detail});
}

void request_refuse(const struct request *r, int code, const char *detail)
{
    uint8_t buf[ANSWER_MAX];
    struct stun_out o;

    if (!r->paid && !source_allow(r->s, &r->from->client))
        return;
    begin(r, &o, buf, STUN_ERROR);
    stun_put_error(&o, code);
    report(r, code, detail);
    request_send(r, &o);
}

void request_redirect(const struct request *r, const struct addr *to, const char *detail)
{
    uint8_t buf[ANSWER_MAX];
    struct stun_out o;

    begin(r, &o, buf, STUN_ERROR);
    stun_put_error(&o, STUN_E_TRY_ALTERNATE);
    stun_put_addr(&o, STUN_ATTR_ALTERNATE_SERVER, to);
    report(r, STUN_E_TRY_ALTERNATE, detail);
    request_send(r, &o);
}

void request_refuse_unknown(const struct request *r, const uint16_t *types, size_t n)
{
    uint8_t buf[ANSWER_MAX];
    struct stun_out o;

    if (!r->paid && !source_allow(r->s, &r->from->client))
        return;
    begin(r, &o, buf, STUN_ERROR);
    stun_put_error(&o, STUN_E_UNKNOWN_ATTRIBUTE);
    stun_put_unknown(&o, types, n);
    report(r, STUN_E_UNKNOWN_ATTRIBUTE, "unknown attribute");
    request_send(r, &o);
}

struct alloc *request_alloc(const struct request *r)
{
    struct alloc *a = alloc_find(r->s, r->from);

    if (!a) {
        request_refuse(r, STUN_E_ALLOCATION_MISMATCH, "no allocation for this 5-tuple"); /* C53 */
        return NULL;
    }
    if (strcmp(a->user->name, r->who->name) != 0) {
        request_refuse(r, STUN_E_WRONG_CREDENTIALS, "another user's allocation"); /* C33 */
        return NULL;
    }
    return a;
}
