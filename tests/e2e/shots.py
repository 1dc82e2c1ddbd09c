"""Pictures for docs/: of each, one of a wide screen by day, and one of a telephone's at night."""
import os

from lib import admin, tap

DOCS = os.path.join(admin.SRCDIR, "docs")
MOST_BYTES = 150 * 1024  # of a picture: they live in the tree


def _picture(p, name, width, height, scheme):
    p.viewport(width, height)
    p.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    p.evaluate("window.scrollTo(0, 0); document.activeElement.blur(); new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    path = os.path.join(DOCS, f"{name}.png")
    p.screenshot(path)
    tap.within(os.path.getsize(path), 1, MOST_BYTES, f"the size of {path}")
    print(f"{path}: {os.path.getsize(path)} bytes", flush=True)


def both(p, name):
    _picture(p, name, 1440, 900, "light")
    _picture(p, f"{name}-360", 360, 740, "dark")
    p.viewport(1440, 900)
