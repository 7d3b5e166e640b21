"""How sure a share, a change of shares or a percentile is: 95 % intervals, from counts alone."""

from __future__ import annotations

import math

Interval = tuple[float, float]

Z = 1.959963984540054
"""The normal distribution's 97.5 % point."""


def wilson(part: int, whole: int) -> Interval:
    """Wilson's 95 % interval of a proportion: doi.org/10.1080/01621459.1927.10502953. (0, 1) where nothing is known."""
    if not whole:
        return 0.0, 1.0
    share, spread = part / whole, Z * Z / whole
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return (max(0.0, middle - half) if part else 0.0), (min(1.0, middle + half) if part < whole else 1.0)


def paired(gained: int, lost: int, whole: int) -> Interval:
    """Of the change of a share between two looks at the same things, of which `gained` only the second look counts and
    `lost` only the first: Agresti and Min's adjusted Wald interval, doi.org/10.1002/sim.1781."""
    if not whole:
        return -1.0, 1.0
    up, down, size = gained + 0.5, lost + 0.5, whole + 2
    middle = (up - down) / size
    half = Z * math.sqrt(max(0.0, up + down - (up - down) ** 2 / size)) / size
    return max(-1.0, middle - half), min(1.0, middle + half)


def ranks(share: float, whole: int) -> tuple[int, int]:
    """The ranks, from 0, between which the quantile of `whole` values lies: the order statistics that the binomial
    distribution's normal approximation gives."""
    half = Z * math.sqrt(whole * share * (1 - share))
    at = share * whole
    return max(0, math.floor(at - half)), min(whole - 1, math.ceil(at + half))
