#include "programs/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

int output_flush(const char *program)
{
    errno = EIO; /* of what failed before the last bytes */
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    fprintf(stderr, "%s: standard output: can't be written: %s\n", program, strerror(errno));
    return ERR_IO;
}
