"""Tones that can be told apart, also after G.711, mixed, and against music, ringback and noise."""

import math
import random
from array import array
from itertools import combinations

import pytest

from connector.lab.phones import tones

_WINDOW = tones.SAMPLE_RATE * tones.WINDOW_MS // 1000
_FIXED = (tones.MOH_HZ, tones.BEEP_HZ, *tones.RINGBACK_HZ)


def sine(
    hertz: float, amplitude: float = tones.AMPLITUDE, samples: int = _WINDOW, phase: float = 0.7
) -> list[float]:
    turn = 2 * math.pi * hertz / tones.SAMPLE_RATE
    return [amplitude * math.sin(turn * n + phase) for n in range(samples)]


def mu_law(sample: float) -> int:
    """Give what G.711 leaves of a sample: 4 bits of mantissa in one of 8 segments."""
    magnitude = min(abs(round(sample)), 32635) + 132
    step = 1 << (magnitude.bit_length() - 8 + 3)
    decoded = magnitude // step * step + step // 2 - 132
    return int(math.copysign(decoded, sample))


def pcm(*parts: list[float]) -> bytes:
    return array("h", (mu_law(sum(samples)) for samples in zip(*parts, strict=True))).tobytes()


def folded(hertz: int) -> int:
    """Where a frequency lands when it is sampled at 8000 Hz."""
    rest = hertz % tones.SAMPLE_RATE
    return min(rest, tones.SAMPLE_RATE - rest)


def test_every_extension_of_the_lab_has_a_tone_of_its_own() -> None:
    assert set(tones.TONES) == {str(n) for n in (*range(1001, 1011), *range(2001, 2011))}
    assert len(set(tones.TONES.values())) == 20
    assert all(500 <= hertz <= 3000 and hertz % 10 == 0 for hertz in tones.TONES.values())


def test_tones_are_apart_from_each_other_and_from_each_others_harmonics() -> None:
    for one, other in combinations(tones.TONES.values(), 2):
        assert abs(one - other) >= 110
    for hertz in tones.TONES.values():
        for other in (*tones.TONES.values(), *_FIXED):
            for order in (2, 3):
                assert abs(folded(order * hertz) - other) >= 20
                assert abs(folded(order * other) - hertz) >= 20


@pytest.mark.parametrize("extension", tones.TONES)
def test_a_tone_is_recognised_alone_after_g711(extension: str) -> None:
    assert tones.recognise(pcm(sine(tones.TONES[extension]))) == {extension}


def test_a_faint_tone_is_recognised() -> None:
    assert tones.recognise(pcm(sine(tones.TONES["2003"], 400))) == {"2003"}


def test_conferences_of_three_and_four_are_separable() -> None:
    dice = random.Random(7)  # noqa: S311  (a repeatable dice)
    for _ in range(40):
        who = dice.sample(sorted(tones.TONES), dice.choice((3, 4)))
        mix = pcm(*(sine(tones.TONES[name], phase=dice.random() * 6) for name in who))
        assert tones.recognise(mix) == set(who)


def test_music_on_hold_ringback_and_a_voice_are_told_apart() -> None:
    moh, ringback = sine(tones.MOH_HZ), [sine(hertz, 2500) for hertz in tones.RINGBACK_HZ]
    assert tones.recognise(pcm(moh)) == {tones.MOH}
    assert tones.recognise(pcm(*ringback)) == {tones.RINGBACK}
    assert tones.recognise(pcm(*ringback, sine(tones.TONES["1001"], 3500))) == {tones.RINGBACK, "1001"}
    assert tones.recognise(pcm(moh, sine(tones.TONES["1001"]))) == {tones.MOH, "1001"}


def test_half_of_a_ringback_is_no_ringback() -> None:
    assert tones.recognise(pcm(sine(tones.RINGBACK_HZ[0]))) == {tones.NOISE}


@pytest.mark.parametrize("hertz", [350, 395, 1004, 2105, 3300])
def test_an_unknown_tone_is_noise_and_nobody(hertz: int) -> None:
    assert tones.recognise(pcm(sine(hertz))) == {tones.NOISE}


def test_loud_noise_is_noise_and_faint_noise_is_silence() -> None:
    dice = random.Random(3)  # noqa: S311  (a repeatable dice)
    loud = [dice.gauss(0, 3000) for _ in range(_WINDOW)]
    assert tones.recognise(pcm(loud)) == {tones.NOISE}
    assert tones.recognise(pcm([sample / 100 for sample in loud])) == frozenset()


def test_a_tone_in_some_noise_is_just_the_tone() -> None:
    dice = random.Random(5)  # noqa: S311  (a repeatable dice)
    hiss = [dice.gauss(0, 500) for _ in range(_WINDOW)]
    assert tones.recognise(pcm(sine(tones.TONES["1004"]), hiss)) == {"1004"}


def test_silence_and_too_little_audio_are_silence() -> None:
    assert tones.recognise(bytes(_WINDOW * 2)) == frozenset()
    assert tones.recognise(b"") == frozenset()
    assert tones.recognise(pcm(sine(560, samples=tones.FOLD_SAMPLES - 1))) == frozenset()


def test_frames_repeat_without_a_seam() -> None:
    frames = tones.tone_frames(tones.TONES["2010"])
    assert {len(frame) for frame in frames} == {tones.FRAME_BYTES}
    endless = array("h", b"".join(frames) * 2)
    ideal = sine(tones.TONES["2010"], samples=len(endless), phase=0)
    assert all(abs(sent - wanted) <= 1 for sent, wanted in zip(endless, ideal, strict=True))


@pytest.mark.parametrize("hertz", [0, -10, 555, 4000])
def test_a_frequency_that_would_not_repeat_is_refused(hertz: int) -> None:
    with pytest.raises(ValueError, match="multiple of 10"):
        tones.tone_frames(hertz)


def test_goertzel_agrees_with_the_definition() -> None:
    samples = array("h", (mu_law(value) for value in sine(780, samples=800)))
    for hertz in (770, 780, 1500):
        turn = 2 * math.pi * hertz / tones.SAMPLE_RATE
        real = sum(value * math.cos(turn * n) for n, value in enumerate(samples))
        imaginary = sum(value * math.sin(turn * n) for n, value in enumerate(samples))
        assert tones.goertzel(samples, hertz) == pytest.approx(
            real * real + imaginary * imaginary, rel=1e-6, abs=1
        )
