/*
 * Purpose:  why a firewall rule did not hold, as codes that stay the same, with a text and a cure each.
 * Owner:    any thread; constants only.
 * Lifetime: static.
 * Callers:  probe/, programs/turnpike-probe, programs/ctlprobe.
 * RFC:      none.
 */
#ifndef PROBE_CODES_H
#define PROBE_CODES_H

#include <stdbool.h>

/* In the order of the stages that find them. */
enum code {
    CODE_NONE,
    CODE_LOCAL_BLOCKED,
    CODE_DNS_NXDOMAIN,
    CODE_DNS_FAILED,
    CODE_DNS_PRIVATE_ANSWER,
    CODE_TCP_TIMEOUT,
    CODE_TCP_RST,
    CODE_UDP_TIMEOUT,
    CODE_ICMP_ADMIN_PROHIBITED,
    CODE_ICMP_PORT_UNREACHABLE,
    CODE_NET_UNREACHABLE,
    CODE_PROXY_AUTH_REQUIRED,
    CODE_PROXY_REFUSED,
    CODE_TLS_INTERCEPTED,
    CODE_TLS_FAILED,
    CODE_HTTP_REFUSED,
    CODE_WS_UPGRADE_STRIPPED,
    CODE_WS_IDLE_KILLED,
    CODE_TOKEN_REFUSED,
    CODE_STUN_ALTERED,
    CODE_TURN_401,
    CODE_TURN_CLOCK_SKEW,
    CODE_TURN_403_PEER_DENIED,
    CODE_TURN_486_QUOTA,
    CODE_TURN_REFUSED,
    CODE_RELAY_PAIR_FAILED,
    CODE_LOSS_HIGH,
    CODE_MTU_LOW,
    CODE_UDP_IDLE_SHORT,
    CODE_OPEN_TOO_WIDE,
    CODE_OTHER_END_MISSING,
    CODE_INTERNAL,
    CODE_N,
};

/* "udp_timeout"; "" for CODE_NONE. */
const char *codes_name(enum code code);
/* What it says, in a sentence without a full stop: "nothing answers by UDP". */
const char *codes_text(enum code code);
/* What to do about it, likewise. */
const char *codes_cure(enum code code);
/* Is the cure a line in a firewall's rules? Then a report names that line. */
bool codes_adds_rule(enum code code);

#endif
