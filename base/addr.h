/*
 * Purpose:  one transport address (IP and port), comparable with memcmp and usable as a key.
 * Owner:    any thread; a plain value.
 * Lifetime: a value, copied freely.
 * Callers:  every room.
 * RFC:      4291 (IPv6 text form: 5952); family numbers as STUN has them (RFC 8489 section 14.1).
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum addr_family {
    ADDR_NONE = 0,
    ADDR_V4 = 1,
    ADDR_V6 = 2,
};

/* Unused bytes are always zero, so that two equal addresses are equal byte for byte. */
struct addr {
    uint8_t family; /* enum addr_family */
    uint8_t zero;
    uint16_t port;  /* host order */
    uint8_t ip[16]; /* network order; IPv4 uses the first four bytes */
};

_Static_assert(sizeof(struct addr) == 20, "struct addr has no hidden padding");

/* "[2001:db8::1%scope-free]:65535" and its NUL; scopes are not carried. */
enum { ADDR_TEXT_MAX = 56 };

bool addr_equal(const struct addr *a, const struct addr *b);
/* Ports are left out of the comparison. */
bool addr_same_ip(const struct addr *a, const struct addr *b);
/* These four look through an IPv4-mapped IPv6 address, which the kernel delivers to the IPv4 one. */
bool addr_is_any(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
bool addr_is_link_local(const struct addr *a);
/* It can be one host's: not unspecified, of no group, no broadcast, nothing reserved (RFC 6890). */
bool addr_is_unicast(const struct addr *a);
/* An IPv4-mapped IPv6 address as the IPv4 one that it is, what a socket for both families says of an IPv4 client; any other as it is. */
struct addr addr_unmapped(const struct addr *a);
size_t addr_ip_len(const struct addr *a); /* 4, 16 or 0 */
struct addr addr_with_port(const struct addr *a, uint16_t port);

/* ERR_AFNOSUPPORT for anything but AF_INET and AF_INET6. An IPv4-mapped IPv6 sockaddr stays IPv6. */
int addr_from_sockaddr(struct addr *out, const struct sockaddr *sa);
/* Returns the length to hand to the kernel; 0 for ADDR_NONE. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out);
/* The interface on which a link-local IPv6 address means something; whoever answers keeps it beside the address. 0: none. */
uint32_t addr_scope(const struct sockaddr *sa);
void addr_set_scope(struct sockaddr_storage *sa, uint32_t scope);

/* "192.0.2.1", "2001:db8::1": an IP without port (port 0 in the result). ERR_INVAL otherwise. */
int addr_parse_ip(struct addr *out, const char *text);
/* "192.0.2.1:3478", "[2001:db8::1]:3478". ERR_INVAL otherwise. */
int addr_parse(struct addr *out, const char *text);
/* Writes "ip:port" or "[ip]:port" (ADDR_NONE: "none"); returns `text`. */
const char *addr_text(const struct addr *a, char text[static ADDR_TEXT_MAX]);
/* The same without port and brackets. */
const char *addr_ip_text(const struct addr *a, char text[static ADDR_TEXT_MAX]);

#endif
