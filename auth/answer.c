#include "auth/answer.h"

#include <string.h>

unsigned answer_scope(const struct auth_request *request)
{
    return request->scope ? request->scope : AUTH_SCOPE_TURN;
}

enum auth_status answer_keys(struct auth_answer *answer, const struct answer_keys *known, const struct auth_request *request)
{
    const uint8_t *key = request->algorithm == STUN_ALG_SHA256 ? known->sha256 : known->md5;

    if (!key || known->not_before > request->wall || (known->expires_at && known->expires_at <= request->wall) ||
        !(known->scope & answer_scope(request)))
        return AUTH_UNKNOWN;
    answer->nkeys = 1;
    answer->key_len = request->algorithm == STUN_ALG_SHA256 ? STUN_SHA256_KEY_LEN : STUN_MD5_KEY_LEN;
    memcpy(answer->keys[0], key, answer->key_len);
    answer->expires_at = known->expires_at;
    answer->limits = known->limits;
    memcpy(answer->name, known->name, strlen(known->name) + 1);
    memcpy(answer->owner, known->owner, strlen(known->owner) + 1);
    memcpy(answer->label, known->label, strlen(known->label) + 1);
    memcpy(answer->peers, known->peers, strlen(known->peers) + 1);
    memcpy(answer->tenant, known->tenant, strlen(known->tenant) + 1);
    answer->scope = known->scope;
    answer->is_token = known->is_token;
    return AUTH_OK;
}
