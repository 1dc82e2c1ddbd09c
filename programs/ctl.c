#include "programs/ctl.h"

#include <stdarg.h>
#include <stdio.h>

int ctl_complain(int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("turnpikectl: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return status;
}
