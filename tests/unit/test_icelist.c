/* ICE servers as the connect service hands them out. */
#include <stdlib.h>

#include "base/err.h"
#include "bridge/icelist.h"
#include "tests/unit/tap.h"

static struct icelist got;

static int reads(const char *json)
{
    json_t *ice = json_loads(json, 0, NULL);
    if (!ice)
        abort();
    int err = icelist_read(&got, ice);
    json_decref(ice);
    return err;
}

static void whole(void)
{
    CHECK_INT(reads("{\"ttl\":3600,\"iceServers\":[{\"urls\":[\"stun:relay.example:3478\"]},"
                    "{\"urls\":[\"turn:relay.example:3478?transport=udp\",\"turn:relay.example:3478?transport=tcp\"],"
                    "\"username\":\"u\",\"credential\":\"c\"}]}"),
              0);
    CHECK_INT(got.n, 3);
    CHECK_INT(got.ttl_s, 3600);
    CHECK_STR(got.server[0].uri, "stun:relay.example:3478");
    CHECK_STR(got.server[0].username, "");
    CHECK_STR(got.server[2].uri, "turn:relay.example:3478?transport=tcp");
    CHECK_STR(got.server[2].username, "u");
    CHECK_STR(got.server[2].password, "c");
    CHECK_STR(got.relay, "relay.example:3478");
}

static void relays(void)
{
    static const struct {
        const char *uri, *relay;
    } table[] = {{"turn:relay.example", "relay.example:3478"},
                 {"turn:192.0.2.1?transport=udp", "192.0.2.1:3478"},
                 {"turn:[2001:db8::1]?transport=udp", "[2001:db8::1]:3478"},
                 {"turn:[2001:db8:1:2:3:4:5:6]", "[2001:db8:1:2:3:4:5:6]:3478"}, /* what stands behind the text is not read: ASan */
                 {"turn:[2001:db8::1]:443", "[2001:db8::1]:443"}};
    char json[256];
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        snprintf(json, sizeof(json), "{\"iceServers\":[{\"urls\":\"%s\",\"username\":\"u\",\"credential\":\"c\"}]}", table[i].uri);
        CHECK_INT(reads(json), 0);
        CHECK_INT(got.n, 1);
        CHECK_STR(got.relay, table[i].relay);
    }
}

static void left_out(void)
{
    char json[1024], user[300];
    CHECK_INT(reads("{\"iceServers\":[{\"urls\":[\"turns:a:5349\",\"http://a\",7,\"turn:a\"]},{},7]}"), 0);
    CHECK_INT(got.n, 0); /* turn: without a credential */
    CHECK_STR(got.relay, "");
    memset(user, 'u', sizeof(user) - 1);
    user[sizeof(user) - 1] = '\0';
    snprintf(json, sizeof(json), "{\"iceServers\":[{\"urls\":\"turn:a\",\"username\":\"%s\",\"credential\":\"c\"}]}", user);
    CHECK_INT(reads(json), 0);
    CHECK_INT(got.n, 0);
    CHECK_INT(
        reads("{\"iceServers\":[{\"urls\":[\"stun:1\",\"stun:2\",\"stun:3\",\"stun:4\",\"stun:5\",\"stun:6\",\"stun:7\",\"stun:8\","
              "\"stun:9\"]}]}"),
        0);
    CHECK_INT(got.n, MEDIA_SERVERS_MAX);
}

static void no_list(void)
{
    CHECK_INT(reads("{}"), ERR_MALFORMED);
    CHECK_INT(reads("[]"), ERR_MALFORMED);
    CHECK_INT(reads("{\"iceServers\":7}"), ERR_MALFORMED);
    CHECK_INT(icelist_read(&got, NULL), ERR_MALFORMED);
    CHECK_INT(reads("{\"iceServers\":[],\"ttl\":-5}"), 0);
    CHECK_INT(got.ttl_s, 0);
    CHECK_INT(reads("{\"iceServers\":[],\"ttl\":99999999999}"), 0);
    CHECK(got.ttl_s > 0);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"STUN and TURN servers with their credentials, and how long they are good for", whole},
        {"the relay is the first TURN server, with its port", relays},
        {"what media can't use is left out: other schemes, no credential, too long, too many", left_out},
        {"no list is an error, and no time to live is for ever", no_list},
    };
    return tap_main(tests, sizeof(tests) / sizeof(tests[0]));
}
