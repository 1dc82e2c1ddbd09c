#include "programs/process.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"

void process_limits(void)
{
    struct rlimit limit;

    /* Each relayed address is a descriptor, and a call of the bridge's some ten. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    /* Passwords and keys are in this process's memory: none of them into a file (S24). */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

int process_start_log(const struct log_config *config, char *text, size_t cap)
{
    int err = log_start(config);

    if (err)
        snprintf(text, cap, "log-file %s can't be opened: %s", config->file, err_str(err));
    return err;
}

void process_warn(const struct conf_list *warnings)
{
    for (size_t i = 0; i < warnings->n; i++)
        LOG(LOG_WARNING, "configuration_warning", LOG_STR("text", warnings->item[i]));
}

int process_write_ready(const char *path, json_t *root)
{
    char temporary[4096];
    int err = 0;

    if ((size_t)snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid()) >= sizeof(temporary))
        err = ERR_NOSPC;
    if (!err && (json_dump_file(root, temporary, JSON_INDENT(1)) || rename(temporary, path))) {
        err = errno ? -errno : ERR_IO;
        unlink(temporary);
    }
    json_decref(root);
    if (err)
        LOG(LOG_ERROR, "ready_file_failed", LOG_STR("file", path), LOG_ERR("reason", err));
    return err;
}
