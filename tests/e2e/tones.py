"""Tones of the tests: written as WAV, and found in what was heard. Levels are dBFS of a sine: 0 is as loud as samples can be."""
import array
import math
import struct
import wave

RATE = 8000
WINDOW = RATE // 2  # samples judged at once: half a second
SILENCE_DB = -96.0
NEAR_HZ = 10  # a tone is where it should be
HEARD_DB = -10.0  # of the tone that should be heard, at least
# Of one that should not, at most. What PCMA does to 600 Hz repeats 200 times a second, so that it has a little of 1000 Hz in it; not the reverse.
UNHEARD_DB = {600: -60.0, 1000: -40.0}


def write(path, frequency, seconds=2, amplitude=0.9, rate=48000):
    """A sine that can be played in a loop without a click, where frequency * seconds is whole."""
    samples = array.array("h", (round(32767 * amplitude * math.sin(2 * math.pi * frequency * i / rate)) for i in range(rate * seconds)))
    with wave.open(path, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(rate)
        w.writeframes(samples.tobytes())
    return path


def read(path):
    """Rate and samples (of the first channel) of a WAV of 16 bits, also of one that is still being written: its lengths are not believed."""
    with open(path, "rb") as f:
        data = f.read()
    if len(data) < 44 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return RATE, array.array("h")
    at, rate, channels = 12, RATE, 1
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        at += 8
        if name == b"fmt ":
            channels, rate = struct.unpack_from("<HI", data, at + 2)
        if name == b"data":
            break
        at += size + size % 2
    samples = array.array("h")
    step = 2 * channels
    samples.frombytes(data[at : len(data) - (len(data) - at) % step])
    return rate, samples[::channels]


def of_alaw(payload):
    """Samples of G.711's A-law."""
    samples = array.array("h")
    for byte in payload:
        byte ^= 0x55
        shift, value = (byte & 0x70) >> 4, (byte & 0x0F) << 4
        value = value + 8 if shift == 0 else (value + 0x108) << (shift - 1)
        samples.append(value if byte & 0x80 else -value)
    return samples


def level(samples, rate, frequency):
    """How loud a sine of this frequency is in them (Goertzel, a Hann window)."""
    n = len(samples)
    if n == 0:
        return SILENCE_DB
    coefficient = 2 * math.cos(2 * math.pi * frequency / rate)
    before, last, turn = 0.0, 0.0, 2 * math.pi / n
    for i, x in enumerate(samples):
        before, last = last, x * (0.5 - 0.5 * math.cos(turn * i)) + coefficient * last - before
    power = before * before + last * last - coefficient * before * last
    amplitude = math.sqrt(max(power, 0.0)) * 4 / n / 32768
    return max(20 * math.log10(amplitude), SILENCE_DB) if amplitude > 0 else SILENCE_DB


def loudest(samples, rate, low=200, high=1600):
    """Frequency and level of the loudest sine between two frequencies, to 2 Hz."""
    coarse = max(range(low, high + 1, 20), key=lambda f: level(samples[: rate // 20], rate, f))
    fine = max(range(coarse - 30, coarse + 31, 2), key=lambda f: level(samples, rate, f))
    return fine, level(samples, rate, fine)


def last(path, samples=WINDOW):
    """Rate and the latest samples of a file; none: it has not that many yet."""
    try:
        rate, all_of_them = read(path)
    except FileNotFoundError:
        return RATE, array.array("h")
    count = samples * rate // RATE
    return rate, all_of_them[-count:] if len(all_of_them) >= count else array.array("h")


def heard(path, frequency, other=None):
    """Is this tone what a file ends with, and not `other`? Its frequency and level; None: it is not."""
    return heard_in(*last(path), frequency, other)


def heard_in(rate, samples, frequency, other=None):
    """The same of samples: half a second, or none."""
    if not samples:
        return None
    found, loud = loudest(samples, rate)
    if abs(found - frequency) > NEAR_HZ or loud < HEARD_DB:
        return None
    if other is not None and level(samples, rate, other) > UNHEARD_DB[other]:
        return None
    return found, loud
