/*
 * Purpose:  the firewall rules that are to be proved, or written for a firewall: read from a file, or the five of the most restrictive case.
 * Owner:    the thread that reads them; plain values afterwards.
 * Lifetime: plain values; nothing is borrowed.
 * Callers:  probe/, programs/turnpike-probe, units, fuzz_rules.
 * RFC:      none; packaging/examples/ucconnect.rules describes the format.
 */
#ifndef PROBE_RULES_H
#define PROBE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RULES_MAX = 64,          /* rules: the five and what a site has beside them; each costs sockets at the same time */
    RULES_NUMBER_MAX = 9999, /* four digits in a table */
    RULES_HOST_MAX = 254,    /* bytes of a name (RFC 1035 section 2.3.4) or IP, and its NUL */
    RULES_TEXT_MAX = 200,    /* bytes of a text and its NUL */
    RULES_LINE_MAX = 1024,   /* bytes of a line */
    RULES_FILE_MAX = 65536,  /* bytes of a file: a thousand lines */
    RULES_ERROR_MAX = 512,   /* bytes of an error's text and its NUL */
};

/* Whose firewall it is: where the connection, or the first packet, comes from. */
enum rules_source { RULES_SERVER, RULES_BROWSER, RULES_SOURCES };
/* What is reached: a role, whose address is given when the rules are used, or a host that the rule names. */
enum rules_target { RULES_CONNECT, RULES_APP, RULES_RELAY, RULES_HOST, RULES_TARGETS };
enum rules_protocol { RULES_TCP, RULES_UDP, RULES_PROTOCOLS };
/* What must work once the rule is open: bits. */
enum rules_check { RULES_WEBSOCKET = 1, RULES_HTTP = 2, RULES_STUN = 4, RULES_TURN = 8 };

struct rule {
    unsigned number; /* 1 to RULES_NUMBER_MAX, different for each rule */
    enum rules_source source;
    enum rules_target target;
    char host[RULES_HOST_MAX]; /* RULES_HOST: a name or an IP (IPv6 without brackets), else "" */
    enum rules_protocol protocol;
    uint16_t port;
    unsigned checks; /* enum rules_check, one at least */
    char text[RULES_TEXT_MAX];
};

/* In the order of the file. */
struct rules {
    struct rule item[RULES_MAX];
    size_t n;
};

/* The five rules of the most restrictive case: the same as in packaging/examples/ucconnect.rules. */
const struct rules *rules_five(void);
/* ERR_CONFIG, or the file's negated errno, with file, line, cause and cure in `error`. `out` is whole, or of no use. */
int rules_read(struct rules *out, const char *path, char error[static RULES_ERROR_MAX]);
/* The same from memory; `name` stands for the file in errors. `text` need not end in NUL. */
int rules_parse(struct rules *out, const char *name, const char *text, size_t len, char error[static RULES_ERROR_MAX]);

/* Is it an IP, or letters, digits, dots, hyphens and underscores as a name has them, with no number at its end? Such a text means nothing else anywhere. */
bool rules_is_host(const char *word);
/* "server", "browser": as in a file. */
const char *rules_source_name(enum rules_source source);
/* "office", "browser": where that is, as people say it in a table. */
const char *rules_source_place(enum rules_source source);
/* "connect", "app", "relay"; "host" for RULES_HOST. */
const char *rules_target_name(enum rules_target target);
/* "tcp", "udp". */
const char *rules_protocol_name(enum rules_protocol protocol);

#endif
