#include "auth/sqlsource.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/roster.h"
#include "auth/sqlrules.h"
#include "auth/sqltokens.h"
#include "base/clock.h"
#include "base/err.h"

struct sqlsource {
    struct auth *auth; /* whose owners are limited */
    struct roster *roster;
    struct tokenstore_peers peers;
    char *realm;
    struct sql *db;    /* NULL: there is no store yet */
    bool unread, told; /* the rules for peers can't be read; and that has been told */
    bool loaded;       /* `last` is known, and all before it */
    int64_t version;   /* of the store, as it was when changes were read last; */
    int64_t last;      /* the last one of them; 0: there was none */
    uint64_t sweep_ms; /* when the next sweep is due */
    struct event look;
    struct sqlsource_events events; /* all NULL: nobody follows */
    char why[SQL_WHY_MAX];          /* as was told last; "": all is well */
    pthread_mutex_t lock;           /* of these: */
    pthread_cond_t looked;
    uint64_t begun, done; /* looks */
    char dir[];
};

/* ---- What has changed, into memory; then it is told what is to end: it is refused already. ---- */

static void tell_revoked(struct sqlsource *s, const char *name, int64_t before)
{
    struct auth_revocation r = {.expires_before = before};

    if (!s->events.revoked)
        return;
    snprintf(r.name, sizeof(r.name), "%s", name);
    s->events.revoked(s->events.ctx, &r);
}

static void tell_gone(void *ctx, const char *name)
{
    tell_revoked(ctx, name, 0);
}

/* The row of this name, or of any name if that is NULL. What is not there, or no token, or for another realm, serves nobody. */
static int take_credential(struct sqlsource *s, const char *name, struct sqlite3_stmt *row)
{
    struct token t;
    bool serves = sqltokens_read(row, &t) == 0 && token_serves(&t, s->realm), ended;
    int err = 0;

    if (serves)
        err = roster_put(s->roster, &t, &ended);
    else
        ended = name && roster_remove(s->roster, name);
    if (!err && ended)
        tell_revoked(s, serves ? t.id : name, 0);
    token_wipe(&t);
    return err;
}

static int take_mark(struct sqlsource *s, struct sqlite3_stmt *row)
{
    char user[STUN_USERNAME_MAX + 1];
    int64_t before = sql_int(row, 1);
    bool news;
    int err;

    if (!sql_text(row, 0, user, sizeof(user)) || before <= 0)
        return 0;
    err = roster_mark(s->roster, user, before, &news);
    if (!err && news)
        tell_revoked(s, user, before);
    return err;
}

/* Once, also when they were read before anybody followed. */
static void tell_unread(struct sqlsource *s)
{
    if (!s->unread || s->told || !s->events.unread)
        return;
    s->told = true;
    s->events.unread(s->events.ctx, "turnpike.db: the rules for peers are not texts that fit");
}

/* What is no text of ours leaves the rules as they are. */
static int read_peers(struct sqlsource *s)
{
    struct tokenstore_peers *fresh = malloc(sizeof(*fresh));
    int err = fresh ? sqlrules_peers(s->db, fresh) : ERR_NOMEM;
    bool news = !err && (strcmp(fresh->allow, s->peers.allow) != 0 || strcmp(fresh->deny, s->peers.deny) != 0);

    if (news)
        s->peers = *fresh;
    free(fresh);
    s->unread = err == ERR_MALFORMED;
    s->told = s->told && s->unread;
    tell_unread(s);
    if (news && s->events.peers)
        s->events.peers(s->events.ctx, &s->peers);
    return err == ERR_MALFORMED ? 0 : err;
}

static int limit_owner(void *ctx, const char *owner, const struct auth_limits *limits)
{
    const struct sqlsource *s = ctx;

    return auth_limit_owner(s->auth, owner, limits);
}

static int read_quota(struct sqlsource *s, const char *owner)
{
    struct auth_limits limits;
    int err = sqlrules_quota(s->db, owner, &limits);

    return err ? err : limit_owner(s, owner, &limits);
}

static int read_quotas(struct sqlsource *s)
{
    int err;

    auth_owners_begin(s->auth);
    err = sqlrules_quotas(s->db, limit_owner, s);
    if (!err)
        auth_owners_end(s->auth);
    return err;
}

/* ---- Reading everything. ---- */

static int read_marks(struct sqlsource *s, const char *text, const struct sql_value *values, size_t n)
{
    struct sqlite3_stmt *rows;
    int err = sql_start(s->db, &rows, text, values, n);

    while (!err && (err = sql_next(s->db, rows)) == 1)
        err = take_mark(s, rows);
    sql_end(&rows);
    return err;
}

