"""One sine tone per extension, and the arithmetic that recognises them in received audio.

Everything is signed 16-bit mono PCM at 8000 Hz, the rate of G.711. All tones are multiples of 10 Hz, so each
repeats exactly after 100 ms: one period loop of bytes is enough to send it for ever, and received audio may
be folded onto 100 ms before the Goertzel filters run, which leaves the tones untouched and makes the filters
three times cheaper.
"""

from __future__ import annotations

import math
from array import array
from itertools import chain
from operator import add, mul
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMPLE_RATE = 8000
FRAME_MS = 20
FRAME_BYTES = SAMPLE_RATE * FRAME_MS // 1000 * 2
# The common period of all tones: 100 ms, five frames.
FOLD_SAMPLES = SAMPLE_RATE // 10
WINDOW_MS = 300
# Six phones at this amplitude fit into 16 bits, so a conference of them does not clip.
AMPLITUDE = 5000

MOH = "MOH"
RINGBACK = "RINGBACK"
BEEP = "BEEP"
NOISE = "NOISE"
MOH_HZ = 300
BEEP_HZ = 3060
RINGBACK_HZ = (440, 480)

_EXTENSIONS = tuple(str(number) for number in chain(range(1001, 1011), range(2001, 2011)))
# Found by search: at least 110 Hz apart, and no second or third harmonic (aliases at 8 kHz included) of any
# of them, of MOH or of ringback within 20 Hz of another one.
_FREQUENCIES = (
    *(560, 780, 1030, 1250, 1470, 1700, 1920, 2150, 2420, 2640),
    *(1140, 1360, 1580, 1810, 2040, 2300, 2530, 2780, 670, 920),
)
TONES: Mapping[str, int] = MappingProxyType(dict(zip(_EXTENSIONS, _FREQUENCIES, strict=True)))
"""Extension -> its tone in Hz: agents 1001-1010, customers 2001-2010."""

# A tone is heard when it is at least this part of the power received (four equal tones have a quarter each) …
_SHARE = 0.06
# … and when it has at least this amplitude: mu-law hiss stays below 30.
_MIN_AMPLITUDE = 150.0
_SILENCE_RMS = 60.0
# Loud, and less than half of it explained by known tones: speech, prompts, hiss, clipping.
_EXPLAINED = 0.5


def tone_frames(frequency: int, amplitude: int = AMPLITUDE) -> tuple[bytes, ...]:
    """One period of a sine as five frames of 20 ms; repeated they are a seamless tone.

    `frequency` is in Hz, a multiple of 10 below 4000 (else `ValueError`); `amplitude` is the peak, 1-32767.
    """
    if frequency % 10 or not 0 < frequency < SAMPLE_RATE // 2:
        raise ValueError(f"tone frequency {frequency} Hz: must be a multiple of 10 Hz between 10 and 3990")
    turn = 2 * math.pi * frequency / SAMPLE_RATE
    loop = array("h", (round(amplitude * math.sin(turn * n)) for n in range(FOLD_SAMPLES))).tobytes()
    return tuple(loop[at : at + FRAME_BYTES] for at in range(0, len(loop), FRAME_BYTES))


def fold(samples: array[int]) -> list[int]:
    """Add up the 100 ms blocks of `samples` (whole blocks only, the newest ones), sample by sample."""
    blocks = len(samples) // FOLD_SAMPLES
    start = len(samples) - blocks * FOLD_SAMPLES
    folded = [0] * FOLD_SAMPLES
    for block in range(blocks):
        at = start + block * FOLD_SAMPLES
        folded = list(map(add, folded, samples[at : at + FOLD_SAMPLES]))
    return folded


def goertzel(samples: list[int] | array[int], frequency: int) -> float:
    """Power of one frequency: the squared magnitude of that DFT bin of `samples`."""
    coefficient = 2 * math.cos(2 * math.pi * frequency / SAMPLE_RATE)
    older = newer = 0.0
    for sample in samples:
        older, newer = newer, sample + coefficient * newer - older
    return newer * newer + older * older - coefficient * newer * older


def levels(pcm: bytes, frequencies: Mapping[str, int]) -> tuple[float, dict[str, float]]:
    """Measure RMS and, by name, each frequency's amplitude (peak); all zero below 100 ms of audio."""
    samples = array("h", pcm[: len(pcm) // 2 * 2])
    blocks = len(samples) // FOLD_SAMPLES
    if not blocks:
        return 0.0, dict.fromkeys(frequencies, 0.0)
    samples = samples[-blocks * FOLD_SAMPLES :]
    rms = math.sqrt(sum(map(mul, samples, samples)) / len(samples))
    if rms < _SILENCE_RMS:
        return rms, dict.fromkeys(frequencies, 0.0)
    folded = fold(samples)
    scale = 2 / len(samples)
    return rms, {
        name: math.sqrt(max(goertzel(folded, frequency), 0.0)) * scale
        for name, frequency in frequencies.items()
    }


_KNOWN: Mapping[str, int] = MappingProxyType(
    {**TONES, MOH: MOH_HZ, BEEP: BEEP_HZ, "ringback-low": RINGBACK_HZ[0], "ringback-high": RINGBACK_HZ[1]}
)


def recognise(pcm: bytes) -> frozenset[str]:
    """Name what sounds in `pcm`: extensions, `MOH`, `BEEP`, `RINGBACK` (both its tones), `NOISE`.

    An empty set is silence.

    `NOISE` is anything loud of which known tones explain less than half, so silence always means silence.
    Give it 200-400 ms; it looks at whole blocks of 100 ms and says silence below one block.
    """
    rms, amplitudes = levels(pcm, _KNOWN)
    if rms < _SILENCE_RMS:
        return frozenset()
    power = rms * rms
    parts = {name: amplitude * amplitude / 2 / power for name, amplitude in amplitudes.items()}
    heard = {name for name, part in parts.items() if part >= _SHARE and amplitudes[name] >= _MIN_AMPLITUDE}
    explained = sum(parts[name] for name in heard)
    pair = {"ringback-low", "ringback-high"}
    ringing = pair <= heard
    if not ringing:
        explained -= sum(parts[name] for name in heard & pair)
    heard -= pair
    if ringing:
        heard.add(RINGBACK)
    if explained < _EXPLAINED:
        heard.add(NOISE)
    return frozenset(heard)
