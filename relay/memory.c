#include "relay/memory.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

enum {
    FILE_BYTES = 8192, /* the longest is memory.stat, of a few KB; what we read of it stands in its first lines */
};

struct memory {
    const char *root;
    uint64_t page;
    atomic_bool is_short;
    bool told; /* that it is short */
    uint64_t told_ms;
};

int memory_new(struct memory **out, const char *root)
{
    struct memory *m = calloc(1, sizeof(*m));

    *out = m;
    if (!m)
        return ERR_NOMEM;
    m->root = root;
    m->page = (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

void memory_free(struct memory **m)
{
    free(*m);
    *m = NULL;
}

bool memory_is_short(const struct memory *m)
{
    return m && atomic_load_explicit(&m->is_short, memory_order_relaxed);
}

/* ---- Reading. ---- */

/* A file of the kernel's as text; false: it isn't there. */
static bool read_file(char text[static FILE_BYTES], const char *root, const char *path, const char *name)
{
    char full[PATH_MAX];
    int fd = -1;
    ssize_t n = -1;

    if ((size_t)snprintf(full, sizeof(full), "%s%s%s", root, path, name) < sizeof(full))
        fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, FILE_BYTES - 1);
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The number behind `label` at the beginning of a line; false: there is none ("max", "unlimited"). */
static bool number_after(const char *text, const char *label, uint64_t *out)
{
    size_t len = strlen(label);

    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char *end;

        if (strncmp(line, label, len) != 0)
            continue;
        *out = strtoull(line + len, &end, 10);
        return end != line + len;
    }
    return false;
}

/* The nearest limit is the one of which the largest part is used. */
static void consider(struct memory_state *nearest, uint64_t used, uint64_t heap_free, uint64_t limit, const char *name,
                     const char *file)
{
    used -= used < heap_free ? used : heap_free;
    if (!limit || (nearest->limit && (double)used / (double)limit <= (double)nearest->used / (double)nearest->limit))
        return;
    nearest->used = used;
    nearest->limit = limit;
    snprintf(nearest->name, sizeof(nearest->name), "%s%s", name, file);
}

static void look_at_rlimits(const struct memory *m, uint64_t heap_free, struct memory_state *nearest)
{
    char text[FILE_BYTES];
    uint64_t size = 0, data = 0, limit;

    if (!read_file(text, m->root, "/proc/self/", "statm") ||
        sscanf(text, "%" SCNu64 " %*u %*u %*u %*u %" SCNu64, &size, &data) != 2 ||
        !read_file(text, m->root, "/proc/self/", "limits"))
        return;
    if (number_after(text, "Max address space", &limit))
        consider(nearest, size * m->page, heap_free, limit, "RLIMIT_AS", "");
    if (number_after(text, "Max data size", &limit))
        consider(nearest, data * m->page, heap_free, limit, "RLIMIT_DATA", "");
}

/* One cgroup. Its page cache goes before anything of ours does. */
static void look_at_cgroup(const struct memory *m, uint64_t heap_free, const char *path, struct memory_state *nearest)
{
    char text[FILE_BYTES];
    uint64_t limit, used, active = 0, inactive = 0;

    if (!read_file(text, m->root, path, "/memory.max") || !number_after(text, "", &limit) ||
        !read_file(text, m->root, path, "/memory.current") || !number_after(text, "", &used))
        return;
    if (read_file(text, m->root, path, "/memory.stat")) {
        number_after(text, "active_file ", &active);
        number_after(text, "inactive_file ", &inactive);
    }
    used -= used < active + inactive ? used : active + inactive;
    consider(nearest, used, heap_free, limit, path, "/memory.max");
}

/* Our own cgroup (v2), and all that it stands in. */
static void look_at_cgroups(const struct memory *m, uint64_t heap_free, struct memory_state *nearest)
{
    static const char MOUNT[] = "/sys/fs/cgroup";
    char text[FILE_BYTES], path[sizeof(MOUNT) + FILE_BYTES];
    const char *own;

    if (!read_file(text, m->root, "/proc/self/", "cgroup"))
        return;
    own = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!own)
        return;
    own = strstr(own, "0::") + 3;
    snprintf(path, sizeof(path), "%s%.*s", MOUNT, (int)strcspn(own, "\n"), own);
    while (strlen(path) >= sizeof(MOUNT) - 1) {
        size_t len = strlen(path);

        if (path[len - 1] != '/')
            look_at_cgroup(m, heap_free, path, nearest);
        *strrchr(path, '/') = '\0';
    }
}

/* ---- Judging. ---- */

static bool reaches(const struct memory_state *state, unsigned percent)
{
    return state->limit && state->used / percent >= state->limit / 100;
}

static void look_at_all(const struct memory *m, uint64_t heap_free, struct memory_state *nearest)
{
    *nearest = (struct memory_state){0};
    look_at_rlimits(m, heap_free, nearest);
    look_at_cgroups(m, heap_free, nearest);
}

void memory_look(struct memory *m, memory_heap_free *heap_free, uint64_t now_ms, struct memory_state *state)
{
    unsigned percent = memory_is_short(m) ? MEMORY_ENOUGH_PERCENT : MEMORY_SHORT_PERCENT;

    look_at_all(m, 0, state);
    if (reaches(state, percent))
        look_at_all(m, heap_free(), state);
    state->is_short = reaches(state, percent);
    atomic_store_explicit(&m->is_short, state->is_short, memory_order_relaxed);
    if (state->is_short == m->told || (state->is_short && m->told_ms && now_ms - m->told_ms < MEMORY_LOG_S * 1000ULL))
        return;
    if (state->is_short)
        m->told_ms = now_ms;
    m->told = state->is_short;
    state->tell = true;
}
