/* SIP's texts; tests/func/sip.py has the user agent itself. */
#include "tests/unit/tap.h"

#include "base/err.h"
#include "bridge/siptext.h"

static void reasons(void)
{
    static const struct {
        int status;
        bool local;
        const char *reason;
    } TABLE[] = {
        {486, false, "busy"},           {600, false, "busy"},      {603, false, "declined"},       {480, false, "no_answer"},
        {408, false, "no_answer"},      {408, true, "pbx_down"},   {404, false, "unknown_number"}, {484, false, "unknown_number"},
        {604, false, "unknown_number"}, {503, false, "pbx_down"},  {503, true, "pbx_down"},        {500, false, "pbx_error"},
        {900, true, "pbx_down"},        {488, false, "pbx_error"}, {407, false, "pbx_error"},      {487, false, "cancelled"},
        {302, true, "pbx_error"},
    };

    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++)
        CHECK_STR(siptext_reason(TABLE[i].status, TABLE[i].local), TABLE[i].reason);
    CHECK_STR(siptext_phrase(486), "Busy Here");
    CHECK_STR(siptext_phrase(499), "Call Failed");
}

static void users(void)
{
    char out[SIPTEXT_USER_MAX], longest[66];

    CHECK_INT(siptext_user(out, "+49(30)4711*2#"), 0);
    CHECK_STR(out, "+49(30)4711*2%23");
    CHECK_INT(siptext_user(out, "a b@c>;?\r\n\"\xc3\xa9"), 0);
    CHECK_STR(out, "a%20b%40c%3E%3B%3F%0D%0A%22%C3%A9");
    CHECK_INT(siptext_user(out, ""), ERR_INVAL);
    memset(longest, '#', sizeof(longest));
    longest[65] = '\0';
    CHECK_INT(siptext_user(out, longest), ERR_INVAL);
    CHECK_INT(siptext_user(out, longest + 1), 0);
    CHECK_INT(strlen(out), 192);
    CHECK(siptext_token("c-1_x.9"));
    CHECK(!siptext_token(""));
    CHECK(!siptext_token("c1\r\nFrom: x"));
    CHECK(!siptext_token(longest));
}

static void names(void)
{
    char out[SIPTEXT_NAME_MAX], big[200];

    siptext_name(out, "Bob");
    CHECK_STR(out, "Bob");
    siptext_name(out, "\"Bob \\\"B\\\" Ross\" ");
    CHECK_STR(out, "Bob \"B\" Ross");
    siptext_name(out, "");
    CHECK_STR(out, "");
    siptext_name(out, "\"a\tb\\");
    CHECK_STR(out, "a b\\");
    siptext_name(out, "x\xff");
    CHECK_STR(out, "x?");
    memset(big, 'a', sizeof(big));
    big[63] = (char)0xc3; /* a character that is cut in the middle */
    big[64] = (char)0xa9;
    big[199] = '\0';
    siptext_name(out, big);
    CHECK_INT(strlen(out), 64);
    CHECK_INT(out[63], '?');
}

static char digit(const char *type, const char *body)
{
    return siptext_digit(type, body, strlen(body));
}

static void digits(void)
{
    CHECK_INT(digit("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n"), '5');
    CHECK_INT(digit("Application/DTMF-Relay", "signal= #\r\n"), '#');
    CHECK_INT(digit("application/dtmf-relay", "Signal=10\r\n"), '*');
    CHECK_INT(digit("application/dtmf-relay", "Signal=11\r\n"), '#');
    CHECK_INT(digit("application/dtmf-relay", "Duration=160\r\n"), 0);
    CHECK_INT(digit("application/dtmf-relay", "Signal=x\r\n"), 0);
    CHECK_INT(digit("application/dtmf", "a"), 'A');
    CHECK_INT(digit("text/plain", "5"), 0);
    CHECK_INT(digit("application/dtmf", ""), 0);
    CHECK_INT(siptext_digit("application/dtmf", "5", 4000), 0);
}

static const struct tap_test tests[] = {
    {"each final answer has its reason", reasons},
    {"numbers and names are escaped where a URI wants it", users},
    {"display names lose their quotes and stay well-formed", names},
    {"digits in INFO, both types", digits},
};
TAP_MAIN(tests)
