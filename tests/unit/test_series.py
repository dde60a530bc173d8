"""Counters and histograms of our own look to Prometheus as the library's do."""

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

from connector.operations.series import Count, Shown, Times

BOUNDS = (0.001, 0.5, 1.0)
SAMPLES = (0.0, 0.001, 0.0011, 0.5, 0.7, 1.0, 7.0)


def exposed(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    # When a series began is the library's own addition.
    return [line for line in lines if "_created" not in line]


def test_they_are_exposed_as_the_librarys_own() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    count, times = Count("c", "Things.", ["kind"]), Times("t", "Seconds.", BOUNDS, ["a", "b"])
    bare_count, bare_times = Count("bc", "Bare."), Times("bt", "Bare.", BOUNDS)
    Shown(ours, count, times, bare_count, bare_times)
    their_count = Counter("c", "Things.", ["kind"], registry=theirs)
    their_times = Histogram("t", "Seconds.", ["a", "b"], buckets=BOUNDS, registry=theirs)
    their_bare_count = Counter("bc", "Bare.", registry=theirs)
    their_bare_times = Histogram("bt", "Bare.", buckets=BOUNDS, registry=theirs)
    assert exposed(ours) == exposed(theirs)
    for sample in SAMPLES:
        for kind in ("x", 'with "quotes"\n'):
            count.add(kind)
            their_count.labels(kind).inc()
            times.note(sample, kind, "y")
            their_times.labels(kind, "y").observe(sample)
        bare_count.add()
        their_bare_count.inc()
        bare_times.note(sample)
        their_bare_times.observe(sample)
    assert exposed(ours) == exposed(theirs)
