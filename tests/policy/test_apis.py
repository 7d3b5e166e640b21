"""Declared APIs: what a policy may say of them, every mistake with its line, and which requests belong to them."""

from __future__ import annotations

import pytest

from safeguards_extproc.core.text import Kind
from safeguards_extproc.policy.compile import CompiledPolicy
from tests.contract.wire_contract import recorded, texts
from tests.policy.written import HEAD, mistakes, policy

LINES = HEAD.count("\n")

SEARCH = """\
apis:
  - name: search
    match: {methods: [POST, GET], hosts: ["*.shop.test"], paths: [/v1/search, "/*/search"]}
    request:
      texts: [$.query, {path: "$.context[*].text", in: tool}]
      model: $.model
      ignore: [$.cursor]
    response:
      texts: [$.summary]
      ignore: [$.paging]
      items:
        path: $.results
        id: "@.id"
        texts: ["@.title", {path: "@['snippet']", in: tool}]
        ignore: ["@.image", "@.offers[*].seller"]
        count: [$.total, $.paging.count]
  - name: ranking
    request: {texts: [$.query]}
routes:
  - {name: rank, match: {paths: [/rank]}, format: ranking}
"""


def asked(
    found: CompiledPolicy, path: str, method: str = "POST", host: str = "eu.shop.test", name: str = "auto"
) -> str:
    format_ = found.declared(name, {":method": method, ":path": path, ":authority": host})
    return format_.name if format_ is not None else ""


def test_an_api_claims_requests_as_routes_match_them() -> None:
    """By method, host and path, however the path is spelt; what no API claims is the wire's to tell."""
    found = policy(SEARCH)
    assert ["search"] * 4 == [
        asked(found, "/v1/search?q=1"),
        asked(found, "/V1//Search/"),
        asked(found, "/de/search", "GET"),
        asked(found, "/v1/search", host="eu.shop.test:443"),
    ]
    assert [""] * 4 == [
        asked(found, "/v1/search", "PUT"),
        asked(found, "/v1/search", host="shop.test"),
        asked(found, "/v1/chat/completions"),
        asked(found, "/rank"),
    ]


def test_a_route_names_an_api_as_its_format() -> None:
    """Whatever the path is; a format of the filter's own is none of these."""
    found = policy(SEARCH)
    assert "ranking" == found.route("POST", "a", "/rank").format
    assert ["ranking", "search", ""] == [
        asked(found, "/any", "DELETE", "a", name=name) for name in ("ranking", "search", "openai_chat")
    ]


def test_a_policy_without_apis_declares_none() -> None:
    """Whatever is asked."""
    assert "" == asked(policy(""), "/v1/search")


def test_the_first_that_claims_a_request_has_it() -> None:
    """As with routes."""
    found = policy("apis:\n  - {name: one, match: {paths: [/s]}}\n  - {name: two, match: {paths: ['/**']}}\n")
    assert ["one", "two"] == [asked(found, "/s"), asked(found, "/t")]


def test_bodies_are_read_as_declared() -> None:
    """Kinds, ids, ignored places and counts."""
    format_ = policy(SEARCH).declared("search", {})
    assert format_ is not None
    document = format_.read_response(body := recorded("search", "pretty.response.json"), 200)
    assert {
        (Kind.CONTENT, "items.0"): "Sony WH-1000XM5\n",
        (Kind.TOOL, "items.0"): "Over-ear headphones that cancel noise.\n",
        (Kind.CONTENT, "items.1"): "Bose QuietComfort\n",
        (Kind.TOOL, "items.1"): "The classic.\n",
        (Kind.OTHER, "fields"): "did you mean\nwireless headphone\n",
    } == texts(document.segments)
    assert document.listed is not None
    assert b'"count": 1,' in document.listed.drop(body, {1})
    request = format_.read_request(b'{"model":"m-1","query":"a","context":[{"text":"b"},{"text":"c"}],"cursor":"x y"}')
    assert ("m-1", {(Kind.USER, "0"): "a", (Kind.TOOL, "1"): "b\nc\n"}) == (request.model, texts(request.segments))


def api(text: str, match: str = "match: {paths: [/s]}") -> str:
    return f"apis:\n  - name: search\n    {match}\n" + "".join(f"    {line}\n" for line in text.splitlines())


def at(line: int, rest: str) -> str:
    return f"policy.yaml:{LINES + line}: {rest}"


