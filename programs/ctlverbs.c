#include "programs/ctlverbs.h"

const struct ctlverb CTLVERBS[CTL_VERBS] = {
    [CTL_STATUS] = {"status", NULL, false, NULL, "how the relay is: ready or why not, addresses, traffic"},
    [CTL_ALLOCATIONS] = {"allocations", NULL, false, "[ID]", "who relays now, or all of one"},
    [CTL_KICK] = {"kick", NULL, false, "[ID]", "close an allocation, or all of --user NAME"},
    [CTL_TOKEN_ISSUE] = {"token", "issue", false, NULL, "make a token; its password is shown once"},
    [CTL_TOKEN_LIST] = {"token", "list", false, NULL, "those that live, by expiry"},
    [CTL_TOKEN_SHOW] = {"token", "show", false, "ID", "with what it has used"},
    [CTL_TOKEN_REVOKE] = {"token", "revoke", false, "ID", "refuse it, and end its calls everywhere"},
    [CTL_USER_ADD] = {"user", "add", false, "NAME", "a name and password that live until removed"},
    [CTL_USER_SET] = {"user", "set", false, "NAME", "change what is named; the rest stays"},
    [CTL_USER_LIST] = {"user", "list", false, NULL, "all of them"},
    [CTL_USER_SHOW] = {"user", "show", false, "NAME", "one of them"},
    [CTL_USER_REMOVE] = {"user", "remove", false, "NAME", "refuse it, and end its calls everywhere"},
    [CTL_USER_REVOKE] = {"user", "revoke", false, "NAME", "refuse time-limited names of this user part"},
    [CTL_CREDENTIALS] = {"credentials", NULL, false, "[NAME]", "a token for an owner, as the TURN REST API has it"},
    [CTL_ICE_SERVERS] = {"ice-servers", NULL, false, NULL, "a token and where to use it, as a browser wants it"},
    [CTL_USAGE_SHOW] = {"usage", NULL, false, NULL, "bytes, packets, allocations and time by owner and label"},
    [CTL_PEERS_SHOW] = {"peers", "show", true, NULL, "where the relay may send, ordered by prefix"},
    [CTL_PEERS_TEST] = {"peers", "test", false, "PEER", "which entry decides about 10.1.2.3:5060/udp"},
    [CTL_PEERS_SET] = {"peers", "set", false, NULL, "replace the stored entries by these"},
    [CTL_QUOTA_SHOW] = {"quota", "show", false, "OWNER", "an owner's limits, and what it holds"},
    [CTL_QUOTA_SET] = {"quota", "set", false, "OWNER", "change a limit; none takes it away"},
    [CTL_NODES] = {"nodes", NULL, false, NULL, "of the fleet: state, load, addresses"},
    [CTL_BRIDGE_STATUS] = {"bridge", "status", false, NULL, "the media bridges that are connected, and their calls"},
    [CTL_BRIDGE_CHECK] = {"bridge", "check", false, NULL, "let a bridge prove the firewall's rules of its place"},
    [CTL_DRAIN] = {"drain", NULL, false, NULL, "take no new allocations, or --off: take them again"},
    [CTL_RELOAD] = {"reload", NULL, false, NULL, "read the configuration again"},
    [CTL_LOG_LEVEL] = {"log-level", NULL, false, "[LEVEL]", "error, warning, info or debug; alone: what it is"},
    [CTL_CONFIG_CHECK] = {"config", "check", false, "[FILE]", "is it valid? alone: the one in use"},
    [CTL_CONFIG_SHOW] = {"config", "show", true, NULL, "each key, its value and where that comes from"},
    [CTL_EVENTS] = {"events", NULL, false, NULL, "what happens, as it happens"},
    [CTL_ADMIN_TOKEN_ISSUE] = {"admin-token", "issue", false, "NAME", "a bearer token of the admin plane, shown once"},
    [CTL_ADMIN_TOKEN_LIST] = {"admin-token", "list", false, NULL, "those that there are"},
    [CTL_ADMIN_TOKEN_REVOKE] = {"admin-token", "revoke", false, "NAME", "refuse it"},
    [CTL_IMPORT_COTURN] = {"import-coturn", NULL, false, "FILE", "a turnserver.conf as ours; what is lost, on standard error"},
};

