/*
 * Purpose:  the error numbers of the whole project and their texts.
 * Owner:    any thread; there is no state.
 * Lifetime: texts are static.
 * Callers:  every room.
 * RFC:      none.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <errno.h>

/* 0 is success. Where errno has a fitting number it is used, negated; ours start below -10000. */
enum err {
    ERR_OK = 0,
    ERR_NOMEM = -ENOMEM,
    ERR_INVAL = -EINVAL,
    ERR_RANGE = -ERANGE,
    ERR_NOSPC = -ENOSPC,
    ERR_NOENT = -ENOENT,
    ERR_EXIST = -EEXIST,
    ERR_AGAIN = -EAGAIN,
    ERR_TIMEDOUT = -ETIMEDOUT,
    ERR_ACCES = -EACCES,
    ERR_IO = -EIO,
    ERR_ADDRINUSE = -EADDRINUSE,
    ERR_MFILE = -EMFILE,
    ERR_AFNOSUPPORT = -EAFNOSUPPORT,
    ERR_NOTCONN = -ENOTCONN,
    ERR_MSGSIZE = -EMSGSIZE,
    ERR_NOTSUP = -EOPNOTSUPP,
    ERR_TRUNCATED = -10001, /* fewer bytes than the format needs */
    ERR_MALFORMED = -10002, /* the bytes break the format */
    ERR_NOT_STUN = -10003,  /* not a STUN message at all */
    ERR_FINGERPRINT = -10004,
    ERR_INTEGRITY = -10005,
    ERR_STALE = -10006,  /* a nonce or id whose time is over */
    ERR_DENIED = -10007, /* the peer policy says no */
    ERR_CRYPTO = -10008, /* OpenSSL refused */
    ERR_CONFIG = -10009,
    ERR_CANCELLED = -10010,
};

/* A static text for any code above or any negated errno; never NULL. */
const char *err_str(int err);

/* The n-th code that has a text of its own (n from 0), or 1 when there is no further one; for tests that walk the table. */
int err_nth(unsigned n);

#endif
