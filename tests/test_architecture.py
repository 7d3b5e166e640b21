"""The direction of dependencies, the purity of the core, and the size and test file of each module.

Read from the source by `ast`, so a module cannot pass by not being imported. The tables are the rules.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "safeguards_extproc"

Check = Callable[[Path], Iterator[str]]

MAY_IMPORT = {
    "errors": "",
    "core": "errors",
    "ports": "core",
    "wire": "errors core brotli zstandard",
    "detectors": "errors core re2",
    "rpc": "hpack",
    "policy": "errors core wire detectors pydantic yaml celpy lark re2",
    "records": "errors core ports pb *",
    "enforcement": "errors core ports policy *",
    "attach": "errors envoy google",
    "doctor": "errors",
    "telemetry": "errors core __version__ *",
    "logs": "*",
    "repository": "errors records *",
    "settings": "errors *",
    "adapters": "errors core ports rpc telemetry enforcement *",
    "replay": "errors core ports wire detectors policy records enforcement adapters *",
    "evaluate": "errors core ports wire detectors policy replay __version__ *",
    "local": "errors core ports wire replay settings *",
    "app": "errors core ports wire detectors policy records telemetry settings adapters replay enforcement "
    "app_accounts *",
    "app_accounts": "errors core policy telemetry settings adapters enforcement *",
    "app_replay": "errors ports replay local settings app *",
    "app_keeper": "errors policy telemetry settings adapters enforcement app_accounts *",
    "cli": "errors core ports wire policy records replay telemetry settings evaluate enforcement app local "
    "cli_account cli_attach cli_bulk cli_campaigns cli_capture cli_compact cli_keeper cli_limits cli_reconcile "
    "cli_records cli_replay cli_models cli_probe cli_report cli_scorer logs __version__ *",
    "cli_say": "errors policy *",
    "cli_account": "errors core policy enforcement telemetry logs app_accounts cli_say *",
    "cli_attach": "errors attach doctor cli_say *",
    "cli_bulk": "errors enforcement cli_account cli_say *",
    "cli_campaigns": "errors enforcement cli_account cli_say *",
    "cli_limits": "errors core policy enforcement adapters telemetry logs app_accounts cli_say *",
    "cli_records": "errors core records telemetry adapters cli_say *",
    "cli_compact": "records cli_records cli_say *",
    "cli_reconcile": "errors records cli_records cli_say *",
    "cli_keeper": "settings logs app_keeper *",
    "cli_models": "errors records repository cli_say *",
    "cli_probe": "errors replay *",
    "cli_capture": "errors replay cli_say *",
    "cli_replay": "errors policy records replay telemetry logs app_replay cli_report cli_scorer *",
    "cli_report": "errors policy replay __version__ *",
    "cli_scorer": "errors policy ports telemetry settings app local *",
    "__main__": "cli",
}
"""Folder or module, then what it may import beside itself and the standard library; `*` is any other distribution."""

PURE = {"core", "wire", "detectors", "policy", "rpc", "attach"}
OPENS_FILES = {"policy/load.py"}
IMPURE_MODULES = """
asyncio concurrent ctypes http importlib logging multiprocessing os pathlib random secrets select shutil signal socket
ssl subprocess tempfile threading time urllib uuid
"""
IMPURE_CALLS = "open print input __import__ now utcnow today"

WORLDS = {
    "Envoy": "admitting asking capturing dues escalations extproc health listener rpc_server run_queue server shared "
    "shed shedding stream tls workers",
    "a worker's reader": "reader reader_frames reader_process",
    "Redis": "breaker redis_link redis_script redis_limits redis_standings redis_intake redis_campaigns",
    "models": "batching breaker embedded endpoint kserve triton",
}
"""Each adapter knows one outside world; these modules make up one world together, every other is a world by itself."""

WARN_LINES, MOST_LINES = 400, 600

UNTESTED = {
    "__main__.py": "calls the command line",
    "ports.py": "protocols",
    "core/record.py": "data",
    "detectors/detector.py": "a protocol",
    "doctor/finding.py": "data",
}
"""Modules without behaviour, which need no test file, and what they are."""


@cache
def modules(root: Path) -> list[tuple[str, ast.Module, str]]:
    """Path within the package, syntax tree and text of every module; generated code is not ours."""
    package, found = root / PACKAGE, []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith("pb/"):
            text = path.read_text(encoding="utf-8")
            found.append((name, ast.parse(text), text))
    return found


def imports(name: str, tree: ast.Module) -> Iterator[str]:
    """Every module that is imported, anywhere in the file, by its absolute dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = [PACKAGE, *name.split("/")[:-1]]
            base = here[: len(here) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{whole}.{alias.name}" for alias in node.names)


def part(name: str) -> str:
    """The folder of a module, or the module itself where it lies at the top."""
    return name.split("/")[0].removesuffix(".py")


def wrong_direction(root: Path) -> Iterator[str]:
    """Imports that the table does not allow."""
    for name, tree, _ in modules(root):
        if name == "__init__.py":
            continue
        own, row = part(name), MAY_IMPORT.get(part(name))
        if row is None:
            yield f"{name}: {own} has no row in MAY_IMPORT"
            continue
        for target in imports(name, tree):
            first, *rest = target.split(".")
            inside = first == PACKAGE
            known = rest[0] if inside else first
            free = known == own if inside else first in sys.stdlib_module_names or "*" in row.split()
            if not free and known not in row.split():
                yield f"{name} imports {target}"


def impure(root: Path) -> Iterator[str]:
    """In the pure folders: anything that waits, asks the machine, writes, or answers differently the next time."""
    impure_modules, impure_calls = set(IMPURE_MODULES.split()), set(IMPURE_CALLS.split())
    for name, tree, _ in modules(root):
        if part(name) not in PURE:
            continue
        allowed = {"open", "pathlib"} if name in OPENS_FILES else set()
        for target in imports(name, tree):
            if (first := target.split(".")[0]) in impure_modules - allowed:
                yield f"{name} imports {first}"
        for node in ast.walk(tree):
            match node:
                case ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith() | ast.Await():
                    yield f"{name}:{node.lineno} is asynchronous"
                case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr="now" | "utcnow" | "today" as called)):
                    if called in impure_calls - allowed:
                        yield f"{name}:{node.lineno} calls {called}"