static int read_credentials(struct sqlsource *s)
{
    struct sqlite3_stmt *rows;
    int err = sql_start(s->db, &rows, "SELECT " SQLTOKENS_COLUMNS " FROM credential WHERE revoked_at = 0 AND ends > ?",
                        SQL_VALUES(SQL_INT(clock_now().wall)));

    while (!err && (err = sql_next(s->db, rows)) == 1)
        err = take_credential(s, NULL, rows);
    sql_end(&rows);
    return err;
}

static int read_last(struct sqlsource *s, int64_t *last)
{
    struct sqlite3_stmt *rows;
    int err = sql_start(s->db, &rows, "SELECT coalesce(max(seq), 0) FROM change", NULL, 0);

    if (!err && (err = sql_next(s->db, rows)) == 1) {
        *last = sql_int(rows, 0);
        err = 0;
    }
    sql_end(&rows);
    return err;
}

/* In one transaction, so that nothing changes between one table and the next. */
static int load(struct sqlsource *s)
{
    int64_t last = 0;
    int err = sql_begin(s->db, false);

    if (err)
        return err;
    roster_begin(s->roster);
    err = read_last(s, &last);
    if (!err)
        err = read_marks(s, "SELECT user, before FROM mark", NULL, 0);
    if (!err)
        err = read_credentials(s);
    if (!err)
        err = read_quotas(s);
    if (!err)
        err = read_peers(s);
    err = sql_finish(s->db, err);
    if (err)
        return err;
    roster_end(s->roster, tell_gone, s);
    s->last = last;
    s->loaded = true;
    return 0;
}

/* ---- Reading what has changed. ---- */

/* A change, behind the columns of the credential that it is about, which may be gone. */
enum { COLUMN_SEQ = SQLTOKENS_COLUMNS_N, COLUMN_ABOUT, COLUMN_WHAT };
static const char CHANGES[] = "SELECT " SQLTOKENS_COLUMNS ", seq, about, what FROM change"
                              " LEFT JOIN credential ON about = 0 AND name = what WHERE seq >= ? ORDER BY seq";
_Static_assert(SQLTOKENS_CREDENTIAL == 0, "as the statement says");

static int take_change(struct sqlsource *s, struct sqlite3_stmt *row)
{
    char what[STUN_USERNAME_MAX + 1];

    if (!sql_text(row, COLUMN_WHAT, what, sizeof(what)))
        return 0;
    switch (sql_int(row, COLUMN_ABOUT)) {
    case SQLTOKENS_CREDENTIAL:
        return take_credential(s, what, row);
    case SQLTOKENS_MARK:
        return read_marks(s, "SELECT user, before FROM mark WHERE user = ?", SQL_VALUES(SQL_TEXT(what)));
    case SQLTOKENS_PEERS:
        return read_peers(s);
    case SQLTOKENS_QUOTA:
        return read_quota(s, what);
    default:
        return 0;
    }
}

/* From the last one seen on. Where a number is missing, somebody has swept before we came, or the store is another one: all is read again. */
static int follow(struct sqlsource *s)
{
    struct sqlite3_stmt *rows;
    int64_t first = s->last, seq;
    int err = sql_start(s->db, &rows, CHANGES, SQL_VALUES(SQL_INT(first)));

    s->loaded = s->last == 0;
    while (!err && (err = sql_next(s->db, rows)) == 1) {
        err = 0;
        seq = sql_int(rows, COLUMN_SEQ);
        s->loaded = seq == s->last || seq == s->last + 1; /* the last one seen may have been swept, or still be there */
        if (!s->loaded)
            break;
        if (seq != s->last)
            err = take_change(s, rows);
        if (!err)
            s->last = seq;
    }
    sql_end(&rows);
    s->loaded = s->loaded || err; /* then it is tried again from here */
    return err;
}

/* ---- Looking, now and then. ---- */

static int look(struct sqlsource *s, char why[static SQL_WHY_MAX])
{
    int64_t version = 0;
    int err = s->db ? 0 : sql_open(&s->db, s->dir, false, SQL_PATIENCE_MS, why);

    if (err)
        return err == ERR_NOENT ? 0 : err;
    err = sql_version(s->db, &version);
    if (!err && s->loaded && version != s->version)
        err = follow(s);
    if (!err && !s->loaded)
        err = load(s);
    if (!err)
        s->version = version;
    else
        snprintf(why, SQL_WHY_MAX, "%s", sql_why(s->db));
    if (err == ERR_STALE) { /* another file has taken its place, or none: what is known serves until there is one */
        sql_close(&s->db);
        s->loaded = false;
        err = 0;
    }
    return err;
}

