#include "base/err.h"

#include <stddef.h>
#include <string.h>

static const struct {
    int err;
    const char *text;
} texts[] = {
    {ERR_OK, "no error"},
    {ERR_NOMEM, "out of memory"},
    {ERR_INVAL, "invalid value"},
    {ERR_RANGE, "value out of range"},
    {ERR_NOSPC, "no room left"},
    {ERR_NOENT, "not found"},
    {ERR_EXIST, "already there"},
    {ERR_AGAIN, "not now"},
    {ERR_TIMEDOUT, "timed out"},
    {ERR_ACCES, "permission denied"},
    {ERR_IO, "input/output error"},
    {ERR_ADDRINUSE, "address in use"},
    {ERR_MFILE, "too many open files"},
    {ERR_AFNOSUPPORT, "address family not supported"},
    {ERR_NOTCONN, "not connected"},
    {ERR_MSGSIZE, "message too long"},
    {ERR_NOTSUP, "not supported"},
    {ERR_TRUNCATED, "fewer bytes than the format needs"},
    {ERR_MALFORMED, "malformed message"},
    {ERR_NOT_STUN, "not a STUN message"},
    {ERR_FINGERPRINT, "fingerprint does not match"},
    {ERR_INTEGRITY, "message integrity does not match"},
    {ERR_STALE, "no longer valid"},
    {ERR_DENIED, "denied by the peer policy"},
    {ERR_CRYPTO, "cryptographic library refused"},
    {ERR_CONFIG, "configuration error"},
    {ERR_CANCELLED, "cancelled"},
};

enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };

const char *err_str(int err)
{
    for (size_t i = 0; i < TEXTS; i++) {
        if (texts[i].err == err)
            return texts[i].text;
    }
    /* glibc has static texts for the numbers that Linux uses. */
    if (err < 0 && err >= -EHWPOISON)
        return strerror(-err);
    return "unknown error";
}

int err_nth(unsigned n)
{
    return n < TEXTS ? texts[n].err : 1;
}
