#!/usr/bin/env python3
"""Checks of the tree that no compiler makes: who includes whom, what must never appear where, the header comment, lengths, open ends.

Prints one line a check with what it looked at; for each breach file:line, what is wrong and the cure. Exit status 1 on any breach.
"""
import fnmatch
import os
import re
import sys

TOP = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else ".")
LINT = os.path.dirname(os.path.realpath(__file__))
LONGEST = 600
HEADER_KEYS = ("Purpose", "Owner", "Lifetime", "Callers", "RFC")
TEXT_SUFFIXES = (".c", ".h", ".py", ".sh", ".js", ".html", ".am", ".ac", ".m4", ".md", ".table", ".service", ".conf", ".rules", ".in")

breaches = []


def breach(path, line, text, cure):
    breaches.append(f"{path}:{line}: {text}; {cure}")


def table(name):
    """Lines of a table as (line number, text), without comments and blank lines."""
    with open(os.path.join(LINT, name), encoding="utf-8") as f:
        return [(n, line.strip()) for n, line in enumerate(f, 1) if line.strip() and not line.startswith("#")]


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def is_built(path):
    """Build trees, generated files and what tools leave behind are nobody's source."""
    name = os.path.basename(path)
    return name.startswith(("build", "autom4te", ".git", ".state", "turnpike-")) or name in ("__pycache__", "node_modules", ".deps")


def tree_files():
    for folder, folders, names in os.walk(TOP):
        relative = os.path.relpath(folder, TOP)
        folders[:] = sorted(d for d in folders if not is_built(d))
        for name in sorted(names):
            path = os.path.normpath(os.path.join(relative, name))
            if name not in ("configure", "aclocal.m4", "Makefile.in", "config.h.in") and not name.endswith("~"):
                yield path


def without_comments(text):
    """C source with comments and string contents blanked; line numbers and everything else stay."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        s = match.group(0)
        if s[0] in "\"'":
            return s[0] + s[0]
        return "".join(c if c == "\n" else " " for c in s)

    return pattern.sub(blank, text)


def includes_of(text):
    """(line, header, is ours) of each #include; ours are the quoted ones."""
    for n, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', line)
        if match:
            yield n, match.group(1) or match.group(2), match.group(1) is not None


class Source:
    def __init__(self, path):
        self.path = path
        self.text = read(path)
        self.code = without_comments(self.text)
        self.includes = list(includes_of(self.text))
        self.room = path.split(os.sep)[0]


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, p) for p in patterns.split())


def check_rooms(sources):
    may = {}
    for _, line in table("rooms.table"):
        room, allowed = line.split(":", 1)
        may[room.strip()] = allowed.split()
    count = 0
    for s in sources.values():
        if s.room not in may:
            breach(s.path, 1, f"room {s.room}/ is not in rooms.table", "add its line, as ARCHITECTURE.md draws it")
            continue
        allowed = may[s.room]
        for n, header, ours in s.includes:
            if not ours:
                if os.path.exists(os.path.join(TOP, header)):
                    breach(s.path, n, f"<{header}> is a header of ours", f'write #include "{header}"')
                continue
            count += 1
            if header == "config.h":
                continue
            if "/" not in header:
                breach(s.path, n, f'"{header}" has no room', f'write #include "{s.room}/{header}" or the room it lives in')
                continue
            other = header.split("/")[0]
            if other != s.room and "*" not in allowed and other not in allowed and header not in allowed:
                breach(s.path, n, f"{s.room}/ may not include {header}",
                       f"{s.room}/ may include: {' '.join(allowed) or 'nothing of ours'}; turn the dependency round or pass a callback")
    print(f"lint: rooms: {len(sources)} files, {count} includes between files of ours")


def reachable(source, sources):
    """Every (header, by which file, line) that a file includes, through our own headers too."""
    seen, todo, found = set(), [source], []
    while todo:
        s = todo.pop()
        for n, header, ours in s.includes:
            found.append((header, s.path, n))
            if ours and header in sources and header not in seen:
                seen.add(header)
                todo.append(sources[header])
    return found


CALL = re.compile(r"(?<![\w.>])([A-Za-z_]\w*)\s*\(")


def check_never(sources):
    rules, allowed = [], {}
    for n, line in table("never.table"):
        fields = [f.strip() for f in line.split("|")]
        if len(fields) != 4 or fields[1] not in ("include", "direct", "call", "allow") or not fields[3]:
            breach("tools/lint/never.table", n, "not `files | kind | what | why`", "mend the line")
        elif fields[1] == "allow":
            allowed.setdefault(fields[0], set()).update(fields[2].split())
        else:
            rules.append(fields)
    used = set()
    for s in sources.values():
        if s.room == "tests":
            continue
        for files, kind, what, why in rules:
            if not matches(s.path, files):
                continue
            if kind == "include":
                for header, by, n in reachable(s, sources):
                    if matches(header, what):
                        way = "" if by == s.path else f" (which {s.path} includes)"
                        breach(by, n, f"{header} must not be seen here{way}: {why}", "hide it behind a narrow header")
            elif kind == "direct":
                for n, header, _ in s.includes:
                    if matches(header, what):
                        breach(s.path, n, f"{header} must not be included here: {why}", "move this to the room that may")
            else:
                for n, line in enumerate(s.code.split("\n"), 1):
                    for name in CALL.findall(line):
                        if not matches(name, what):
                            continue
                        if name in allowed.get(s.path, ()):
                            used.add((s.path, name))
                        else:
                            breach(s.path, n, f"{name}() must not be called here: {why}", "take it out, or list it as `allow` with its reason")
    for path, names in allowed.items():
        for name in names:
            if (path, name) not in used:
                breach("tools/lint/never.table", 1, f"allows {name}() in {path}, which does not call it", "take it out")
    print(f"lint: never: {len(rules)} rules, {sum(map(len, allowed.values()))} exceptions")


