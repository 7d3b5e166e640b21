"""The exchange: what is read, judged, held, edited and recorded. Pure."""

from types import BuiltinFunctionType

from safeguards_extproc.core import weight

COMPILED = isinstance(weight.weight, BuiltinFunctionType)
"""Whether the hot path runs as native code (tools/compiled.py), or as the same sources in Python."""
