#include "relay/external.h"

struct addr external_find(const struct relay_external *list, size_t n, const struct addr *local)
{
    struct addr found = *local;

    for (size_t i = 0; i < n; i++) {
        const struct relay_external *e = &list[i];

        if (e->local.family != ADDR_NONE && addr_same_ip(&e->local, local))
            return addr_with_port(&e->public, local->port);
        if (e->local.family == ADDR_NONE && e->public.family == local->family)
            found = addr_with_port(&e->public, local->port);
    }
    return found;
}

struct alternate external_alternate(const struct relay_external *list, size_t n, const struct addr *listen)
{
    return (struct alternate){.bound = *listen, .told = external_find(list, n, listen)};
}

bool external_has_twin(const struct relay_external *list, size_t n, const struct addr *listen, size_t nlisten, size_t i)
{
    struct alternate a = external_alternate(list, n, &listen[i]);

    for (size_t k = 0; k < nlisten; k++) {
        struct alternate b = external_alternate(list, n, &listen[k]);

        if (k != i && alternate_twins(&a, &b))
            return true;
    }
    return false;
}
