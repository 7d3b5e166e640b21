"""Charts are SVG that any reader can parse, with every name and number in them."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

from safeguards_extproc.replay.charts import both_ways, curves, intervals

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(svg).iter(SVG + "text")]


def test_bars_go_both_ways() -> None:
    """A bar for each count that is not zero, as long as its share of the longest; names are escaped."""
    svg = both_ways([("a<b", 10, 5), ("c", 0, 20)], ("more", "less"))
    assert {"a<b", "c", "10", "5", "20", "more →", "← less"} == set(texts(svg))
    widths = [float(each.attrib["width"]) for each in ET.fromstring(svg).iter(SVG + "rect")]
    assert [0.5, 0.25, 1.0] == [round(width / max(widths), 2) for width in widths]
    assert "" == both_ways([("a", 0, 0)], ("more", "less"))


def test_intervals_share_an_axis() -> None:
    """The higher share lies further right; nothing is drawn of nothing."""
    svg = intervals([("before", 0.1, 0.05, 0.2), ("after", 0.15, 0.1, 0.25)])
    first, second = (float(each.attrib["cx"]) for each in ET.fromstring(svg).iter(SVG + "circle"))
    assert first < second
    assert "10.000 %" in texts(svg)
    assert "" == intervals([("before", math.nan, math.nan, math.nan)])


def test_curves_rise() -> None:
    """A line for each name, from the left below to the right above."""
    svg = curves({"before": [(1.0, 0.5), (10.0, 1.0)], "after": [(2.0, 1.0)]}, "ms")
    lines = [each.attrib["points"].split() for each in ET.fromstring(svg).iter(SVG + "polyline")]
    assert 2 == len(lines)
    heights = [float(point.split(",")[1]) for point in lines[0]]
    assert heights == sorted(heights, reverse=True)
    assert {"before", "after", "1 ms", "10 ms"} <= set(texts(svg))
    assert "" == curves({}, "ms")
