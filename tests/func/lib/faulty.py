"""turnpiked with faults to order (tests/func/faulty.c): what fails, and when, stands in a file that it and the test have mapped."""
import mmap
import os
import struct

from . import daemon, tap

TURNPIKED = os.path.join(daemon.BUILDDIR, "tests", "func", "turnpiked-faulty")
_FIELDS = ("send_port", "send_every", "send_errno", "memory_every", "wall_ahead_s", "boot_ahead_s", "sends", "sends_failed", "memory", "memory_failed")


def need():
    if not os.access(TURNPIKED, os.X_OK):
        tap.skip_all(f"{TURNPIKED} is not built: make check builds it")


class Control:
    """Each field of the file is an attribute."""

    def __init__(self, directory):
        self.__dict__["path"] = directory.file("control")
        with open(self.path, "wb+") as f:
            f.truncate(8 * len(_FIELDS))
            self.__dict__["map"] = mmap.mmap(f.fileno(), 8 * len(_FIELDS))

    def __getattr__(self, name):
        return struct.unpack_from("=q", self.map, 8 * _FIELDS.index(name))[0]

    def __setattr__(self, name, value):
        struct.pack_into("=q", self.map, 8 * _FIELDS.index(name), value)

    def environment(self):
        return {"FAULTY_CONTROL": self.path}

    def clear(self):
        """No faults, and nothing counted."""
        for name in _FIELDS:
            setattr(self, name, 0)
