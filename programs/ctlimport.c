/* turnpikectl import-coturn: a file of coturn's becomes ours on standard output. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "programs/coturn.h"
#include "programs/ctl.h"

int ctlimport_coturn(struct ctl *c)
{
    const char *slash = strrchr(c->argument, '/');
    FILE *in = fopen(c->argument, "re");
    int err;

    if (!in)
        return ctl_complain(CTL_USAGE, "%s: %s", c->argument, strerror(errno));
    err = coturn_import(in, slash ? slash + 1 : c->argument, stdout, stderr);
    fclose(in);
    if (err)
        return ctl_complain(err == ERR_CONFIG ? CTL_USAGE : CTL_FAULT, "%s: %s", c->argument, err_str(err));
    return CTL_OK;
}
