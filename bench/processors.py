"""Who stands between client and model server: nobody, one that decides nothing, ours in all ways, others' proxies."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from bench.scenarios import SCENARIOS
from safeguards_extproc.policy import source

MINIMAL = Path("policies/minimal.yaml")

LIMITED: dict[str, Any] = {
    "identity": {"end_user": [{"header": "x-user", "trusted": True}]},
    "limits": [{"name": "requests", "per": ["end_user"], "rate": "10000000/1s"}],
}
"""Every exchange is counted, and none is over."""

EDITS = ("entities", "placeholder", "restore", "instruction")
"""Keys of rules that change a text."""

RULES = {
    "keywords": ["project bluefinch"],
    "patterns": ["email", "visa", "mastercard", "amex", "us_phone", "iban", "aws_access_key", "github_token"],
}
"""policies/minimal.yaml as far as LiteLLM's own content filter has words for it."""


@dataclass(frozen=True)
class Processor:
    """A row of the bench. `argv` starts it, with what stands in braces put in; () is none at all. It asks `models` of
    Triton. `policy` is written for it as a file, `config` as JSON. One that is `alone` needs no Envoy.

    It is asked in `scenarios`, and whether it `streams`.

    Of several `workers`, each but the first has its number at the end of its socket's path.
    """

    name: str
    argv: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    workers: int = 1
    changes: dict[str, Any] = field(default_factory=dict)
    policy: Path | None = None
    alone: bool = False
    guarded: bool = False
    scenarios: frozenset[str] = frozenset(SCENARIOS)
    streams: bool = True

    def sockets(self, first: Path) -> list[Path]:
        """One for each worker."""
        return [first, *(first.with_name(f"{first.name}.{index}") for index in range(1, self.workers))]

    def command(
        self, folder: Path, socket: Path, triton: str, upstream: str = "", direct: str = "", reference: str = ""
    ) -> list[str]:
        """What starts it, its files written."""
        names = {"socket": str(socket), "folder": str(folder), "reference": reference}
        if self.policy is not None:
            written = folder / "policy.yaml"
            document = {**source.read(self.policy.read_text(), self.policy.stem).data, **self.changes}
            written.write_text(json.dumps(_telling(document) if "routes" in self.changes else document))
        if self.alone:
            (folder / "config.yaml").write_text(yaml.safe_dump(litellm(upstream, direct, guarded=self.guarded)))
        argv = [word.format(**names) for word in self.argv]
        return [*argv, *(["--triton", triton] if self.models else [])]


def ours(name: str, policy: Path = MINIMAL, *extra: str, **changes: Any) -> Processor:
    """The filter, with records, by a policy of which some keys are changed. It knows no window again, unless they say
    so: every request of a scenario has the same text, and those of a service do not."""
    serve: tuple[str, ...] = (sys.executable, "-m", "safeguards_extproc", "serve", "--policy", "{folder}/policy.yaml")
    serve += ("--listen", "unix://{socket}", "--health", "", "--records", "{folder}/records.jsonl", *extra)
    return Processor(name, serve, changes={"remember": 0, **changes}, policy=policy)


def asks(models: tuple[str, ...], name: str, policy: str, **changes: Any) -> Processor:
    """The filter with models on Triton."""
    some = frozenset(SCENARIOS) - {"220 KB prompt"}  # a minute of a processor's arithmetic each
    return replace(ours(name, Path(policy), **changes), models=models, scenarios=some)


def route(gate: str = "hold", release: str = "window") -> list[dict[str, Any]]:
    """One route for everything."""
    return [{"name": "all", "gate": gate, "release": release}]


def _telling(document: dict[str, Any]) -> dict[str, Any]:
    """A policy that changes no text, for that cannot be where text goes on before its verdict: it tells instead."""
    rules = [
        {**{key: rule[key] for key in rule if key not in EDITS}, "then": "annotate", "annotations": {"found": "yes"}}
        if rule["then"] in ("redact", "steer")
        else rule
        for rule in document["rules"]
    ]
    return {**{key: document[key] for key in document if key != "examples"}, "rules": rules}


