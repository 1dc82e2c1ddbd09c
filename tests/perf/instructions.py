#!/usr/bin/env python3
"""TAP: a packet costs no more instructions than are recorded in instructions.table, 5 % more or less.

Callgrind counts what hotpath executes while it relays, in our own object and without what stands in tests/: neither libc, whose
variants differ by machine, nor the network that does nothing. Other compilers and flags make other code, so the figures are compared
for the ones that they were recorded with, and only told otherwise.

`--record` writes the table anew; it stands for one deliberate change, so look at the difference before you commit it.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.abspath(os.environ.get("TP_SRCDIR") or os.path.join(HERE, "..", ".."))
BUILD = os.path.abspath(os.environ.get("TP_BUILDDIR") or os.path.join(SOURCE, "build"))
PROGRAM = os.path.join(BUILD, "tests", "perf", "hotpath")
TABLE = os.path.join(HERE, "instructions.table")
SLACK_PERCENT = 5
SECONDS_MAX = 120  # of one run: a second is usual
KINDS = {
    "up": "client to peer by ChannelData",
    "down": "peer to client by ChannelData",
    "splice": "client to client on one worker",
}


def variable(name):
    """What configure has put into the Makefile: the truth about this build, also when nobody exported it."""
    with open(os.path.join(BUILD, "Makefile"), encoding="utf-8") as f:
        found = re.search(rf"^{name} = (.*)$", f.read(), re.MULTILINE)
    return found.group(1) if found else ""


def made_with():
    """The machine and the compiler, as the table names them; and why this build is not to be compared, if it isn't."""
    flags = variable("CFLAGS").split()
    instrumented = [f for f in variable("TP_CFLAGS").split() if f.startswith(("-fsanitize", "--coverage"))]
    version = subprocess.run([*variable("CC").split(), "--version"], capture_output=True, text=True, check=True).stdout
    name = "clang" if "clang" in version else "gcc"
    number = re.search(r"\d+\.\d+\.\d+", version)
    made = f"{os.uname().machine} {name}-{number.group(0) if number else '?'}"
    if instrumented:
        return made, f"this build is instrumented: {' '.join(instrumented)}"
    if sorted(flags) != ["-O2", "-g"]:
        return made, f"CFLAGS are {' '.join(flags)}, not -g -O2"
    return made, None


def ours(path):
    return not os.path.realpath(path).startswith(os.path.join(os.path.realpath(SOURCE), "tests") + os.sep)


def count(output):
    """Self cost in our object and files. A line behind calls= is the callee's, and counted there."""
    total, mine, own_object, callee = 0, True, False, False
    for line in output:
        if line.startswith("ob="):
            own_object = os.path.realpath(line[3:].strip()) == os.path.realpath(PROGRAM)
        elif line.startswith(("fl=", "fi=", "fe=")):
            mine = ours(line[3:].strip())
        elif line.startswith("calls="):
            callee = True
        elif re.match(r"[+-]?\d+ |\* ", line):
            if not callee and own_object and mine:
                total += int(line.split()[1])
            callee = False
    return total


def measure(kind):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        command = ["valgrind", "-q", "--tool=callgrind", "--toggle-collect=measured", "--compress-strings=no", "--compress-pos=no",
                   f"--callgrind-out-file={out}", PROGRAM, kind]
        run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
        packets = re.search(r"^(\d+) packets$", run.stdout, re.MULTILINE)
        if run.returncode or not packets:
            raise RuntimeError(f"hotpath {kind} ended with status {run.returncode}: {run.stdout}{run.stderr}")
        with open(out, encoding="utf-8") as f:
            total = count(f)
    if not total:
        raise RuntimeError(f"callgrind has counted nothing of {PROGRAM}: is it stripped?")
    return round(total / int(packets.group(1)))


def recorded():
    """{(made with, kind): instructions}"""
    table = {}
    with open(TABLE, encoding="utf-8") as f:
        for line in f:
            words = line.split("#")[0].split()
            if words:
                table[" ".join(words[:2]), words[2]] = int(words[3])
    return table


def record(made):
    table = {k: v for k, v in recorded().items() if k[0] != made} if os.path.exists(TABLE) else {}
    table.update({(made, kind): measure(kind) for kind in KINDS})
    with open(TABLE, "w", encoding="utf-8") as f:
        f.write("# Instructions a packet, of our own code: machine, compiler, what, how many. Written by `instructions.py --record`.\n")
        for (who, kind), n in sorted(table.items()):
            f.write(f"{who} {kind} {n}\n")
            print(f"{who} {kind} {n}")


def judge(number, kind, made, table):
    have, want = measure(kind), table.get((made, kind))
    ok = want is None or abs(have - want) * 100 <= want * SLACK_PERCENT
    print(f"{'ok' if ok else 'not ok'} {number} - {title(kind)}")
    print(f"# {kind}: {have}, recorded for {made}: {want or 'nothing'}")
    if not ok:
        print(f"# {100 * (have - want) / want:+.1f} %; if that is meant: tests/perf/instructions.py --record")
    return ok


def title(kind):
    return f"instructions a packet, {KINDS[kind]}"


def main():
    made, why_not = made_with()
    if "--record" in sys.argv[1:]:
        if why_not:
            sys.exit(f"nothing is recorded: {why_not}")
        record(made)
        return 0
    print(f"1..{len(KINDS)}")
    if why_not:
        for number, kind in enumerate(KINDS, 1):
            print(f"ok {number} - {title(kind)}: not counted, {why_not}")
        return 0
    table = recorded()
    return 0 if all([judge(number, kind, made, table) for number, kind in enumerate(KINDS, 1)]) else 1


if __name__ == "__main__":
    if shutil.which("valgrind") is None:
        print("1..0 # SKIP valgrind is not installed")
        sys.exit(0)
    sys.exit(main())
