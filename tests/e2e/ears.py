"""The ears of a browser under test: what its page hears and by which way it comes, measured from outside of the page (ears.js)."""
import array
import os

import tones

from lib import tap

HERE = os.path.dirname(os.path.abspath(__file__))
HEARD_DB = -20.0  # of a tone that a page hears: Chromium's own resampling, and the phone's volume, take something away


class Ears:
    """Of one page; its next documents have them."""

    def __init__(self, page):
        self.page = page
        with open(os.path.join(HERE, "ears.js"), encoding="utf-8") as f:
            page.call("Page.addScriptToEvaluateOnNewDocument", source=f.read())

    def samples(self):
        return array.array("h", self.page.evaluate("ears.samples()"))

    def now(self):
        """Frequency and level of the loudest tone; None: nothing is heard."""
        samples = self.samples()
        found, loud = tones.loudest(samples, tones.RATE) if samples else (0, tones.SILENCE_DB)
        return (found, loud) if loud > HEARD_DB else None

    def hears(self, frequency, other=None):
        """Is this tone heard, and not `other`? Its frequency and level; None: it is not."""
        heard = self.now()
        if heard is None or abs(heard[0] - frequency) > tones.NEAR_HZ:
            return None
        if other is not None and tones.level(self.samples(), tones.RATE, other) > tones.UNHEARD_DB[other]:
            return None
        return heard

    def wait_hears(self, frequency, other=None, seconds=None):
        return tap.wait_until(lambda: self.hears(frequency, other), lambda: f"the page hears {frequency} Hz: it hears {self.now()}", seconds)

    def wait_silence(self, seconds=None):
        tap.wait_until(lambda: self.now() is None, lambda: f"the page hears nothing: it hears {self.now()}", seconds)

    def pair(self):
        """What getStats says of the selected pair; None: there is none."""
        return self.page.evaluate("ears.pair()")

    def kinds(self):
        pair = self.pair()
        return pair and (pair["local"]["kind"], pair["remote"]["kind"])

    def candidates(self):
        """"local relay 11.0.0.1:50000", and so on."""
        return sorted({f"{c['side']} {c['kind']} {c['address']}:{c['port']}" for c in self.page.evaluate("ears.candidates()")})
