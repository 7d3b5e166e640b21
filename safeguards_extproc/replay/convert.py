"""Conversation files (`{id, messages, response, response_rejected}` a line) as traffic files."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.traffic import Answer, Exchange, FormatName, Message, lines, write

Which = Literal["preferred", "rejected", "alternate"]


class Turn(msgspec.Struct):
    """One turn of a dialogue."""

    role: Literal["system", "user", "assistant"]
    content: str

    def __repr__(self) -> str:
        return f"Turn({self.role}, {len(self.content)} chars)"


class Conversation(msgspec.Struct):
    """A dialogue and two answers to its last turn."""

    id: str
    messages: list[Turn]
    response: str
    response_rejected: str = ""

    def __repr__(self) -> str:
        return f"Conversation({self.id}, {len(self.messages)} turns)"


def conversations(path: Path) -> Iterator[Conversation]:
    """Dialogues of a file; ConfigError with the line of one that is not."""
    decoder = msgspec.json.Decoder(Conversation)
    for number, line in lines(path):
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError as error:
            raise ConfigError(str(error), where=f"{path}:{number}") from error


def exchange(
    conversation: Conversation, number: int, *, answer: Which, format_name: FormatName, stream: bool
) -> Exchange:
    """A dialogue as one exchange. `alternate` takes the rejected answer for every second one; a dialogue without a
    rejected answer keeps its preferred one."""
    rejected = answer == "rejected" or (answer == "alternate" and number % 2 == 1)
    text = (conversation.response_rejected if rejected else "") or conversation.response
    return Exchange(
        id=conversation.id,
        format=format_name,
        stream=stream,
        messages=[Message(role=turn.role, content=turn.content) for turn in conversation.messages],
        answer=Answer(text=text),
    )


def convert(
    source: Path,
    target: Path,
    *,
    answer: Which = "preferred",
    format_name: FormatName = "openai_chat",
    stream: bool = True,
    limit: int | None = None,
) -> int:
    """Write the conversations of `source` as traffic to `target`; how many. ConfigError if one cannot be used."""
    rows = itertools.islice(conversations(source), limit)
    return write(
        target,
        (
            exchange(row, number, answer=answer, format_name=format_name, stream=stream)
            for number, row in enumerate(rows)
        ),
    )


def main() -> None:
    """`python -m safeguards_extproc.replay.convert SOURCE TARGET`."""
    parser = argparse.ArgumentParser(description="Turn a conversation file into a traffic file.")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--answer", choices=("preferred", "rejected", "alternate"), default="preferred")
    parser.add_argument("--format", choices=("openai_chat", "anthropic_messages"), default="openai_chat")
    parser.add_argument("--whole", action="store_true", help="ask for whole answers, not for streams")
    parser.add_argument("--limit", type=int, help="at most so many")
    options = parser.parse_args()
    try:
        count = convert(
            options.source,
            options.target,
            answer=options.answer,
            format_name=options.format,
            stream=not options.whole,
            limit=options.limit,
        )
    except ConfigError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{count} exchanges\n")


if __name__ == "__main__":
    main()