/* What cannot be deleted now (a full disk) is refused all the same, and tried again. */
static void sweep(struct sqlsource *s, struct now now)
{
    bool more = false;

    if (!s->db || now.ms < s->sweep_ms)
        return;
    roster_sweep(s->roster, now.wall);
    (void)sqltokens_sweep(s->db, now.wall, &more);
    s->sweep_ms = now.ms + (more ? SQLSOURCE_SWEEP_ON_MS : SQLSOURCE_SWEEP_MS);
}

static void tell_health(struct sqlsource *s, const char *why)
{
    if (strcmp(s->why, why) == 0)
        return;
    snprintf(s->why, sizeof(s->why), "%s", why);
    s->events.health(s->events.ctx, why[0] ? why : NULL);
}

static void look_again(struct sqlsource *s, bool well)
{
    int ms = well ? SQLSOURCE_LOOK_MS : SQLSOURCE_RETRY_MS;
    struct timeval in = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    evtimer_add(&s->look, &in);
}

static void count_look(struct sqlsource *s, uint64_t *count)
{
    pthread_mutex_lock(&s->lock);
    (*count)++;
    pthread_cond_broadcast(&s->looked);
    pthread_mutex_unlock(&s->lock);
}

static void prepare_lock(struct sqlsource *s)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->looked, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&s->lock, NULL);
}

static void on_look(evutil_socket_t fd, short what, void *ctx)
{
    struct sqlsource *s = ctx;
    char why[SQL_WHY_MAX] = "";
    int err;

    (void)fd, (void)what;
    count_look(s, &s->begun);
    err = look(s, why);
    count_look(s, &s->done);
    tell_health(s, err ? why : "");
    if (!err)
        sweep(s, clock_now());
    look_again(s, !err);
}

int sqlsource_follow(struct sqlsource *s, struct event_base *base, const struct sqlsource_events *events)
{
    s->events = *events;
    if (evtimer_assign(&s->look, base, on_look, s))
        return ERR_NOMEM;
    tell_unread(s);
    look_again(s, true);
    return 0;
}

void sqlsource_stop(struct sqlsource *s)
{
    if (!s || !s->events.revoked)
        return;
    evtimer_del(&s->look);
    s->events = (struct sqlsource_events){0};
}

void sqlsource_catch_up(struct sqlsource *s)
{
    struct timespec until;
    uint64_t next;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += SQLSOURCE_CATCH_UP_S;
    pthread_mutex_lock(&s->lock);
    next = s->begun + 1; /* one that is under way may have been too early */
    while (s->done < next && pthread_cond_timedwait(&s->looked, &s->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&s->lock);
}

const struct tokenstore_peers *sqlsource_peers(const struct sqlsource *s)
{
    return &s->peers;
}

const char *sqlsource_dir(const struct sqlsource *s)
{
    return s->dir;
}

size_t sqlsource_count(const struct sqlsource *s)
{
    return roster_count(s->roster);
}

/* ---- The source. ---- */

static enum auth_status check(void *self, const struct auth_request *request, struct auth_answer *answer, auth_cb *cb, void *ctx,
                              struct auth_ticket **ticket)
{
    (void)cb, (void)ctx, (void)ticket;
    return roster_check(((struct sqlsource *)self)->roster, request, answer);
}

static void cancel(void *self, struct auth_ticket *ticket)
{
    (void)self, (void)ticket;
}

static bool refuses(void *self, const char *name)
{
    return roster_refuses(((struct sqlsource *)self)->roster, name);
}

static void free_source(void *self)
{
    struct sqlsource *s = self;

    sql_close(&s->db);
    roster_free(&s->roster);
    pthread_cond_destroy(&s->looked);
    pthread_mutex_destroy(&s->lock);
    free(s->realm);
    free(s);
}

int sqlsource_add(struct sqlsource **out, struct auth *a, const struct sqlsource_config *config, char why[static SQL_WHY_MAX])
{
    size_t len = strlen(config->dir);
    struct sqlsource *s = calloc(1, sizeof(*s) + len + 1);
    int err;

    *out = NULL;
    snprintf(why, SQL_WHY_MAX, "%s", err_str(ERR_NOMEM));
    if (!s)
        return ERR_NOMEM;
    memcpy(s->dir, config->dir, len);
    prepare_lock(s);
    s->auth = a;
    s->realm = strdup(auth_realm(a));
    err = s->realm ? roster_new(&s->roster, s->realm, config->separator) : ERR_NOMEM;
    if (!err)
        err = look(s, why);
    if (!err)
        err = auth_add_source(a, &(struct auth_source){.name = "store",
                                                       .can_sha256 = true,
                                                       .can_userhash = true,
                                                       .check = check,
                                                       .cancel = cancel,
                                                       .free = free_source,
                                                       .refuses = refuses,
                                                       .self = s});
    if (err) {
        free_source(s);
        s = NULL;
    }
    *out = s;
    return err;
}