WRONG = [
    (
        api("").replace("search", "openai_chat"),
        at(2, "apis[0].name: 'openai_chat' is a format of the filter's own"),
    ),
    (api("", ""), at(2, "apis[0]: no request belongs to it (give it match:, or name it as the format of a route)")),
    (api("") + "  - {name: search, match: {paths: [/t]}}", at(4, "apis[1].name: 'search' stands twice")),
    (api("").replace("search", "Search-1"), at(2, "apis[0].name: must be a name: a small letter, then small letters")),
    (
        api("", "match: {paths: [/S/]}"),
        at(3, "apis[0].match.paths[0]: never matches: paths are compared in normal form"),
    ),
    (
        api("", "match: {}") + "  - {name: other, match: {paths: [/t]}}",
        at(4, "apis[1].match: never matches ('search' before it matches everything)"),
    ),
    (api("requests: {}"), at(4, "apis[0].requests: unknown key (did you mean 'request'?)")),
    (api("request:\n  text: []"), at(5, "apis[0].request.text: unknown key (did you mean 'texts'?)")),
    (
        api("request:\n  texts: [query]"),
        at(5, "apis[0].request.texts[0]: must be a path within the body: it begins with $"),
    ),
    (api("request:\n  texts:\n    - $..q"), at(6, "apis[0].request.texts[0]: '..q' in '$..q': '..' is not supported")),
    (api("request:\n  texts: [7]"), at(5, "apis[0].request.texts[0]: must be a mapping")),
    (
        api("request:\n  texts:\n    - {path: $.a, in: content}"),
        at(6, "apis[0].request.texts[0].in: a request holds no text of kind 'content'"),
    ),
    (
        api("request:\n  texts:\n    - {path: '@.a', in: tool}"),
        at(6, "apis[0].request.texts[0].path: must be a path within"),
    ),
    (
        api("request:\n  texts:\n    - $.a[*]\n    - $.a[0].b"),
        at(7, "apis[0].request.texts[1]: is read twice: one of it and texts[0] lies within the other"),
    ),
    (api("request:\n  model: $.models[*]"), at(5, "apis[0].request.model: must name one place (without [*])")),
    (api("response:\n  items:\n    id: '@.id'"), at(5, "apis[0].response.items.path: is required")),
    (
        api("response:\n  items:\n    path: $.r[*]"),
        at(6, "apis[0].response.items.path: must name one place (without [*])"),
    ),
    (
        api("response:\n  items:\n    path: $.r\n    id: $.r[*].id"),
        at(7, "apis[0].response.items.id: must be a path within an item of the list: it begins with @"),
    ),
    (
        api("response:\n  items:\n    path: $.r\n    count: [$.n, '$.r[0].n']"),
        at(7, "apis[0].response.items.count[1]: lies in the list itself (a count stands beside the list)"),
    ),
    (
        api("response:\n  texts: ['$.r[*].title']\n  items:\n    path: $.r"),
        at(
            5,
            "apis[0].response.texts[0]: lies in the list of items (write it as a path from @ in response.items.texts)",
        ),
    ),
    (
        api("response:\n  ignore: ['$.*[0].url']\n  items:\n    path: $.r"),
        at(
            5,
            "apis[0].response.ignore[0]: lies in the list of items (write it as a path from @ in response.items.ig",
        ),
    ),
    (
        api("response:\n  texts: [$.data]\n  items:\n    path: $.data.r"),
        at(5, "apis[0].response.texts[0]: holds the list of items (name the texts beside it)"),
    ),
    (
        api("") + "routes: [{name: a, format: serch}]",
        at(4, "routes[0].format: unknown format 'serch' (did you mean 'search'?)"),
    ),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_every_mistake_has_its_line(text: str, said: str) -> None:
    """One mistake is one problem, with what is wrong and what to write."""
    [problem] = mistakes(text)
    assert problem.startswith(said)


def test_all_mistakes_at_once() -> None:
    """In the order of the file."""
    found = mistakes(api("request:\n  texts: [a]\n  model: b\nresponse:\n  texts: [c]"))
    assert [LINES + 5, LINES + 6, LINES + 8] == [int(problem.split(":")[1]) for problem in found]


def test_the_declaration_is_part_of_the_digest() -> None:
    """Another declaration is another policy."""
    assert policy(SEARCH).digest != policy(SEARCH.replace("$.summary", "$.text")).digest
