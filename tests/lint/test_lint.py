#!/usr/bin/env python3
"""The checks of the tree find what they are for: each case is a small tree with one breach in it, and one without any."""
import os
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.environ.get("TP_SRCDIR") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

HEADER = """/*
 * Purpose:  a thing.
 * Owner:    any thread.
 * Lifetime: static.
 * Callers:  nobody.
 * RFC:      none.
 */
#ifndef {guard}
#define {guard}
{body}
#endif
"""


def header(path, body=""):
    return HEADER.format(guard=path.replace("/", "_").replace(".", "_").upper(), body=body)


# name of the case, the files that are added to a clean tree, what the output must say (None: nothing is wrong)
CASES = [
    ("a clean tree passes", {}, None),
    ("an arrow against the table is refused", {"base/b.c": '#include "stun/s.h"\n'}, "base/b.c:1: base/ may not include stun/s.h"),
    ("relay sees no header of auth but auth.h", {"auth/fixed.h": header("auth/fixed.h"), "relay/r.c": '#include "auth/fixed.h"\n'},
     "relay/r.c:1: relay/ may not include auth/fixed.h"),
    ("relay may include auth.h", {"relay/r.c": '#include "auth/auth.h"\n'}, None),
    ("nobody includes programs", {"programs/p.h": header("programs/p.h"), "relay/r.c": '#include "programs/p.h"\n'},
     "relay/ may not include programs/p.h"),
    ("a header of ours in angle brackets is refused", {"stun/t.c": "#include <base/b.h>\n"}, "stun/t.c:1: <base/b.h> is a header of ours"),
    ("an include without its room is refused", {"stun/t.c": '#include "s.h"\n'}, 'stun/t.c:1: "s.h" has no room'),
    ("a room that nobody has listed is refused", {"cellar/c.c": "int c;\n"}, "cellar/c.c:1: room cellar/ is not in rooms.table"),
    ("the data path sees no event loop", {"relay/forward.c": "#include <event2/event.h>\n"},
     "relay/forward.c:1: event2/event.h must not be seen here"),
    ("nor by way of another header",
     {"relay/w.h": header("relay/w.h", "#include <event2/event.h>"), "relay/forward.c": '#include "relay/w.h"\n'},
     "relay/w.h:10: event2/event.h must not be seen here (which relay/forward.c includes)"),
    ("the worker may see it", {"relay/w.c": "#include <event2/event.h>\n"}, None),
    ("forward takes no memory", {"relay/forward.c": "void *f(void)\n{\n    return malloc(1);\n}\n"},
     "relay/forward.c:3: malloc() must not be called here"),
    ("stun opens no socket", {"stun/t.c": "int f(void)\n{\n    return socket(1, 2, 3);\n}\n"}, "stun/t.c:3: socket() must not be called here"),
    ("a comment or a string calls nothing", {"stun/t.c": '/* socket(1) */\nconst char *f = "malloc(1)"; // free(f)\n'}, None),
    ("a member of that name is no call", {"stun/t.c": "int f(struct t *t)\n{\n    return t->read(t);\n}\n"}, None),
    ("a struct on packet bytes is refused", {"stun/t.c": "int f(const char *buf)\n{\n    return ((const struct head *)buf)->len;\n}\n"},
     "stun/t.c:3: struct head is cast onto bytes"),
    ("a socket address is not packet bytes", {"relay/t.c": "int f(char *buf)\n{\n    return ((struct sockaddr *)buf)->sa_family;\n}\n"}, None),
    ("a header without its comment is refused", {"base/n.h": "#ifndef BASE_N_H\n#define BASE_N_H\n#endif\n"},
     "base/n.h:1: does not open with the header comment"),
    ("a header comment with a line missing is refused", {"base/n.h": header("base/n.h").replace(" * Owner:    any thread.\n", "")},
     "base/n.h:1: does not open with the header comment"),
    ("a guard of another name is refused", {"base/n.h": header("base/m.h")}, "base/n.h:1: has no include guard of its own name"),
    ("a file of 601 lines is refused", {"base/long.c": "int a;\n" * 601}, "base/long.c:600: 601 lines"),
    ("one of 600 is not", {"base/long.c": "int a;\n" * 600}, None),
    ("an open end is refused", {"base/t.c": "/* TO" "DO: the rest */\n"}, "base/t.c:1: an open end"),
    ("a suppression without a reason is refused", {"base/t.c": "int a; // NOLINT(bugprone-x)\n"},
     "base/t.c:1: a warning is suppressed without a reason"),
    ("one with a reason is not", {"base/t.c": "int a; // NOLINT(bugprone-x): the table is sorted\n"}, None),
]


def run(files):
    with tempfile.TemporaryDirectory() as tree:
        clean = {"base/b.h": header("base/b.h"), "stun/s.h": header("stun/s.h", '#include "base/b.h"'), "auth/auth.h": header("auth/auth.h")}
        for path, text in {**clean, **files}.items():
            os.makedirs(os.path.join(tree, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(tree, path), "w", encoding="utf-8") as f:
                f.write(text)
        # The tables of the real tree, but for its exceptions, which name files that this tree has not.
        lint = os.path.join(tree, "tools", "lint")
        os.makedirs(lint)
        shutil.copy(os.path.join(SOURCE, "tools", "lint", "tree.py"), lint)
        for table, is_exception in (("rooms.table", lambda line: False), ("never.table", lambda line: "| allow |" in line),
                                    ("long-files.table", lambda line: not line.startswith("#"))):
            with open(os.path.join(SOURCE, "tools", "lint", table), encoding="utf-8") as f:
                lines = [line for line in f if not is_exception(line)]
            with open(os.path.join(lint, table), "w", encoding="utf-8") as f:
                f.writelines(lines)
        return subprocess.run([sys.executable, "-B", os.path.join(lint, "tree.py"), tree], capture_output=True, text=True, check=False)


def main():
    print(f"1..{len(CASES)}")
    failed = 0
    for n, (name, files, want) in enumerate(CASES, 1):
        done = run(files)
        ok = done.returncode == 0 if want is None else done.returncode == 1 and want in done.stdout
        if not ok:
            failed += 1
            print(f"# status {done.returncode}, wanted: {want}")
            print("".join(f"# {line}\n" for line in (done.stdout + done.stderr).splitlines()), end="")
        print(f"{'ok' if ok else 'not ok'} {n} - lint: {name}", flush=True)
    return 1 if failed else 0


sys.exit(main())
