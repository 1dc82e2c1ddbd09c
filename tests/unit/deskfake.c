#include "tests/unit/deskfake.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "connect/rpc.h"
#include "stun/integrity.h"

enum { WAITING_MAX = 64, WORKER = 3 };

struct fake_client fake[FAKE_CLIENTS];
struct desk *fake_desk;
struct auth *fake_auth;
struct now fake_now;
int64_t fake_expires_at;
enum auth_status fake_auth_is;
unsigned fake_cancelled, fake_forgotten, fake_ice_wanted, fake_ice_retracted, fake_nrelayed;
char fake_relayed[ADDR_TEXT_MAX], fake_relayed_call[64];
bool fake_ice_refuses, fake_ice_waits;

static json_t *last;

/* ---- jansson's memory. ---- */

long fake_json_left = -1;

static void *allocate(size_t n)
{
    return fake_json_left >= 0 && fake_json_left-- == 0 ? NULL : malloc(n);
}

/* ---- The source: the name says all of it. ---- */

static const struct {
    const char *name, *owner, *tenant;
    unsigned scope;
} FAKE_TOKENS[] = {
    {"alice", "alice", "north", AUTH_SCOPE_PHONE | AUTH_SCOPE_TURN},
    {"alice2", "alice", "north", AUTH_SCOPE_PHONE},
    {"bob", "bob", "north", AUTH_SCOPE_PHONE},
    {"carol", "alice", "south", AUTH_SCOPE_PHONE}, /* of the same name, elsewhere */
    {"office", "office", "north", AUTH_SCOPE_BRIDGE},
    {"office2", "office", "north", AUTH_SCOPE_BRIDGE},
    {"southern", "office", "south", AUTH_SCOPE_BRIDGE},
    {"both", "both", "north", AUTH_SCOPE_BRIDGE | AUTH_SCOPE_PHONE},
    {"turn", "turn", "north", AUTH_SCOPE_TURN},
    {"nobody", "nobody", "", AUTH_SCOPE_PHONE},
};

struct ticket {
    struct auth_ticket ticket; /* first */
    auth_cb *cb;
    void *ctx;
    char name[64];
};
static struct ticket *pending;

static void fill(struct auth_answer *answer, const char *name, const char *owner, const char *tenant, unsigned scope)
{
    answer->nkeys = 1;
    answer->key_len = STUN_MD5_KEY_LEN;
    stun_key_md5(name, "realm", "pw", answer->keys[0]);
    answer->expires_at = fake_expires_at;
    answer->scope = scope;
    snprintf(answer->name, sizeof(answer->name), "%s", name);
    snprintf(answer->owner, sizeof(answer->owner), "%s", owner);
    snprintf(answer->tenant, sizeof(answer->tenant), "%s", tenant);
}

static enum auth_status answer_of(const char *name, struct auth_answer *answer)
{
    if (name[0] == '#') { /* one of a crowd */
        fill(answer, name, name, "north", AUTH_SCOPE_PHONE);
        return AUTH_OK;
    }
    for (size_t i = 0; i < sizeof(FAKE_TOKENS) / sizeof(FAKE_TOKENS[0]); i++) {
        if (strcmp(FAKE_TOKENS[i].name, name) != 0)
            continue;
        fill(answer, name, FAKE_TOKENS[i].owner, FAKE_TOKENS[i].tenant, FAKE_TOKENS[i].scope);
        return AUTH_OK;
    }
    return AUTH_UNKNOWN;
}

static enum auth_status check(void *self, const struct auth_request *request, struct auth_answer *answer, auth_cb *cb, void *ctx,
                              struct auth_ticket **ticket)
{
    (void)self;
    if (fake_auth_is == AUTH_OK)
        return answer_of(request->user, answer);
    if (fake_auth_is != AUTH_PENDING)
        return fake_auth_is;
    pending = calloc(1, sizeof(*pending));
    if (!pending)
        abort();
    pending->cb = cb;
    pending->ctx = ctx;
    snprintf(pending->name, sizeof(pending->name), "%s", request->user);
    *ticket = &pending->ticket;
    return AUTH_PENDING;
}