NONE = Processor("none")
NO_OP = Processor("no-op", ("{reference}", "{socket}", "duplex"))
"""In C++, and decides nothing: REFERENCE."""
PATTERNS = ours("patterns")
UNSHED = replace(ours("patterns, nobody shed", MINIMAL, "--shed-above-ms", "0"), scenarios=frozenset(), streams=False)
FOLLOWED = replace(
    asks(("screen",), "screen, hold, follow", "policies/demo.yaml", routes=route("hold", "follow")),
    scenarios=frozenset(),
    streams=False,
)
UNMODELLED = ours("patterns, follow", routes=route("overlap", "follow"))
OVERLAPPED = replace(
    asks(("screen",), "screen, overlap, follow", "policies/demo.yaml", routes=route("overlap", "follow")),
    scenarios=frozenset(),
    streams=False,
)
BRIEF = frozenset({"short chat", "mixed"})


def processors(reference: str, peers: str) -> list[Processor]:
    """All of them. `reference` is a program that takes a socket and `duplex`, `peers` the folder of others' programs;
    either may be missing."""
    rows = [NONE]
    if reference:
        rows.append(NO_OP)
    variants = [
        ours("patterns, limits", **LIMITED),
        ours("patterns, overlap", routes=route("overlap")),
        UNMODELLED,
        ours("patterns, observe", routes=route("observe", "observe")),
    ]
    for count in _doubled(os.cpu_count() or 1):
        more = ours(f"patterns, {count} workers", MINIMAL, "--workers", str(count))
        variants.append(replace(more, workers=count))
    rows += [PATTERNS, *(replace(each, scenarios=BRIEF) for each in variants), UNSHED]
    rows.append(asks(("screen",), "screen", "policies/demo.yaml"))
    rows.append(asks(("screen", "guard", "exchange"), "cascade", "policies/default.yaml"))
    rows += [FOLLOWED, OVERLAPPED]
    program = Path(peers) / "litellm" / "bin" / "litellm"
    if peers and program.exists():
        argv = (str(program), "--config", "{folder}/config.yaml", "--host", "127.0.0.1", "--port", "{socket}")
        rows.append(Processor("LiteLLM", argv, alone=True))
        rows.append(Processor("LiteLLM, guard", argv, alone=True, guarded=True))
    return rows


def _doubled(cores: int) -> list[int]:
    """2, 4, 8 … and all of them."""
    return sorted({*(2**power for power in range(1, cores.bit_length()) if 2**power <= cores), cores} - {1})


def litellm(upstream: str, direct: str, *, guarded: bool) -> dict[str, Any]:
    """LiteLLM's configuration: the same model server, and its own filter of words and patterns if `guarded`."""
    models = []
    for name, place in (("m", direct), ("bench", direct), ("bench-*", upstream)):
        server = {"model": f"openai/{name}", "api_base": f"http://{place}/v1", "api_key": "none"}
        models.append({"model_name": name, "litellm_params": server})
    document: dict[str, Any] = {
        "model_list": models,
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},  # on loopback, for minutes
        "litellm_settings": {"num_retries": 0, "request_timeout": 60, "telemetry": False},
    }
    if guarded:
        words = [{"keyword": word, "action": "BLOCK"} for word in RULES["keywords"]]
        patterns = [{"pattern_type": "prebuilt", "pattern_name": name, "action": "MASK"} for name in RULES["patterns"]]
        parameters: dict[str, Any] = {
            "guardrail": "litellm_content_filter",
            "mode": ["pre_call", "post_call"],
            "default_on": True,
        }
        rules = {"blocked_words": words, "patterns": patterns}
        document["guardrails"] = [{"guardrail_name": "filter", "litellm_params": {**parameters, **rules}}]
    return document
