#include "auth/fleet.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct fleet {
    pthread_rwlock_t lock; /* asked for when an Allocate is sent elsewhere, and by nothing else */
    struct fleet_node nodes[FLEET_NODES_MAX];
    size_t n;
    atomic_uint turn; /* those who are near each other take turns */
    atomic_bool draining;
};

/* ---- Ids. ---- */

static const char ID_CHARS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

bool fleet_id_ok(const char *id)
{
    size_t len = strlen(id);

    return len > 0 && len <= FLEET_ID_MAX && strspn(id, ID_CHARS) == len;
}

void fleet_id_make(char out[static FLEET_ID_MAX + 1], const char *text)
{
    snprintf(out, FLEET_ID_MAX + 1, "%s", text);
    for (char *p = out; *p; p++)
        if (!strchr(ID_CHARS, *p))
            *p = '-';
}

/* ---- Records. ---- */

void fleet_uri(char out[static FLEET_URI_MAX], const struct fleet_address *a, bool turn)
{
    char text[ADDR_TEXT_MAX];

    snprintf(out, FLEET_URI_MAX, "%s:%s%s", turn ? "turn" : "stun", addr_text(&a->addr, text),
             !turn       ? ""
             : a->stream ? "?transport=tcp"
                         : "?transport=udp");
}

static void append(char *out, size_t cap, const char *separator, const char *text)
{
    size_t len = strlen(out);

    snprintf(out + len, cap - len, "%s%s", len ? separator : "", text);
}

static void write_addresses(const struct fleet_node *n, struct fleet_text *text)
{
    char entry[ADDR_TEXT_MAX + 8], addr[ADDR_TEXT_MAX], uri[FLEET_URI_MAX];

    text->addresses[0] = text->uris[0] = '\0';
    for (size_t i = 0; i < n->naddresses; i++) {
        const struct fleet_address *a = &n->address[i];

        snprintf(entry, sizeof(entry), "%s %s", a->stream ? "tcp" : "udp", addr_text(&a->addr, addr));
        append(text->addresses, sizeof(text->addresses), ",", entry);
        for (int turn = a->stream; turn < 2; turn++) { /* STUN over UDP alone: nobody needs it over TCP */
            fleet_uri(uri, a, turn);
            append(text->uris, sizeof(text->uris), " ", uri);
        }
    }
}

size_t fleet_write(const struct fleet_node *n, struct fleet_text *text, struct fleet_field fields[static FLEET_FIELDS_MAX])
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"started", (uint64_t)n->started}, {"capacity", n->capacity}, {"load", n->load}, {"used", n->used}, {"full", n->full}};
    size_t count = 0;

    write_addresses(n, text);
    fields[count++] = (struct fleet_field){.name = "draining", .value = n->draining ? "1" : "0"};
    fields[count++] = (struct fleet_field){.name = "addresses", .value = text->addresses};
    fields[count++] = (struct fleet_field){.name = "uris", .value = text->uris};
    fields[count++] = (struct fleet_field){.name = "version", .value = n->version};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        snprintf(text->numbers[i], sizeof(text->numbers[i]), "%llu", (unsigned long long)numbers[i].value);
        fields[count++] = (struct fleet_field){.name = numbers[i].name, .value = text->numbers[i]};
    }
    for (size_t i = 0; i < count; i++)
        fields[i].len = strlen(fields[i].value);
    return count;
}

static int read_number(uint64_t *out, const struct fleet_field *f)
{
    enum { DIGITS_MAX = 18 }; /* all of which fit */

    if (f->len == 0 || f->len > DIGITS_MAX || strspn(f->value, "0123456789") != f->len)
        return ERR_MALFORMED;
    *out = strtoull(f->value, NULL, 10);
    return 0;
}

static int read_addresses(struct fleet_node *n, const struct fleet_field *f)
{
    char text[sizeof(((struct fleet_text *)0)->addresses)], *rest = text, *entry;

    if (f->len >= sizeof(text) || memchr(f->value, '\0', f->len))
        return ERR_MALFORMED;
    memcpy(text, f->value, f->len);
    text[f->len] = '\0';
    n->naddresses = 0;
    while (*text && (entry = strsep(&rest, ","))) {
        struct fleet_address *a = &n->address[n->naddresses];

        if (n->naddresses == FLEET_ADDRESSES_MAX || (strncmp(entry, "udp ", 4) != 0 && strncmp(entry, "tcp ", 4) != 0) ||
            addr_parse(&a->addr, entry + 4) || addr_is_any(&a->addr) || a->addr.port == 0)
            return ERR_MALFORMED;
        a->stream = entry[0] == 't';
        n->naddresses++;
    }
    return 0;
}