# A pointer to packet bytes cast to a struct: alignment, padding and byte order all go wrong silently. The kernel's own structures
# (socket addresses, control messages) are laid out by the kernel and fine.
CAST = re.compile(r"\(\s*(?:const\s+)?struct\s+(\w+)\s*\*\s*\)\s*&?\(?\s*(?:\w+(?:->|\.))*"
                  r"(buf|buffer|pkt|packet|datagram|frame|payload|bytes|wire|msg|data)\b(?!\s*\()")
CAST_FINE = ("sockaddr", "sockaddr_in", "sockaddr_in6", "sockaddr_storage", "cmsghdr", "sock_extended_err", "nlmsghdr")


def check_casts(sources):
    for s in sources.values():
        lines = s.text.split("\n")
        for n, line in enumerate(s.code.split("\n"), 1):
            for match in CAST.finditer(line):
                if match.group(1) not in CAST_FINE and "lint: cast:" not in lines[n - 1]:
                    breach(s.path, n, f"struct {match.group(1)} is cast onto bytes",
                           "read it with base/wire.h, or say `/* lint: cast: REASON */` on the line")
            if "packed" in line and "__attribute__" in line:
                breach(s.path, n, "packed struct", "read and write bytes with base/wire.h")
    print(f"lint: casts: {len(sources)} files")


def check_headers(sources):
    headers = [s for s in sources.values() if s.path.endswith(".h")]
    for s in headers:
        comment = re.match(r"/\*\n(.*?)\n \*/\n", s.text, re.S)
        keys = re.findall(r"^ \* ([A-Z]\w*):", comment.group(1), re.M) if comment else []
        if tuple(k for k in keys if k in HEADER_KEYS) != HEADER_KEYS:
            breach(s.path, 1, "does not open with the header comment", "lines " + ", ".join(HEADER_KEYS) + ", in this order (HACKING.md)")
        guard = re.sub(r"[/.-]", "_", s.path).upper()
        if f"#ifndef {guard}\n#define {guard}\n" not in s.text:
            breach(s.path, 1, "has no include guard of its own name", f"#ifndef {guard}")
    print(f"lint: header comments: {len(headers)} headers")


def check_lengths(files):
    reasons = {}
    for n, line in table("long-files.table"):
        path, _, reason = line.partition(":")
        reasons[path.strip()] = (n, reason.strip())
    count = 0
    for path in files:
        if not path.endswith((".c", ".h", ".py", ".sh")):
            continue
        count += 1
        lines = read(path).count("\n")
        if lines > LONGEST and not reasons.get(path, (0, ""))[1]:
            breach(path, LONGEST, f"{lines} lines", f"which second idea moved in? move it out, or list the file in long-files.table with its reason")
        if lines <= LONGEST and path in reasons:
            breach("tools/lint/long-files.table", reasons[path][0], f"{path} has {lines} lines", "take the line out")
    for path, (n, _) in reasons.items():
        if path not in files:
            breach("tools/lint/long-files.table", n, f"{path} is not there", "take the line out")
    print(f"lint: lengths: {count} files, at most {LONGEST} lines, {len(reasons)} listed")


OPEN_END = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
SUPPRESSION = re.compile(r"(?:NOLINT\w*(?:\([^)]*\))?|cppcheck-suppress(?:-begin)?\s+(?:\[[^]]*\]|\w+)|clang-format off|"
                         r"shellcheck disable=[\w,]+)([^\n]*)")


def check_text(files):
    count = 0
    for path in files:
        if path.startswith("tests/fuzz/corpus/") or (not path.endswith(TEXT_SUFFIXES) and path not in ("quickstart", ".ci/run")):
            continue
        count += 1
        for n, line in enumerate(read(path).split("\n"), 1):
            if OPEN_END.search(line):
                breach(path, n, "an open end", "finish it, or write an issue and take the mark out")
            if line != line.rstrip() and not path.endswith(".md"):
                breach(path, n, "blanks at the end of the line", "make format, or take them out")
            if "\t" in line and path.endswith((".c", ".h", ".py")):
                breach(path, n, "a tab", "indent with four blanks")
            match = SUPPRESSION.search(line)
            if match and not path.startswith(("tools/lint/", "tests/lint/")) and len(re.sub(r"\W", "", match.group(1))) < 8:
                breach(path, n, "a warning is suppressed without a reason", "say the reason behind it, on the same line")
    print(f"lint: text: {count} files (open ends, blanks, tabs, reasons of suppressions)")


def main():
    files = list(tree_files())
    rooms = {line.split(":")[0].strip() for _, line in table("rooms.table")}
    sources = {p: Source(p) for p in files if p.endswith((".c", ".h")) and "/" in p}
    if not rooms or not sources:
        sys.exit("lint: nothing to check: is this the top of the tree?")
    check_rooms(sources)
    check_never(sources)
    check_casts(sources)
    check_headers(sources)
    check_lengths(files)
    check_text(files)
    for text in breaches:
        print(text)
    return 1 if breaches else 0


sys.exit(main())
