#include "admin/asset.h"

#include <string.h>

/* "/": the page; "/dashboard/{file}": what it needs; anything else is called as its path is. */
const struct asset *asset_find(const char *path, const char *file)
{
    const char *name = file[0] ? file : path[1] ? path + 1 : "index.html";

    for (const struct asset *a = ASSETS; a->name; a++)
        if (strcmp(a->name, name) == 0)
            return a;
    return NULL;
}
