"""The README names everything by which users know the filter: metrics, error codes, headers, commands.

Names are read from the source, each where it is written, so none can be added without being found here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from safeguards_extproc.errors import FAILURES, MALFORMED, STORE_FAILURES, SafeguardsError
from safeguards_extproc.policy.load import parse
from safeguards_extproc.policy.problems import PolicyError
from safeguards_extproc.telemetry import METRICS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "safeguards_extproc"
PREFIX = "x-safeguards-"

Names = Callable[[Path], set[str]]


def nodes(package: Path, pattern: str) -> Iterator[ast.AST]:
    """Every node of every module whose path matches."""
    for path in sorted(package.glob(pattern)):
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def metrics(_: Path) -> set[str]:
    """Metric names."""
    return {row.name for row in METRICS}


def headers(package: Path) -> set[str]:
    """Header names: written whole, or as the prefix OURS and the rest."""
    found = set()
    for node in nodes(package, "**/*.py"):
        match node:
            case ast.BinOp(left=ast.Name(id="OURS"), op=ast.Add(), right=ast.Constant(value=str() as rest)):
                found.add(PREFIX + rest)
            case ast.Constant(value=str() as text) if re.fullmatch(PREFIX + r"[a-z-]+", text):
                found.add(text)
    return found


def commands(package: Path) -> set[str]:
    """Commands: functions of cli.py under `@….command()`, by the name that is given or by their own."""
    found = set()
    for node in nodes(package, "cli.py"):
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                match decorator:
                    case ast.Call(func=ast.Attribute(attr="command"), args=[ast.Constant(value=str() as name), *_]):
                        found.add(name)
                    case ast.Call(func=ast.Attribute(attr="command")):
                        found.add(node.name.replace("_", "-"))
    return found


def classes(root: type[SafeguardsError]) -> Iterator[type[SafeguardsError]]:
    """The whole tree of errors."""
    yield root
    for child in root.__subclasses__():
        yield from classes(child)


def codes(_: Path) -> set[str]:
    """Slugs of errors, and the reasons that they and results carry."""
    return {each.code for each in classes(SafeguardsError)} | MALFORMED.keys() | FAILURES.keys() | STORE_FAILURES.keys()


def missing(names: set[str], text: str) -> set[str]:
    """Names that do not stand in the text as code."""
    return names - set(re.findall(r"`([^`\s]+)`", text))


@pytest.mark.parametrize("kind", [metrics, headers, commands, codes], ids=lambda kind: kind.__name__)
def test_readme_names_all(kind: Names) -> None:
    """Every name of this kind stands in the README."""
    names = kind(PACKAGE)
    assert names, "none found: has the place where they are written moved?"
    unnamed = missing(names, (ROOT / "README.md").read_text())
    assert not unnamed, f"{kind.__name__} that README.md does not name: {', '.join(sorted(unnamed))}"


FOUND = [
    (headers, "core/a.py", "x = [(OURS + 'id', 1)]\ny = OURS + name\nz = 'x-safeguards-'"),
    (headers, "adapters/a.py", "x = headers.get('x-safeguards-outcome', '')"),
    (commands, "cli.py", "@app.command('check')\ndef check_policy(): ...\ndef other(): ..."),
    (commands, "cli.py", "@policy.command()\ndef dry_run(): ..."),
]


@pytest.mark.parametrize(("kind", "path", "text"), FOUND)
def test_finds_what_is_written(kind: Names, path: str, text: str, tmp_path: Path) -> None:
    """The one name in the source is found, and is missing from a README that does not mention it."""
    file = tmp_path / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    (name,) = kind(tmp_path)
    assert missing({name}, "Nothing here, not even `others`.") == {name}
    assert missing({name}, f"| `{name}` | what it means |") == set()


def policies(text: str) -> list[str]:
    """The policies that a text shows."""
    return [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("version:")]


def test_policies_load_and_hold_their_examples() -> None:
    """What the README shows can be copied."""
    shown = policies((ROOT / "README.md").read_text())
    assert ["support-chat", "cascade", "shop"] == [parse(text, "README.md").document.name for text in shown]


def test_a_policy_that_does_not_hold_is_found() -> None:
    """A planted fault in an example."""
    shop = policies((ROOT / "README.md").read_text())[2]
    with pytest.raises(PolicyError, match="expected drop, got allow"):
        parse(
            shop.replace("item: true, scores: {screen.unsafe: 0.95}", "item: true, scores: {screen.unsafe: 0.5}"), "x"
        )


def absent(text: str) -> list[str]:
    """Files that a text names, by link or as code, from the root or from the package, and that are not there."""
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    named = re.findall(r"`((?:[\w-]+/)+[\w.-]*)`", text)
    return [path for path in [*linked, *named] if not any((root / path).exists() for root in (ROOT, PACKAGE))]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md", "README.md", "DESIGN.md"])
def test_links_and_paths_exist(name: str) -> None:
    """A document names no file that has moved."""
    assert [] == absent((ROOT / name).read_text())


@pytest.mark.parametrize("text", ["`core/gone.py`", "`tests/laws/gone.py`", "[the page](docs/gone.md)", "`gone/`"])
def test_a_path_that_is_gone_is_found(text: str) -> None:
    """Planted faults."""
    assert 1 == len(absent(f"See `core/scan.py`, {text} and `tests/`."))
