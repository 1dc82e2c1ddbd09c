/*
 * Purpose:  decode and encode STUN messages. Bytes in, bytes out: no I/O, no allocation.
 * Owner:    the thread that holds the message.
 * Lifetime: a decoded message borrows `buf` until the caller reuses it.
 * Callers:  relay/turn, stun/client, tests, fuzz targets.
 * RFC:      8489 sections 5, 6, 14; 8656 section 18.
 */
#ifndef STUN_MSG_H
#define STUN_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/wire.h"
#include "stun/names.h"

enum {
    STUN_ATTRS_MAX = 64, /* different attributes of one message; the RFCs define fewer. More: ERR_MALFORMED */
};

struct stun_attr {
    uint16_t type;
    uint16_t len;         /* without padding */
    const uint8_t *value; /* borrowed */
};

struct stun_msg {
    const uint8_t *buf; /* borrowed */
    size_t len;
    uint16_t method;
    enum stun_class class;
    const uint8_t *txid; /* STUN_TXID_LEN bytes, borrowed */
    size_t nattrs;
    struct stun_attr
        attrs[STUN_ATTRS_MAX]; /* first occurrences, in order; what stands behind an integrity attribute is left out (C5, C6) */
};

/*
 * Decode one whole datagram or frame. Checks the two zero bits, cookie, length (C1), attribute bounds (C3), and FINGERPRINT when it is
 * there (C9: it must be last and right). ERR_NOT_STUN, ERR_TRUNCATED, ERR_MALFORMED, ERR_FINGERPRINT. Padding is ignored.
 */
int stun_decode(struct stun_msg *m, const uint8_t *buf, size_t len);

/* For streams: total length of the message whose first bytes these are: 0 when 4 bytes are not there yet; ERR_NOT_STUN when the two
 * top bits are not zero or the length is no multiple of 4. */
int stun_frame_len(const uint8_t *buf, size_t len);

const struct stun_attr *stun_find(const struct stun_msg *m, uint16_t type); /* NULL: not there */
/* Comprehension-required types (below 0x8000) that are not in `known`: the count, the first `cap` of them in `out` (C8). */
size_t stun_unknown(const struct stun_msg *m, const uint16_t *known, size_t nknown, uint16_t *out, size_t cap);

/* Values. ERR_NOENT: the attribute is missing; ERR_MALFORMED: its length or content is not the type's. */
int stun_get_u32(const struct stun_msg *m, uint16_t type, uint32_t *out);
/* The family octet of REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY, the protocol octet of REQUESTED-TRANSPORT, the R octet of
 * EVEN-PORT: the value's first byte, the value being exactly `len` bytes long. */
int stun_get_u8(const struct stun_msg *m, uint16_t type, size_t len, uint8_t *out);
/* CHANNEL-NUMBER: 16 bits and 16 reserved ones, which are ignored. */
int stun_get_channel(const struct stun_msg *m, uint16_t *out);
int stun_get_xor_addr(const struct stun_msg *m, uint16_t type, struct addr *out);
int stun_attr_xor_addr(const struct stun_msg *m, const struct stun_attr *a, struct addr *out);
/* A plain (not xored) address: ALTERNATE-SERVER, MAPPED-ADDRESS. */
int stun_get_addr(const struct stun_msg *m, uint16_t type, struct addr *out);
/* ERROR-CODE: the code (300..699). */
int stun_get_error(const struct stun_msg *m, int *code);
/* Iterate attributes of one type that may stand several times (XOR-PEER-ADDRESS, XOR-RELAYED-ADDRESS): walks the raw message again,
 * up to the integrity attribute. `*at` starts at 0; false when there is no further one. */
bool stun_next(const struct stun_msg *m, uint16_t type, size_t *at, struct stun_attr *out);

/* ---- Encoding: sticky error, checked by stun_end. Lengths in the header are right after every put. ---- */
struct stun_out {
    struct wire_out w;
    uint8_t txid[STUN_TXID_LEN];
};

void stun_begin(struct stun_out *o, uint8_t *buf, size_t cap, enum stun_class class, uint16_t method, const uint8_t *txid);
void stun_put(struct stun_out *o, uint16_t type, const void *value, size_t len); /* pads with zeros (C4) */
void stun_put_u32(struct stun_out *o, uint16_t type, uint32_t v);
void stun_put_xor_addr(struct stun_out *o, uint16_t type, const struct addr *a);
/* A plain (not xored) address: ALTERNATE-SERVER, MAPPED-ADDRESS. */
void stun_put_addr(struct stun_out *o, uint16_t type, const struct addr *a);
/* ERROR-CODE with stun_reason(code) (C12). */
void stun_put_error(struct stun_out *o, int code);
/* ADDRESS-ERROR-CODE, RFC 8656 section 18.12. */
void stun_put_address_error(struct stun_out *o, enum addr_family family, int code);
void stun_put_unknown(struct stun_out *o, const uint16_t *types, size_t n);
/* PASSWORD-ALGORITHMS (RFC 8489 section 14.11): algorithm numbers without parameters. */
void stun_put_algorithms(struct stun_out *o, const uint16_t *algorithms, size_t n);
/* The message's length, or the sticky error. */
int stun_end(const struct stun_out *o);

/*
 * Data indication around a payload, written in place: the payload stands at `payload`, with at least STUN_DATA_HEADROOM bytes before it
 * and 3 bytes after it that may be overwritten. Returns the message's start; its length is stored in *len (RFC 8656 section 11.4).
 * NULL when the length does not fit into 16 bits, or the peer has no family. `txid` is 12 bytes.
 */
enum { STUN_DATA_HEADROOM = 64 };
uint8_t *stun_wrap_data(uint8_t *payload, size_t payload_len, const struct addr *peer, const uint8_t *txid, size_t *len);

#endif
