/*
 * Purpose:  the numbers of STUN and TURN under the names that the RFCs give them.
 * Owner:    any thread; constants only.
 * Lifetime: static.
 * Callers:  every room that speaks STUN.
 * RFC:      8489 (STUN), 8656 (TURN), 5780 (NAT behaviour), 7983 (demultiplexing).
 */
#ifndef STUN_NAMES_H
#define STUN_NAMES_H

#include <stdint.h>

enum {
    STUN_HEADER_LEN = 20,
    STUN_TXID_LEN = 12,
    STUN_COOKIE = 0x2112A442,
    STUN_FINGERPRINT_XOR = 0x5354554E, /* section 14.7 */
    STUN_PORT = 3478,
    STUN_USERNAME_MAX = 763, /* bytes, RFC 8489 section 14.3 (what RFC 5389 clients may send) */
    STUN_REALM_MAX = 763,    /* bytes, section 14.9 */
    STUN_NONCE_MAX = 763,    /* bytes, section 14.10 */
    STUN_PHRASE_MAX = 127,   /* characters of an error's reason, section 14.8 */
    STUN_USERHASH_LEN = 32,
    STUN_MD5_KEY_LEN = 16,
    STUN_SHA256_KEY_LEN = 32,
    STUN_KEY_MAX = 32,
    STUN_RESERVATION_TOKEN_LEN = 8,
};

enum stun_class {
    STUN_REQUEST = 0,
    STUN_INDICATION = 1,
    STUN_SUCCESS = 2,
    STUN_ERROR = 3,
};

enum stun_method {
    STUN_BINDING = 0x001,
    STUN_ALLOCATE = 0x003,
    STUN_REFRESH = 0x004,
    STUN_SEND = 0x006,
    STUN_DATA = 0x007,
    STUN_CREATE_PERMISSION = 0x008,
    STUN_CHANNEL_BIND = 0x009,
};

enum stun_attr_type {
    STUN_ATTR_MAPPED_ADDRESS = 0x0001,
    STUN_ATTR_CHANGE_REQUEST = 0x0003, /* RFC 5780 section 7.2, as are the two below; the rest of it is not served */
    STUN_ATTR_USERNAME = 0x0006,
    STUN_ATTR_MESSAGE_INTEGRITY = 0x0008,
    STUN_ATTR_ERROR_CODE = 0x0009,
    STUN_ATTR_UNKNOWN_ATTRIBUTES = 0x000A,
    STUN_ATTR_CHANNEL_NUMBER = 0x000C,
    STUN_ATTR_LIFETIME = 0x000D,
    STUN_ATTR_XOR_PEER_ADDRESS = 0x0012,
    STUN_ATTR_DATA = 0x0013,
    STUN_ATTR_REALM = 0x0014,
    STUN_ATTR_NONCE = 0x0015,
    STUN_ATTR_XOR_RELAYED_ADDRESS = 0x0016,
    STUN_ATTR_REQUESTED_ADDRESS_FAMILY = 0x0017,
    STUN_ATTR_EVEN_PORT = 0x0018,
    STUN_ATTR_REQUESTED_TRANSPORT = 0x0019,
    STUN_ATTR_DONT_FRAGMENT = 0x001A,
    STUN_ATTR_MESSAGE_INTEGRITY_SHA256 = 0x001C,
    STUN_ATTR_PASSWORD_ALGORITHM = 0x001D,
    STUN_ATTR_USERHASH = 0x001E,
    STUN_ATTR_XOR_MAPPED_ADDRESS = 0x0020,
    STUN_ATTR_RESERVATION_TOKEN = 0x0022,
    STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY = 0x8000,
    STUN_ATTR_ADDRESS_ERROR_CODE = 0x8001,
    STUN_ATTR_PASSWORD_ALGORITHMS = 0x8002,
    STUN_ATTR_ALTERNATE_DOMAIN = 0x8003,
    STUN_ATTR_ICMP = 0x8004,
    STUN_ATTR_SOFTWARE = 0x8022,
    STUN_ATTR_ALTERNATE_SERVER = 0x8023,
    STUN_ATTR_FINGERPRINT = 0x8028,
    STUN_ATTR_RESPONSE_ORIGIN = 0x802B,
    STUN_ATTR_OTHER_ADDRESS = 0x802C,
    STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY_DRAFT = 0x8032, /* draft-martinsen-tram-ssoda; coturn and its clients before RFC 8656 */
};

/* Flags of CHANGE-REQUEST (RFC 5780 section 7.2): what the answer's source shall differ in from where the request went. */
enum stun_change {
    STUN_CHANGE_PORT = 0x2,
    STUN_CHANGE_IP = 0x4,
    STUN_CHANGE_BOTH = STUN_CHANGE_IP | STUN_CHANGE_PORT,
};

enum stun_password_algorithm {
    STUN_ALG_MD5 = 0x0001,
    STUN_ALG_SHA256 = 0x0002,
};

enum stun_error_code {
    STUN_E_TRY_ALTERNATE = 300,
    STUN_E_BAD_REQUEST = 400,
    STUN_E_UNAUTHENTICATED = 401,
    STUN_E_FORBIDDEN = 403,
    STUN_E_UNKNOWN_ATTRIBUTE = 420,
    STUN_E_ALLOCATION_MISMATCH = 437,
    STUN_E_STALE_NONCE = 438,
    STUN_E_FAMILY_NOT_SUPPORTED = 440,
    STUN_E_WRONG_CREDENTIALS = 441,
    STUN_E_UNSUPPORTED_TRANSPORT = 442,
    STUN_E_PEER_FAMILY_MISMATCH = 443,
    STUN_E_ALLOCATION_QUOTA = 486,
    STUN_E_SERVER_ERROR = 500,
    STUN_E_INSUFFICIENT_CAPACITY = 508,
};

/* The reason phrase for a code, as the RFCs print it; "Error" for a code that is not above. */
const char *stun_reason(int code);
/* "Allocate", "Refresh", ...; "?" for what is unknown. */
const char *stun_method_name(unsigned method);

/* What the first byte of a datagram says (RFC 7983; channels as RFC 5766 had them). */
enum stun_kind {
    STUN_KIND_MESSAGE, /* 0..3 */
    STUN_KIND_DTLS,    /* 20..63 */
    STUN_KIND_CHANNEL, /* 64..127 */
    STUN_KIND_OTHER,
};
enum stun_kind stun_classify(uint8_t first_byte);

#endif
