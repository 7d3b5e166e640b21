"""What the chart's notes print for each mesh: `python -m tools.snippets` after a change to what `envoy-config` writes.

Helm cannot run `envoy-config`, so files/attach/ of the chart has what it writes, with holes for the names of a release.
The one rule: no line is written here. What depends on more than a name is written in each of its shapes, and a line
that only some shapes have stands under the condition that tells these from the others.
"""

from __future__ import annotations

import difflib
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safeguards_extproc.attach import MESHES
from safeguards_extproc.attach.options import Attachment, Tls
from safeguards_extproc.attach.yaml_text import stream

FOLDER = Path(__file__).parents[1] / "helm" / "safeguards-extproc" / "files" / "attach"

HOLES = {
    "0-service": "service",
    "1-namespace": "namespace",
    "2-gateway": "gateway",
    "3-namespace-of-gateway": "gatewayNamespace",
    "4-secret": "secret",
    "5-name": "name",
    "6-instance": "instance",
    "/7-socket": "socket",
    "65001": "port",
    "65003": "health",
}
"""Words that stand for what a release says. They begin with a figure, so that names are written in quotes: a release
may be called "true"."""
SERVICE, NAMESPACE, GATEWAY, GATEWAY_NAMESPACE, SECRET, NAME, INSTANCE, SOCKET, PORT, HEALTH = HOLES

Given = Mapping[str, str | bool]


@dataclass(frozen=True, slots=True)
class Shape:
    """What is `given` (a word, or whether something is), and the attachment that it makes."""

    given: Given
    wanted: Attachment


def shapes(mesh: str) -> list[Shape]:
    """Every shape that the chart's values can give an attachment."""
    service = f"{SERVICE}.{NAMESPACE}.svc:{PORT}"

    def shape(given: Given, gateway: bool = True, elsewhere: bool = False, address: str = service) -> Shape:
        wanted = Attachment(
            addresses=(address,),
            service=SERVICE,
            namespace=NAMESPACE,
            port=int(PORT),
            health_port=int(HEALTH),
            gateway=GATEWAY if gateway else "",
            gateway_namespace=GATEWAY_NAMESPACE if elsewhere else "",
            tls=Tls(str(given.get("tls", Tls.NONE))),
            tls_secret=SECRET,
            pods={"app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": INSTANCE},
        )
        return Shape(given, wanted)

    match mesh:
        case "static":
            beside = shape({"socket": True, "tls": "none"}, address=f"unix://{SOCKET}")
            return [beside, *(shape({"socket": False, "tls": str(tls)}) for tls in Tls)]
        case "gke":
            return [shape({})]
        case _:
            return [
                shape({"tls": str(tls), "gateway": gateway, "elsewhere": elsewhere}, gateway, elsewhere)
                for tls, gateway, elsewhere in itertools.product(Tls, (False, True), (False, True))
                if gateway or mesh == "istio"  # only Istio has a gateway that need not be named
            ]


def template(mesh: str) -> str:
    """A Helm template of what is written for a mesh."""
    found = shapes(mesh)
    texts = [stream(MESHES[mesh](shape.wanted)).splitlines() for shape in found]
    lines = []
    for those, group in itertools.groupby(merged(texts), key=lambda row: row[1]):
        condition = told([shape.given for shape in found], those)
        lines += [f"{{{{- if {condition} }}}}"] if condition else []
        lines += [line for line, _ in group]
        lines += ["{{- end }}"] if condition else []
    text = "\n".join(lines) + "\n"
    for word, name in HOLES.items():
        text = text.replace(word, f"{{{{ .{name} }}}}")
    return text


def merged(texts: Sequence[Sequence[str]]) -> list[tuple[str, frozenset[int]]]:
    """One list of lines that has every text's lines in their order, each with the numbers of the texts that have it."""
    rows: list[tuple[str, frozenset[int]]] = []
    for number, text in enumerate(texts):
        known = [line for line, _ in rows]
        joined: list[tuple[str, frozenset[int]]] = []
        for same, begin, end, first, last in difflib.SequenceMatcher(None, known, text, autojunk=False).get_opcodes():
            if same == "equal":
                joined += [(line, those | {number}) for line, those in rows[begin:end]]
            else:
                joined += rows[begin:end]
                joined += [(line, frozenset({number})) for line in text[first:last]]
        rows = joined
    return rows


def told(given: Sequence[Given], those: frozenset[int]) -> str:
    """The condition that is true of `those` and of no other, "" for all. ValueError if none of ours is."""
    every = frozenset(range(len(given)))
    left, parts = every, []
    for name in given[0] if given else ():
        values = {given[number][name] for number in those}
        fitting = frozenset(number for number in left if given[number][name] in values)
        if fitting != left:
            left = fitting
            parts.append(_says(name, values))
    if left != those:
        raise ValueError(f"no condition tells {[dict(given[number]) for number in sorted(those)]} from the others")
    if len(parts) < 2:
        return "".join(parts)
    return " ".join(("and", *(f"({part})" if " " in part else part for part in parts)))


def _says(name: str, values: set[str | bool]) -> str:
    if values <= {True, False}:
        return f".{name}" if True in values else f"not .{name}"
    words = " ".join(sorted(f'"{value}"' for value in values))
    return f"eq .{name} {words}"


def files() -> Iterator[tuple[Path, str]]:
    """Where each mesh's template lies, and what it says."""
    for mesh in MESHES:
        yield FOLDER / f"{mesh}.yaml", template(mesh)


def main() -> int:
    """Write the templates."""
    FOLDER.mkdir(exist_ok=True)
    for path, text in files():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