def entangled_adapters(root: Path) -> Iterator[str]:
    """Adapters that import an adapter of another world."""
    for name, tree, _ in modules(root):
        if part(name) == "adapters":
            own = name.removeprefix("adapters/").removesuffix(".py")
            allowed = next((world for world in map(str.split, WORLDS.values()) if own in world), [own])
            for target in imports(name, tree):
                if target.startswith(f"{PACKAGE}.adapters.") and target.split(".")[2] not in allowed:
                    yield f"{name} imports {target}"


def too_long(root: Path, limit: int = MOST_LINES) -> Iterator[str]:
    """Modules over the limit of lines."""
    for name, _, text in modules(root):
        if (lines := text.count("\n")) > limit:
            yield f"{name} has {lines} lines"


def untested(root: Path) -> Iterator[str]:
    """Modules without a test file of their name, in the folder of tests that mirrors theirs."""
    for name, _, _ in modules(root):
        folder, _, base = name.rpartition("/")
        if base != "__init__.py" and name not in UNTESTED and not (root / "tests" / folder / f"test_{base}").exists():
            yield f"{name} has no tests/{f'{folder}/' if folder else ''}test_{base}"


CHECKS = [wrong_direction, impure, entangled_adapters, too_long, untested]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_holds(check: Check) -> None:
    """The package keeps the rule."""
    found = list(check(ROOT))
    assert not found, "\n".join(found)


def test_long_modules_are_named() -> None:
    """A module near the limit is named in the run's warnings, before it becomes an error."""
    for line in too_long(ROOT, WARN_LINES):
        warnings.warn(f"{line}: {MOST_LINES} is the limit", stacklevel=1)


FAULTS = [
    (wrong_direction, "core/a.py", "from safeguards_extproc.policy import rules"),
    (wrong_direction, "core/a.py", "import yaml"),
    (wrong_direction, "wire/a.py", "def f():\n    from ..detectors import views"),
    (wrong_direction, "wire/a.py", "from safeguards_extproc import policy"),
    (wrong_direction, "adapters/a.py", "import safeguards_extproc.app"),
    (wrong_direction, "replay/a.py", "from safeguards_extproc.local import envoy"),
    (wrong_direction, "novel/a.py", ""),
    (impure, "core/a.py", "async def f(): ..."),
    (impure, "core/a.py", "from time import monotonic"),
    (impure, "wire/a.py", "import os\nx = os.environ"),
    (impure, "policy/a.py", "def f(): return open('x')"),
    (impure, "policy/load.py", "import logging"),
    (impure, "detectors/a.py", "import datetime\nx = datetime.datetime.now()"),
    (impure, "detectors/a.py", "import random"),
    (entangled_adapters, "adapters/triton.py", "from safeguards_extproc.adapters import redis"),
    (entangled_adapters, "adapters/stream.py", "from safeguards_extproc.adapters import triton"),
    (entangled_adapters, "adapters/sinks.py", "from safeguards_extproc.adapters.triton import Client"),
    (too_long, "core/a.py", "x = 1\n" * 601),
    (untested, "core/a.py", ""),
    (untested, "cli.py", ""),
]


@pytest.mark.parametrize(("check", "name", "text"), FAULTS)
def test_bites(check: Check, name: str, text: str, tmp_path: Path) -> None:
    """A planted fault is the one thing found."""
    path = tmp_path / PACKAGE / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert len(list(check(tmp_path))) == 1


ALLOWED = [
    (wrong_direction, "core/a.py", "import json\nfrom safeguards_extproc.errors import LimitExceeded"),
    (wrong_direction, "wire/a.py", "import brotli\nfrom . import sse\nfrom ..core import text"),
    (wrong_direction, "app.py", "import grpc\nfrom safeguards_extproc.adapters import triton"),
    (impure, "policy/load.py", "from pathlib import Path\nx = open('x')"),
    (impure, "adapters/a.py", "import asyncio, time"),
    (entangled_adapters, "adapters/server.py", "from safeguards_extproc.adapters import extproc"),
    (too_long, "core/a.py", "x = 1\n" * 600),
    (untested, "core/__init__.py", ""),
]


@pytest.mark.parametrize(("check", "name", "text"), ALLOWED)
def test_lets_pass(check: Check, name: str, text: str, tmp_path: Path) -> None:
    """What the tables allow is not found."""
    path = tmp_path / PACKAGE / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert list(check(tmp_path)) == []
