"""`python -m guards ROW MODEL`: make a model of Triton's out of a mounted checkpoint, or pin a changed one anew.

MODEL is the model's folder in the repository, with the checkpoint at MODEL/1/checkpoint. It gets config.pbtxt, which is
the operator's from then on (only the revision is kept in step), 1/model.py and 1/manifest.json.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from encoders.checkpoint import BadCheckpoint
from guards.checkpoint import pin
from guards.rows import ROWS, Judge, Row, labels

MODEL = '''"""A row of guards/rows.py; the folder that holds the package `guards` is beside the model repository."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3]))

from guards.backend import TritonPythonModel
'''
CONFIG = """\
# {row}: {source}
name: "{name}"
backend: "python"
max_batch_size: {batch}

# A text, and what it answers: "" for a text that answers nothing.
input [ {inputs} ]
output [ {{ name: "SCORES", data_type: TYPE_FP32, dims: [ {count} ] }} ]

# Leave out labels that you do not need: questions that only they ask are not asked.
parameters {{ key: "labels" value {{ string_value: "{labels}" }} }}
parameters {{ key: "revision" value {{ string_value: "" }} }}
{more}
dynamic_batching {{ }}
instance_group [ {{ kind: {kind}, count: {instances} }} ]
version_policy {{ latest {{ num_versions: 1 }} }}
"""
JUDGE = """
# The endpoint, the name of the model that it serves, and the environment variable (of Triton) that holds its key.
parameters { key: "url" value { string_value: "URL" } }
parameters { key: "judge" value { string_value: "NAME" } }
parameters { key: "key_variable" value { string_value: "JUDGE_API_KEY" } }
# How long a batch may take, and how many questions an instance asks at a time.
parameters { key: "timeout_ms" value { string_value: "10000" } }
parameters { key: "at_once" value { string_value: "16" } }
# low, medium or high for models that reason, empty for others.
parameters { key: "reasoning_effort" value { string_value: "" } }

"""


def config(row_name: str, row: Row, name: str, gpu: bool, wanted: Sequence[str] = (), judge: str = "") -> str:
    """A config.pbtxt without a revision, which is put in when the model is pinned. `judge` is "URL NAME"."""
    chosen = list(wanted) or labels(row)
    url, _, model = judge.partition(" ")
    asks = isinstance(row, Judge)
    inputs = ("TEXT", "PROMPT") if row.pair else ("TEXT",)
    return CONFIG.format(
        row=row_name,
        source=row.source,
        name=name,
        batch=64 if asks or not row.pair else 16,
        inputs=", ".join(f'{{ name: "{each}", data_type: TYPE_STRING, dims: [ 1 ] }}' for each in inputs),
        count=len(chosen),
        labels=",".join(chosen),
        more=JUDGE.replace("URL", url).replace("NAME", model) if asks else "",
        kind="KIND_GPU" if gpu else "KIND_CPU",
        instances=4 if asks else 1,
    )


def add(row_name: str, folder: Path, gpu: bool = False, wanted: Sequence[str] = (), judge: str = "") -> str:
    """Pin the model in `folder` and write what Triton needs; returns the revision. BadCheckpoint if it cannot be."""
    version = folder / "1"
    version.mkdir(parents=True, exist_ok=True)
    manifest = pin(version, row_name)
    row, path = ROWS[row_name], folder / "config.pbtxt"
    if unknown := set(wanted) - set(labels(row)):
        raise BadCheckpoint(f"{row_name} has no label {', '.join(sorted(unknown))}: it has {', '.join(labels(row))}")
    text = path.read_text(encoding="utf-8") if path.exists() else config(row_name, row, folder.name, gpu, wanted, judge)
    revision = r'(key: "revision" value \{ string_value: )"[^"]*"'
    path.write_text(re.sub(revision, rf'\1"{manifest.revision}"', text), encoding="utf-8")
    (version / "model.py").write_text(MODEL, encoding="utf-8")
    return manifest.revision


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if the model was written, 1 if not, with the reason."""
    parser = argparse.ArgumentParser(
        prog="python -m guards", description="Make a model of Triton's out of a checkpoint."
    )
    parser.add_argument("row", help=", ".join(ROWS))
    parser.add_argument(
        "model", type=Path, help="its folder in the model repository; the checkpoint is in 1/checkpoint"
    )
    parser.add_argument("--gpu", action="store_true", help="run on a GPU")
    parser.add_argument("--labels", default="", help="those that are wanted, with commas; all if left out")
    parser.add_argument(
        "--judge", nargs=2, metavar=("URL", "NAME"), default=("", ""), help="a judge's endpoint and model"
    )
    options = parser.parse_args(arguments)
    wanted = [label for label in options.labels.split(",") if label]
    try:
        revision = add(options.row, options.model, options.gpu, wanted, " ".join(options.judge))
    except BadCheckpoint as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{options.model.name}: {options.row}, revision {revision}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
