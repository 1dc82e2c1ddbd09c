#include "stun/names.h"

#include <stddef.h>

static const struct {
    int code;
    const char *text;
} reasons[] = {
    {STUN_E_TRY_ALTERNATE, "Try Alternate"},
    {STUN_E_BAD_REQUEST, "Bad Request"},
    {STUN_E_UNAUTHENTICATED, "Unauthenticated"},
    {STUN_E_FORBIDDEN, "Forbidden"},
    {STUN_E_UNKNOWN_ATTRIBUTE, "Unknown Attribute"},
    {STUN_E_ALLOCATION_MISMATCH, "Allocation Mismatch"},
    {STUN_E_STALE_NONCE, "Stale Nonce"},
    {STUN_E_FAMILY_NOT_SUPPORTED, "Address Family not Supported"},
    {STUN_E_WRONG_CREDENTIALS, "Wrong Credentials"},
    {STUN_E_UNSUPPORTED_TRANSPORT, "Unsupported Transport Protocol"},
    {STUN_E_PEER_FAMILY_MISMATCH, "Peer Address Family Mismatch"},
    {STUN_E_ALLOCATION_QUOTA, "Allocation Quota Reached"},
    {STUN_E_SERVER_ERROR, "Server Error"},
    {STUN_E_INSUFFICIENT_CAPACITY, "Insufficient Capacity"},
};

static const struct {
    unsigned method;
    const char *name;
} methods[] = {
    {STUN_BINDING, "Binding"},
    {STUN_ALLOCATE, "Allocate"},
    {STUN_REFRESH, "Refresh"},
    {STUN_SEND, "Send"},
    {STUN_DATA, "Data"},
    {STUN_CREATE_PERMISSION, "CreatePermission"},
    {STUN_CHANNEL_BIND, "ChannelBind"},
};

const char *stun_reason(int code)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].code == code)
            return reasons[i].text;
    return "Error";
}

const char *stun_method_name(unsigned method)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (methods[i].method == method)
            return methods[i].name;
    return "?";
}

enum stun_kind stun_classify(uint8_t first_byte)
{
    if (first_byte <= 3)
        return STUN_KIND_MESSAGE;
    if (first_byte >= 20 && first_byte <= 63)
        return STUN_KIND_DTLS;
    if (first_byte >= 64 && first_byte <= 127)
        return STUN_KIND_CHANNEL;
    return STUN_KIND_OTHER;
}
