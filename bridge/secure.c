#include "bridge/secure.h"

#include <limits.h>
#include <srtp2/srtp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/wire.h"

enum {
    RTP_SSRC_AT = 8, /* bytes before the SSRC of RTP, and of RTCP's sender */
    RTCP_SSRC_AT = 4,
    RTP_MIN = 12,
    RTCP_MIN = 8,
};

struct secure {
    srtp_t in, out;
    uint32_t sources[SECURE_SOURCES_MAX]; /* that have shown a packet under the key */
    unsigned nsources;
};

static const struct {
    srtp_profile_t profile;
    size_t key, salt; /* bytes */
} profiles[] = {
    [SECURE_AES_CM_SHA1_80] = {srtp_profile_aes128_cm_sha1_80, 16, 14},
    [SECURE_AEAD_AES_128_GCM] = {srtp_profile_aead_aes_128_gcm, 16, 12},
};
_Static_assert(SECURE_TRAILER_MAX >= SRTP_MAX_TRAILER_LEN + 4, "SRTCP adds its index to the trailer");

/* libsrtp's one state of the process lives while there are sessions. */
static unsigned users;

size_t secure_key_len(enum secure_profile profile)
{
    return profiles[profile].key;
}

size_t secure_salt_len(enum secure_profile profile)
{
    return profiles[profile].salt;
}

static int mapped(srtp_err_status_t status)
{
    static const int errs[] = {
        [srtp_err_status_alloc_fail] = ERR_NOMEM,    [srtp_err_status_auth_fail] = ERR_INTEGRITY,
        [srtp_err_status_replay_fail] = ERR_STALE,   [srtp_err_status_replay_old] = ERR_STALE,
        [srtp_err_status_bad_param] = ERR_TRUNCATED, [srtp_err_status_parse_err] = ERR_TRUNCATED,
    };
    if (status == srtp_err_status_ok)
        return 0;
    return (size_t)status < sizeof(errs) / sizeof(errs[0]) && errs[status] ? errs[status] : ERR_CRYPTO;
}

static int session(srtp_t *out, enum secure_profile profile, uint8_t *key, srtp_ssrc_type_t ssrc)
{
    srtp_policy_t policy;
    srtp_err_status_t status;

    memset(&policy, 0, sizeof(policy));
    status = srtp_crypto_policy_set_from_profile_for_rtp(&policy.rtp, profiles[profile].profile);
    if (status == srtp_err_status_ok)
        status = srtp_crypto_policy_set_from_profile_for_rtcp(&policy.rtcp, profiles[profile].profile);
    policy.ssrc.type = ssrc;
    policy.key = key;
    policy.window_size = SECURE_WINDOW;
    if (status == srtp_err_status_ok)
        status = srtp_create(out, &policy);
    return mapped(status);
}

int secure_new(struct secure **out, const struct secure_keys *keys)
{
    struct secure_keys copy = *keys; /* libsrtp's key isn't const */
    struct secure *s = calloc(1, sizeof(*s));
    int err = ERR_NOMEM;

    if (!s)
        goto out;
    if (users++ == 0 && srtp_init() != srtp_err_status_ok) {
        err = ERR_CRYPTO;
        goto out;
    }
    err = session(&s->out, keys->profile, copy.local, ssrc_any_outbound);
    err = err ? err : session(&s->in, keys->profile, copy.remote, ssrc_any_inbound);
out:
    explicit_bzero(&copy, sizeof(copy));
    if (err)
        secure_free(&s);
    *out = s;
    return err;
}

void secure_free(struct secure **s)
{
    if (!*s)
        return;
    if ((*s)->in)
        srtp_dealloc((*s)->in);
    if ((*s)->out)
        srtp_dealloc((*s)->out);
    free(*s);
    *s = NULL;
    if (--users == 0)
        srtp_shutdown();
}

typedef srtp_err_status_t transform(srtp_t session, void *packet, int *len);

static int apply(transform *f, srtp_t session, uint8_t *buf, size_t *len, size_t min)
{
    int n = (int)*len, err;
    if (*len < min || *len > INT_MAX / 2)
        return ERR_TRUNCATED;
    err = mapped(f(session, buf, &n));
    if (!err)
        *len = (size_t)n;
    return err;
}

static bool is_known(const struct secure *s, uint32_t ssrc)
{
    for (unsigned i = 0; i < s->nsources; i++) {
        if (s->sources[i] == ssrc)
            return true;
    }
    return false;
}

/* libsrtp keeps a context for every SSRC that has come under the key, and nothing bounds them there. */
static int open_packet(struct secure *s, transform *f, uint8_t *buf, size_t *len, size_t min, size_t ssrc_at)
{
    struct wire w = wire_over(buf, *len);
    uint32_t ssrc;
    bool known;
    int err;

    (void)wire_bytes(&w, ssrc_at);
    ssrc = wire_u32(&w);
    known = is_known(s, ssrc);
    if (!known && s->nsources == SECURE_SOURCES_MAX)
        return ERR_NOSPC;
    err = apply(f, s->in, buf, len, min);
    if (!err && !known)
        s->sources[s->nsources++] = ssrc;
    return err;
}

int secure_protect(struct secure *s, uint8_t *buf, size_t *len)
{
    return apply(srtp_protect, s->out, buf, len, RTP_MIN);
}

int secure_protect_rtcp(struct secure *s, uint8_t *buf, size_t *len)
{
    return apply(srtp_protect_rtcp, s->out, buf, len, RTCP_MIN);
}

int secure_unprotect(struct secure *s, uint8_t *buf, size_t *len)
{
    return open_packet(s, srtp_unprotect, buf, len, RTP_MIN, RTP_SSRC_AT);
}

int secure_unprotect_rtcp(struct secure *s, uint8_t *buf, size_t *len)
{
    return open_packet(s, srtp_unprotect_rtcp, buf, len, RTCP_MIN, RTCP_SSRC_AT);
}