static int read_field(struct fleet_node *n, const struct fleet_field *f)
{
    uint64_t number = 0;
    int err = 0;

    if (strcmp(f->name, "addresses") == 0)
        return read_addresses(n, f);
    if (strcmp(f->name, "version") == 0) {
        if (f->len > FLEET_VERSION_MAX)
            return ERR_MALFORMED;
        for (size_t i = 0; i < f->len; i++)
            if (f->value[i] <= ' ' || f->value[i] > '~')
                return ERR_MALFORMED;
        memcpy(n->version, f->value, f->len);
        n->version[f->len] = '\0';
    } else if (strcmp(f->name, "started") == 0) {
        err = read_number(&number, f);
        n->started = (int64_t)number;
    } else if (strcmp(f->name, "capacity") == 0) {
        err = read_number(&n->capacity, f);
    } else if (strcmp(f->name, "load") == 0) {
        err = read_number(&n->load, f);
    } else if (strcmp(f->name, "used") == 0) {
        err = read_number(&n->used, f);
    } else if (strcmp(f->name, "full") == 0) {
        err = read_number(&number, f);
        n->full = number != 0;
    } else if (strcmp(f->name, "draining") == 0) {
        err = read_number(&number, f);
        n->draining = number != 0;
    }
    return err;
}

int fleet_read(struct fleet_node *n, const char *id, const struct fleet_field *fields, size_t count)
{
    int err = 0;

    *n = (struct fleet_node){0};
    if (!fleet_id_ok(id))
        return ERR_MALFORMED;
    memcpy(n->id, id, strlen(id) + 1);
    for (size_t i = 0; i < count && !err; i++)
        err = read_field(n, &fields[i]);
    return err || !n->naddresses ? ERR_MALFORMED : 0;
}

/* ---- Choosing. ---- */

static bool has_room(const struct fleet_node *n)
{
    return !n->draining && !n->full;
}

static int compare(const void *a, const void *b)
{
    const struct fleet_node *x = a, *y = b;

    if (has_room(x) != has_room(y))
        return has_room(x) ? -1 : 1;
    if (x->used != y->used)
        return x->used < y->used ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

size_t fleet_choose(struct fleet_node *nodes, size_t n, uint64_t seed)
{
    size_t usable = 0;

    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U; /* Knuth's: no secret hangs on it */
        nodes[i].rank = seed >> 16;
        usable += has_room(&nodes[i]);
    }
    if (n)
        qsort(nodes, n, sizeof(*nodes), compare);
    return usable;
}

/* ---- What the workers see. ---- */

int fleet_new(struct fleet **out)
{
    struct fleet *f = calloc(1, sizeof(*f));

    *out = f;
    if (!f)
        return ERR_NOMEM;
    pthread_rwlock_init(&f->lock, NULL);
    return 0;
}

void fleet_free(struct fleet **f)
{
    if (!*f)
        return;
    pthread_rwlock_destroy(&(*f)->lock);
    free(*f);
    *f = NULL;
}

void fleet_publish(struct fleet *f, const struct fleet_node *nodes, size_t n)
{
    pthread_rwlock_wrlock(&f->lock);
    if (n)
        memcpy(f->nodes, nodes, n * sizeof(*nodes));
    f->n = fleet_choose(f->nodes, n, n);
    pthread_rwlock_unlock(&f->lock);
}

void fleet_drain(struct fleet *f, bool draining)
{
    atomic_store(&f->draining, draining);
}

bool fleet_draining(const struct fleet *f)
{
    return atomic_load_explicit(&f->draining, memory_order_relaxed);
}

static const struct addr *address_of(const struct fleet_node *n, enum addr_family family, bool stream)
{
    for (size_t i = 0; i < n->naddresses; i++)
        if (n->address[i].addr.family == family && n->address[i].stream == stream)
            return &n->address[i].addr;
    return NULL;
}

bool fleet_elsewhere(struct fleet *f, enum addr_family family, bool stream, struct addr *out)
{
    const struct addr *near[FLEET_NODES_MAX], *a;
    uint64_t least = 0;
    size_t n = 0;

    pthread_rwlock_rdlock(&f->lock);
    for (size_t i = 0; i < f->n; i++) { /* the least loaded first */
        a = address_of(&f->nodes[i], family, stream);
        if (!a)
            continue;
        if (!n)
            least = f->nodes[i].used;
        if (f->nodes[i].used > least + FLEET_NEAR)
            break;
        near[n++] = a;
    }
    if (n)
        *out = *near[atomic_fetch_add(&f->turn, 1) % n];
    pthread_rwlock_unlock(&f->lock);
    return n > 0;
}