static const char OPTIONS[] =
    "\n"
    "  -o json, --json          for programs (-o table: for people)\n"
    "  --watch                  status, allocations, usage, nodes, bridge status: again every two seconds\n"
    "\n"
    "Whom is asked: the relay on this host, and where none runs its store.\n"
    "  --config FILE            turnpiked's configuration: it names the socket, the store and the realm\n"
    "  --socket PATH            another socket than admin-socket= says\n"
    "  --url https://HOST:PORT  a relay elsewhere, with --token-file FILE and, if wanted, --cacert FILE\n"
    "  --offline                the store, although a relay runs\n"
    "\n"
    "token issue, user add and user set:\n"
    "  --owner NAME             who pays: quotas, bandwidth and usage count for all of an owner together (user add: NAME)\n"
    "  --label TEXT             what it is for\n"
    "  --tenant TEXT            which tenant it belongs to\n"
    "  --scope LIST             turn, phone, bridge, with commas between (turn)\n"
    "  --realm REALM            another than the configuration's\n"
    "  --expires TIME           when it ends (never)\n"
    "  --not-before TIME        when it begins (at once)\n"
    "  --max-allocations N      of its owner at the same time; none: no limit\n"
    "  --max-bps N              bits a second of its owner, each direction; k, M, G\n"
    "  --max-bytes N            bytes in all; k, M, G\n"
    "  --allow-peer ENTRY       a peer that it may reach, as allowed-peer-ip; may repeat (all that the server allows)\n"
    "  --password-stdin         users: the password is the first line of standard input (one is made, and shown once)\n"
    "\n"
    "Others:\n"
    "  --user NAME, --client IP, --peer IP, --transport udp|tcp   allocations: those alone; --user: kick all of them\n"
    "  --owner NAME, --label TEXT                                 token list, usage: those alone; ice-servers: whose\n"
    "  --tenant TEXT                                              bridge status: those alone\n"
    "  --bridge ID, --quick                                       bridge check: which one; short waits, no idle time-outs\n"
    "  --by hour|day, --since TIME, --until TIME                  usage: each hour or day, and how far back\n"
    "  --before TIME                                              user revoke: names that expire before (24h)\n"
    "  --ttl TIME                                                 credentials, ice-servers: how long they are good for (24h)\n"
    "  --allow ENTRY, --deny ENTRY, --clear                       peers set: each may repeat; or none\n"
    "  --max-allocations N, --max-bps N                           quota set\n"
    "  --node ID, --deadline TIME, --off                          drain: another node; when what still lives ends; no more\n"
    "  --type TYPE, --since ID                                    events: those alone; what came behind this one\n"
    "  --role LIST, --expires TIME                                admin-token issue: read, credentials, admin\n"
    "\n"
    "TIME is 90s, 30m, 8h or 7d from now (--since, --until: ago), or @ and seconds since 1970.\n"
    "Exit status: 0 done, 1 a fault, 2 usage, 3 not found, 4 refused, 5 conflict, 6 a rule does not hold.\n";

void ctlverbs_help(FILE *out)
{
    char words[64];

    fputs("Usage: turnpikectl COMMAND [OPTION...]\n\n", out);
    for (size_t i = 0; i < CTL_VERBS; i++) {
        const struct ctlverb *v = &CTLVERBS[i];

        snprintf(words, sizeof(words), "%s%s%s%s%s", v->noun, v->verb ? " " : "", v->verb ? v->verb : "", v->argument ? " " : "",
                 v->argument ? v->argument : "");
        fprintf(out, "  %-25s%s\n", words, v->help);
    }
    fputs("  --help, --version\n", out);
    fputs(OPTIONS, out);
}
