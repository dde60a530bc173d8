"""Counters and histograms that cost one call each time: the library sees them when it is asked for metrics.

Written and read on the event loop only, so there are no locks.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_EVERYTHING: Final = "+Inf"


class Series(Protocol):
    """One metric with all its series."""

    def shown(self) -> Metric:
        """Return the metric as the library exposes it."""
        ...


class Count:
    """A counter, by labels. One without labels is shown from the start."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self._about = name, text, labels
        self._values: dict[tuple[str, ...], int] = {} if labels else {(): 0}

    def add(self, *labels: str) -> None:
        """Count one more; `labels` are the values in the order of their names."""
        self._values[labels] = self._values.get(labels, 0) + 1

    def shown(self) -> Metric:
        """Return the counter as the library exposes it."""
        name, text, labels = self._about
        metric = CounterMetricFamily(name, text, labels=labels)
        for values, number in self._values.items():
            metric.add_metric(values, number)
        return metric


class Times:
    """A histogram of seconds, by labels; `bounds` are the upper bounds of its buckets."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self._about = name, text, labels
        self._bounds = tuple(bounds)
        self._values: dict[tuple[str, ...], list[float]] = {}
        if not labels:
            self._begin(())

    def note(self, seconds: float, *labels: str) -> None:
        """Note a time; `labels` are the values in the order of their names."""
        values = self._values.get(labels) or self._begin(labels)
        values[bisect_left(self._bounds, seconds)] += 1
        values[-1] += seconds

    def _begin(self, labels: tuple[str, ...]) -> list[float]:
        # A number for each bucket, one for what is longer, and the sum.
        values = self._values[labels] = [0.0] * (len(self._bounds) + 2)
        return values

    def shown(self) -> Metric:
        """Return the histogram as the library exposes it."""
        name, text, labels = self._about
        metric = HistogramMetricFamily(name, text, labels=labels)
        for values, (*numbers, total) in self._values.items():
            shown, sofar = [], 0.0
            for bound, number in zip((*map(str, self._bounds), _EVERYTHING), numbers, strict=True):
                sofar += number
                shown.append((bound, sofar))
            metric.add_metric(values, shown, total)
        return metric


class Shown(Collector):
    """Shows series in a registry."""

    def __init__(self, registry: CollectorRegistry, *series: Series) -> None:
        self._series = series
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Iterate over the metrics."""
        return (one.shown() for one in self._series)
