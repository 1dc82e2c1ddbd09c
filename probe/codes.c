#include "probe/codes.h"

/* What each code says, what to do, and whether that is a line in a firewall's rules. */
static const struct {
    const char *name, *text, *cure;
    bool adds_rule;
} TABLE[CODE_N] = {
    [CODE_NONE] = {"", "nothing is wrong", "nothing is to be done", false},
    [CODE_LOCAL_BLOCKED] = {"local_blocked", "this host itself refuses to send", "open the rule in the firewall of this host",
                            true},
    [CODE_DNS_NXDOMAIN] = {"dns_nxdomain", "the name does not exist", "enter the name in the DNS that this host asks", false},
    [CODE_DNS_FAILED] = {"dns_failed", "the name server does not answer, or with an error",
                         "open DNS from this host to its name server, or repair that server", false},
    [CODE_DNS_PRIVATE_ANSWER] = {"dns_private_answer", "the name leads to a private address",
                                 "let the DNS that this host asks give the public address", false},
    [CODE_TCP_TIMEOUT] = {"tcp_timeout", "nothing answers by TCP: a firewall drops it", "open the rule in each firewall on the way",
                          true},
    [CODE_TCP_RST] = {"tcp_rst", "the connection is refused: nothing listens there, or a firewall rejects it",
                      "see that the service runs; else open the rule", true},
    [CODE_UDP_TIMEOUT] = {"udp_timeout", "nothing answers by UDP: a firewall drops it", "open the rule in each firewall on the way",
                          true},
    [CODE_ICMP_ADMIN_PROHIBITED] = {"icmp_admin_prohibited", "a firewall refuses it, and says so",
                                    "open the rule in the firewall that the evidence names", true},
    [CODE_ICMP_PORT_UNREACHABLE] = {"icmp_port_unreachable", "the port is refused: nothing listens there, or a firewall rejects it",
                                    "see that the service runs; else open the rule", true},
    [CODE_NET_UNREACHABLE] = {"net_unreachable", "there is no way to that address", "correct the routes of this host or on the way",
                              false},
    [CODE_PROXY_AUTH_REQUIRED] = {"proxy_auth_required", "the proxy wants a login",
                                  "let the proxy pass this host to the destination without one", false},
    [CODE_PROXY_REFUSED] = {"proxy_refused", "the proxy does not open the way", "allow CONNECT to the destination in the proxy",
                            false},
    [CODE_TLS_INTERCEPTED] = {"tls_intercepted", "somebody else answers: the certificate is not the service's",
                              "except the destination from TLS inspection (or name the authority, if it is yours: --ca)", false},
    [CODE_TLS_FAILED] = {"tls_failed", "TLS does not come about", "see that the port speaks TLS, and that clocks are right", false},
    [CODE_HTTP_REFUSED] = {"http_refused", "the page is not delivered", "see that this is the address of the web app", false},
    [CODE_WS_UPGRADE_STRIPPED] = {"ws_upgrade_stripped", "the WebSocket does not pass: what asks for it is taken out",
                                  "allow WebSocket (Upgrade) in the proxy or firewall for the destination", false},
    [CODE_WS_IDLE_KILLED] = {"ws_idle_killed", "the WebSocket is cut when little passes",
                             "let idle connections to the destination live for two minutes at least", false},
    [CODE_TOKEN_REFUSED] = {"token_refused", "the connect service refuses the token", "issue a new token with the scope phone",
                            false},
    [CODE_STUN_ALTERED] = {"stun_altered", "the answers are changed on the way",
                           "switch off the helper for SIP or STUN (ALG) in the router or firewall", false},
    [CODE_TURN_401] = {"turn_401", "the relay refuses the credentials", "correct user name and password", false},
    [CODE_TURN_CLOCK_SKEW] = {"turn_clock_skew", "the clocks of this host and of the relay differ", "set the clocks (NTP)", false},
    [CODE_TURN_403_PEER_DENIED] = {"turn_403_peer_denied", "the relay denies the other end's address",
                                   "allow the address in the relay's peer rules (allowed-peer-ip)", false},
    [CODE_TURN_486_QUOTA] = {"turn_486_quota", "the user has all the allocations that he may have",
                             "wait until old ones end, or raise the quota (user-quota)", false},
    [CODE_TURN_REFUSED] = {"turn_refused", "the relay refuses the allocation", "read the relay's log", false},
    [CODE_RELAY_PAIR_FAILED] = {"relay_pair_failed", "relayed addresses do not reach each other",
                                "allow the relay's own address in its peer rules, and open its relayed ports to itself", false},
    [CODE_LOSS_HIGH] = {"loss_high", "packets are lost on the way",
                        "look for a line that is full, or a firewall's limit of packets", false},
    [CODE_MTU_LOW] = {"mtu_low", "large packets do not pass", "correct the MTU on the way, and let ICMP 'too big' pass", false},
    [CODE_UDP_IDLE_SHORT] = {"udp_idle_short", "the address translation forgets UDP too soon",
                             "let UDP live for 30 s at least in the firewall's state table", false},
    [CODE_OPEN_TOO_WIDE] = {"open_too_wide", "more is open than the rules need", "close what the evidence names: no rule needs it",
                            false},
    [CODE_OTHER_END_MISSING] = {"other_end_missing", "the other end was not met at the connect service",
                                "connect the bridge of the same tenant, or start a probe there at the same time, with --both",
                                false},
    [CODE_INTERNAL] = {"internal", "the probe itself could not go on", "see the evidence: memory, descriptors, libraries", false},
};

const char *codes_name(enum code code)
{
    return TABLE[code].name;
}

const char *codes_text(enum code code)
{
    return TABLE[code].text;
}

const char *codes_cure(enum code code)
{
    return TABLE[code].cure;
}

bool codes_adds_rule(enum code code)
{
    return TABLE[code].adds_rule;
}
