"""Reading a process's own metrics."""

import httpx
from prometheus_client.parser import text_string_to_metric_families


def scrape(port: int) -> str:
    """Return what the process on this machine's `port` tells of itself."""
    return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).raise_for_status().text


def metric(port: int, name: str, **labels: str) -> float | None:
    """Return the value of the one sample of `name` with these labels; None where there is none."""
    for family in text_string_to_metric_families(scrape(port)):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None
