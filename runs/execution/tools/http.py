"""http.request@1: one guarded exchange. Answers of 400 and more are failures, so that a refused post is no success.

What such an answer says of a request that changes something is `statuses`' to tell.
"""

import json
from collections.abc import Mapping

from pipelines.graph.model import Json
from pipelines.graph.tools import names_another_method
from runs.engine.facts import ErrorClass
from runs.execution.context import ToolCall
from runs.execution.egress import tool_guard
from runs.execution.failures import Failure
from runs.execution.fetch import Answer, Exchange, fetch
from runs.execution.statuses import Refusal, failure_of, seconds_after
from runs.execution.tools import secret_headers
from runs.execution.tools.secret_headers import without

SAFE = ("GET", "HEAD")
_MOST_SHOWN = 500


async def request(args: Mapping[str, Json], call: ToolCall) -> Json:
    """Return {status, headers, json or text}; only reading follows redirects.

    Raise a transient Failure for an answer that asks to come again, where the call may be repeated, and AnswerLost for
    one that does not say whether a call that changes something was done.
    """
    method = str(args["method"]).upper()
    reads = method in SAFE and not names_another_method(args)
    headers = {str(name): str(value) for name, value in (args.get("headers") or {}).items()}
    body = _body(args, headers)
    if named := args.get("idempotency_header"):
        headers[str(named)] = call.idempotency_key
    secret = await secret_headers.revealed(args, call, headers)
    exchange = Exchange(method, str(args["url"]), {**headers, **secret}, body, follow=reads)
    answer = without(await fetch(tool_guard(call.egress), exchange), secret.values())
    if answer.status >= 400:
        raise failure_of(_refusal(method, answer, call), changes=not reads, repeatable=reads or bool(named))
    return _result(answer)


def _body(args: Mapping[str, Json], headers: dict[str, str]) -> bytes | None:
    given = {name.lower() for name in headers}
    if "json" in args:
        if "body" in args:
            raise Failure(ErrorClass.CONFIG, "two_bodies", "Give http.request either json or body, not both.")
        if "content-type" not in given:
            headers["Content-Type"] = "application/json"
        return json.dumps(args["json"], ensure_ascii=False).encode()
    if "body" not in args:
        return None
    if "content-type" not in given:
        headers["Content-Type"] = "text/plain; charset=utf-8"
    return str(args["body"]).encode()


def _result(answer: Answer) -> Json:
    headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() != "set-cookie"}
    result: dict[str, Json] = {"status": answer.status, "headers": headers}
    text = answer.body.decode(_charset(answer), "replace")
    if "json" in headers.get("content-type", ""):
        try:
            return result | {"json": json.loads(text)}
        except (ValueError, RecursionError):
            pass  # it only claims to be JSON; the reader gets to see what it is
    return result | {"text": text}


def _charset(answer: Answer) -> str:
    _, _, named = answer.headers.get("Content-Type", "").lower().partition("charset=")
    return "latin-1" if named.split(";")[0].strip(" \"'") in ("latin-1", "iso-8859-1") else "utf-8"


def _refusal(method: str, answer: Answer, call: ToolCall) -> Refusal:
    said = answer.body[:_MOST_SHOWN].decode("utf-8", "replace").strip()
    message = f"{method} {answer.url} answered {answer.status}{': ' + said if said else '.'}"
    return Refusal(answer.status, message, seconds_after(answer.headers, call.asked_at))
