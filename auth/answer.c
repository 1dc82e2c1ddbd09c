#include "auth/answer.h"

#include <string.h>

enum auth_status answer_keys(struct auth_answer *answer, const struct answer_keys *known, enum stun_password_algorithm algorithm,
                             int64_t wall)
{
    const uint8_t *key = algorithm == STUN_ALG_SHA256 ? known->sha256 : known->md5;

    if (!key || known->not_before > wall || (known->expires_at && known->expires_at <= wall))
        return AUTH_UNKNOWN;
    answer->nkeys = 1;
    answer->key_len = algorithm == STUN_ALG_SHA256 ? STUN_SHA256_KEY_LEN : STUN_MD5_KEY_LEN;
    memcpy(answer->keys[0], key, answer->key_len);
    answer->expires_at = known->expires_at;
    answer->limits = known->limits;
    memcpy(answer->name, known->name, strlen(known->name) + 1);
    memcpy(answer->owner, known->owner, strlen(known->owner) + 1);
    memcpy(answer->label, known->label, strlen(known->label) + 1);
    memcpy(answer->peers, known->peers, strlen(known->peers) + 1);
    answer->is_token = known->is_token;
    return AUTH_OK;
}