static void cancel(void *self, struct auth_ticket *ticket)
{
    (void)self;
    free(ticket);
    pending = NULL;
    fake_cancelled++;
}

static void forget(void *self, unsigned worker, const struct auth_revocation *revocation)
{
    (void)self, (void)revocation;
    fake_forgotten += worker == WORKER;
}

void fake_auth_answers(void)
{
    struct auth_answer answer = {0};
    struct ticket *t = pending;

    pending = NULL;
    if (!t)
        return;
    answer.status = answer_of(t->name, &answer);
    t->cb(t->ctx, &answer);
    free(t);
}

/* ---- ICE servers. ---- */

static struct {
    desk_ice_cb *cb;
    void *ctx;
} waiting[WAITING_MAX];
static unsigned nwaiting, nissued;

static int ice(void *host, const struct desk_ice *request, desk_ice_cb *cb, void *ctx)
{
    (void)host, (void)request;
    fake_ice_wanted++;
    if (fake_ice_refuses || nwaiting == WAITING_MAX)
        return ERR_AGAIN;
    waiting[nwaiting].cb = cb;
    waiting[nwaiting++].ctx = ctx;
    return 0;
}

static void retract(void *host, const json_t *ice)
{
    (void)host, (void)ice;
    fake_ice_retracted++;
}

static void relayed(void *host, const char *call, const struct addr *address, const json_t *ice)
{
    (void)host, (void)ice;
    snprintf(fake_relayed_call, sizeof(fake_relayed_call), "%s", call);
    addr_text(address, fake_relayed);
    fake_nrelayed++;
}

void fake_ice_comes(bool good)
{
    while (nwaiting) {
        char name[16];
        json_t *object;

        snprintf(name, sizeof(name), "ice%u", nissued++);
        object = good ? json_pack("{s:[{s:s}],s:i}", "iceServers", "username", name, "ttl", 3600) : NULL;
        nwaiting--;
        waiting[nwaiting].cb(waiting[nwaiting].ctx, object);
        json_decref(object);
    }
}

/* ---- Links. ---- */

static void link_send(void *carrier, const char *text, size_t len)
{
    struct fake_client *c = carrier;
    long left = fake_json_left;
    json_t *message;

    fake_json_left = -1; /* we have enough */
    message = json_loadb(text, len, 0, NULL);

    if (c->code || !message || len > LINK_MESSAGE_MAX)
        abort(); /* behind a close; no JSON; too long */
    json_array_append_new(c->heard, message);
    c->nheard++;
    fake_json_left = left;
}

static void link_close(void *carrier, enum link_code code, const char *reason)
{
    struct fake_client *c = carrier;

    (void)reason;
    c->code = (int)code;
}

static size_t link_room(void *carrier)
{
    const struct fake_client *c = carrier;

    return LINK_QUEUE_MAX - c->waits;
}

static void link_known(void *carrier)
{
    struct fake_client *c = carrier;

    c->known = true;
}

static const struct link_ops LINK = {link_send, link_close, link_room, link_known};

void fake_open(int i)
{
    struct fake_client *c = &fake[i];
    struct addr source = {.family = ADDR_V4, .port = (uint16_t)(1000 + i), .ip = {192, 0, 2, (uint8_t)(i / 8)}};

    fake_gone(i);
    json_decref(c->heard);
    *c = (struct fake_client){.heard = json_array()};
    c->seat = desk_open(fake_desk, &(struct link){&LINK, c}, &source, &fake_now);
}

void fake_gone(int i)
{
    if (fake[i].seat)
        desk_closed(fake[i].seat, &fake_now);
    fake[i].seat = NULL;
}

static void quote(char *text)
{
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
}

json_t *fake_json(const char *text)
{
    static char copy[FAKE_TEXT_MAX];

    snprintf(copy, sizeof(copy), "%s", text);
    quote(copy);
    return json_loads(copy, 0, NULL);
}

