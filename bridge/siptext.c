#include "bridge/siptext.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/utf8.h"

enum { USER_CHARS_MAX = 64, BODY_MAX = 128 };

const char *siptext_reason(int status, bool local)
{
    static const struct {
        int status;
        const char *reason;
    } TABLE[] = {
        {404, "unknown_number"}, {410, "unknown_number"}, {484, "unknown_number"}, {604, "unknown_number"}, {486, "busy"},
        {600, "busy"},           {603, "declined"},       {480, "no_answer"},      {487, "cancelled"},      {503, "pbx_down"},
    };

    if (status == 408)
        return local ? "pbx_down" : "no_answer";
    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++) {
        if (TABLE[i].status == status)
            return TABLE[i].reason;
    }
    /* sofia-sip's own numbers are for what could not be sent or understood. */
    return local && status >= 500 ? "pbx_down" : "pbx_error";
}

const char *siptext_phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } TABLE[] = {
        {403, "Forbidden"},
        {404, "Not Found"},
        {480, "Temporarily Unavailable"},
        {486, "Busy Here"},
        {488, "Not Acceptable Here"},
        {500, "Server Internal Error"},
        {503, "Service Unavailable"},
        {603, "Decline"},
    };

    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++) {
        if (TABLE[i].status == status)
            return TABLE[i].phrase;
    }
    return "Call Failed";
}

int siptext_user(char out[static SIPTEXT_USER_MAX], const char *text)
{
    size_t len = strlen(text), n = 0;

    *out = '\0';
    if (len == 0 || len > USER_CHARS_MAX)
        return ERR_INVAL;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = c < 0x80 && (isalnum(c) || strchr("-_.!~*'()&=+$,", c));
        n += (size_t)snprintf(out + n, SIPTEXT_USER_MAX - n, plain ? "%c" : "%%%02X", c);
    }
    return 0;
}

void siptext_name(char out[static SIPTEXT_NAME_MAX], const char *display)
{
    size_t n = 0;
    bool quoted = *display == '"';

    for (const char *p = display + quoted; *p && !(quoted && *p == '"') && n < SIPTEXT_NAME_MAX - 1; p++) {
        if (quoted && *p == '\\' && p[1])
            p++;
        out[n++] = (unsigned char)*p < ' ' ? ' ' : *p;
    }
    out[n] = '\0';
    utf8_mend(out);
}

char siptext_digit(const char *type, const char *body, size_t len)
{
    char text[BODY_MAX];
    const char *p = text;
    long number;
    char *end;

    if (!len || len >= sizeof(text))
        return '\0';
    memcpy(text, body, len);
    text[len] = '\0';
    if (strcasecmp(type, "application/dtmf-relay") == 0) {
        p = strcasestr(text, "signal");
        p = p ? p + strlen("signal") : "";
        p += strspn(p, " \t=");
    } else if (strcasecmp(type, "application/dtmf") != 0) {
        return '\0';
    }
    number = strtol(p, &end, 10);
    if (end - p == 2 && (number == 10 || number == 11)) /* as some gateways number the keys */
        return number == 10 ? '*' : '#';
    return *p && strchr("0123456789*#ABCDabcd", *p) ? (char)toupper((unsigned char)*p) : '\0';
}

bool siptext_token(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    return n > 0 && n <= USER_CHARS_MAX && text[n] == '\0';
}
