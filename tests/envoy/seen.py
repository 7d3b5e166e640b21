"""What an application gets to see through an SDK.

These applications are careless: they run every call of a tool that looks whole to them, whatever the answer ends with.
"""

from __future__ import annotations

import json
import urllib.error
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
from botocore.exceptions import ClientError, EventStreamError  # type: ignore[import-untyped]
from google.genai import errors
from pydantic import BaseModel
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]


class Note(BaseModel):
    """What an answer is made into by helpers that are told to."""

    words: str


@dataclass(slots=True)
class Seen:
    """What an application saw. `ran` are the calls that it has run, `everything` all that the SDK gave it.

    `told` is how it ended: the error that was raised, or else why the answer finished.
    """

    text: str = ""
    finish: str = ""
    ran: list[tuple[str, Any]] = field(default_factory=list)
    everything: list[str] = field(default_factory=list)
    error: Exception | None = None

    @property
    def told(self) -> str:
        return named(self.error) if self.error else self.finish

    def run(self, name: str, arguments: str | dict[str, Any]) -> None:
        """Run a call if its arguments can be read."""
        try:
            self.ran.append((name, json.loads(arguments) if isinstance(arguments, str) else arguments))
        except ValueError:
            return

    def note(self, made: Note | None) -> None:
        """Use what the answer was made into."""
        if made is not None:
            self.ran.append(("note", made.model_dump()))

    def got(self, given: object) -> None:
        self.everything.append(repr(given))


def named(error: Exception) -> str:
    """An error as an application tells it from others: class, status, code."""
    name = type(error).__name__
    match error:
        case openai.APIStatusError():
            return f"{name} {error.status_code} {error.code}"
        case openai.APIError():
            return f"{name} {error.code}"
        case anthropic.APIStatusError():
            body = error.body
            type_ = body["error"]["type"] if isinstance(body, dict) and "error" in body else ""
            return f"{name} {error.status_code} {type_}".strip()
        case EventStreamError():
            return f"{name} {error.response['Error']['Code']}"
        case ClientError():
            return f"{name} {error.response['ResponseMetadata']['HTTPStatusCode']}"
        case errors.APIError():
            return f"{name} {error.code} {error.status}"
        case InferenceServerException():
            return f"{name} {error.status()}"
        case urllib.error.HTTPError():
            return f"{name} {error.code}"
    return name


def said(prompt: str) -> list[Any]:
    return [{"role": "user", "content": prompt}]


class ErrorEvent(Exception):
    """The dialect's error event."""
