"""`python -m marketdata_tools.scaling_picture SAMPLES.json TITLE > PICTURE.svg`: pods and lag over time.

Draws what a run of tests/cluster/test_autoscaling.py recorded, as plain SVG without a library, so
that the same samples give the same file.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 760, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 60, 46, 44
_FONT = 'font-family="sans-serif" font-size="12" fill="#111"'
_LAG, _WISHED, _READY = "#b45309", "#1d4ed8", "#93b4f5"


class Sample(NamedTuple):
    """One look of a run; lag is None where it was not known."""

    seconds: float
    wished: int
    ready: int
    lag: int | None


class _Scales(NamedTuple):
    """Where a value stands in the picture."""

    first: float
    span: float
    most_lag: int
    most_pods: int

    def x(self, seconds: float) -> float:
        return _LEFT + (seconds - self.first) / self.span * (_WIDTH - _LEFT - _RIGHT)

    def y(self, share: float) -> float:
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def draw(samples: list[Sample], title: str) -> str:
    """Return the picture of `samples`, which are in the order of time and at least two."""
    scales = _Scales(
        samples[0].seconds,
        samples[-1].seconds - samples[0].seconds,
        max(1, *(each.lag or 0 for each in samples)),
        max(1, *(max(each.wished, each.ready) for each in samples)),
    )
    lag = " ".join(
        f"{scales.x(each.seconds):.1f},{scales.y(each.lag / scales.most_lag):.1f}"
        for each in samples
        if each.lag is not None
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{escape(title)}</text>',
        *_axes(scales),
        _steps(scales, [(each.seconds, each.ready) for each in samples], _READY, "4"),
        _steps(scales, [(each.seconds, each.wished) for each in samples], _WISHED, "2"),
        f'<polyline points="{lag}" fill="none" stroke="{_LAG}" stroke-width="2"/>',
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _axes(scales: _Scales) -> list[str]:
    parts = []
    for pods in range(scales.most_pods + 1):
        y = scales.y(pods / scales.most_pods)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 8}" y="{y + 4:.1f}" fill="{_WISHED}">{pods}</text>')
    for quarter in range(5):
        y = scales.y(quarter / 4)
        count = scales.most_lag * quarter // 4
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="{_LAG}">{count:,}</text>'
        )
        seconds = scales.span * quarter / 4
        x = scales.x(scales.first + seconds)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 24}" text-anchor="middle">{seconds:.0f} s</text>')
    return parts


def _steps(scales: _Scales, points: list[tuple[float, int]], colour: str, width: str) -> str:
    path = "".join(
        f"{'M' if i == 0 else 'H'}{scales.x(seconds):.1f}"
        + (" " if i == 0 else "V")
        + f"{scales.y(pods / scales.most_pods):.1f}"
        for i, (seconds, pods) in enumerate(points)
    )
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _legend() -> list[str]:
    named = ((_LAG, "lag in messages (left)"), (_WISHED, "pods wished (right)"), (_READY, "pods ready"))
    return [
        f'<text x="{_LEFT + i * 170}" y="38" fill="{colour}">■ {text}</text>'
        for i, (colour, text) in enumerate(named)
    ]


def main() -> int:
    """Draw the file named first under the title named second."""
    samples = [Sample(**each) for each in json.loads(Path(sys.argv[1]).read_text())]
    sys.stdout.write(draw(samples, sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