void fake_say(int i, const char *format, ...)
{
    static char text[FAKE_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    quote(text);
    if (fake[i].seat)
        desk_text(fake[i].seat, text, strlen(text), &fake_now);
    if (!fake_ice_waits)
        fake_ice_comes(true);
}

const char *fake_hears(int i)
{
    static char text[FAKE_TEXT_MAX];
    json_t *next = json_array_get(fake[i].heard, 0);
    char *dump;

    json_decref(last);
    last = json_incref(next);
    json_array_remove(fake[i].heard, 0);
    dump = last ? json_dumps(last, JSON_COMPACT) : NULL;
    snprintf(text, sizeof(text), "%s", dump ? dump : "");
    free(dump);
    for (char *p = text; *p; p++)
        *p = *p == '"' ? '\'' : *p;
    return text;
}

bool fake_hears_of(int i, const char *part)
{
    const char *text = fake_hears(i);
    bool found = strstr(text, part) != NULL;

    if (!found)
        printf("# client %d hears %s, not of %s\n", i, text[0] ? text : "nothing", part);
    return found;
}

bool fake_hears_at_last(int i, const char *part)
{
    while (json_array_size(fake[i].heard))
        if (strstr(fake_hears(i), part))
            return true;
    printf("# client %d does not hear of %s\n", i, part);
    return false;
}

const json_t *fake_member_json(const char *name)
{
    const json_t *of = json_object_get(last, "result");

    return json_object_get(of ? of : json_object_get(last, "params"), name);
}

const char *fake_member(const char *name)
{
    const char *text = json_string_value(fake_member_json(name));

    return text ? text : "";
}

bool fake_hello(int i, const char *token, const char *role)
{
    fake_open(i);
    fake_say(i, "{'jsonrpc':'2.0','id':1,'method':'hello','params':{'token':{'username':'%s','password':'pw'},'role':'%s'}}", token,
             role);
    return fake_hears_of(i, "'session':");
}

void fake_resume(int i, const char *token, const char *role, const char *session, const char *secret)
{
    fake_say(i,
             "{'jsonrpc':'2.0','id':8,'method':'hello','params':{'token':{'username':'%s','password':'pw'},'role':'%s',"
             "'resume':{'session':'%s','secret':'%s'}}}",
             token, role, session, secret);
}

/* ---- Life. ---- */

void fake_after(unsigned ms)
{
    fake_now.ms += ms;
    fake_now.wall += ms / 1000;
    desk_tick(fake_desk, &fake_now);
}

void fake_down(void)
{
    for (int i = 0; i < FAKE_CLIENTS; i++) {
        fake_gone(i);
        json_decref(fake[i].heard);
        fake[i] = (struct fake_client){0};
    }
    desk_free(&fake_desk);
    fake_ice_comes(false);
    auth_free(&fake_auth);
    json_decref(last);
    last = NULL;
}

bool fake_up(void)
{
    struct auth_source source = {.name = "fake", .check = check, .cancel = cancel, .forget = forget};

    json_set_alloc_funcs(allocate, free);
    fake_down();
    log_reconfigure(&(struct log_config){.level = LOG_ERROR});
    fake_now = (struct now){.ms = 1000000, .wall = FAKE_WALL};
    fake_expires_at = 0;
    fake_auth_is = AUTH_OK;
    fake_cancelled = fake_forgotten = fake_ice_wanted = fake_ice_retracted = fake_nrelayed = nissued = 0;
    fake_ice_refuses = fake_ice_waits = false;
    return auth_new(&fake_auth, &(struct auth_config){.realm = "realm"}) == 0 && auth_add_source(fake_auth, &source) == 0 &&
           desk_new(&fake_desk,
                    &(struct desk_config){
                        .auth = fake_auth, .worker = WORKER, .host = {.ice = ice, .retract = retract, .relayed = relayed}},
                    &fake_now) == 0;
}
