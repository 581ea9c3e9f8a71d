"""Narrows PromQL to one platform, for a Prometheus that also watches others.

Only for expressions of this project's rules and dashboards: of PromQL's grammar it knows what they use. Pure.
"""

import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | (?P<labels>\{(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^}"'])*\})
    | (?P<range>\[[^\]]*\])
    | (?P<number>\d[\w.]*)
    | (?P<word>[A-Za-z_:][\w:]*)
    | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_LISTS_LABELS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = _LISTS_LABELS | {"and", "or", "unless", "bool", "offset", "Inf", "NaN", "inf", "nan"}


def narrowed(expression: str, labels: Mapping[str, str]) -> str:
    """The expression, with every series that it selects narrowed to those with these labels.

    Raises:
        ValueError: a selector without a metric's name, which would mean something else afterwards.

    >>> narrowed('sum by (job) (rate(up{job="a"}[5m])) > on (job) other', {"namespace": "x"})
    'sum by (job) (rate(up{job="a", namespace="x"}[5m])) > on (job) other{namespace="x"}'
    """
    added = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    if not added:
        return expression
    tokens = [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(expression)]
    out, at = list[str](), 0
    while at < len(tokens):
        group, text = tokens[at]
        at += 1
        out.append(text)
        if group == "labels":
            raise ValueError(f"{text} selects series without a metric's name")
        if group != "word":
            continue
        after = _next(tokens, at)
        if text in _LISTS_LABELS and after < len(tokens) and tokens[after][1] == "(":
            end = next(index for index in range(after, len(tokens)) if tokens[index][1] == ")")
            out += [token for _, token in tokens[at : end + 1]]
            at = end + 1
        elif text not in _WORDS and (after == len(tokens) or tokens[after][1] != "("):
            if after < len(tokens) and tokens[after][0] == "labels":
                out.append(_joined(tokens[after][1], added))
                at = after + 1
            elif text not in ("sum", "avg", "max", "min", "count"):  # before `by (...)`
                out.append(f"{{{added}}}")
    return "".join(out)


def rules(document: Mapping[str, Any], labels: Mapping[str, str], *, extra: Mapping[str, str]) -> dict[str, Any]:
    """A rule file for one platform among several: its expressions narrowed, and what they give labelled like that.

    Args:
        labels: What its series have.
        extra: Labels for its alerts and recordings besides.
    """
    groups = []
    for group in document["groups"]:
        narrowed_rules = [
            rule | {"expr": narrowed(rule["expr"], labels), "labels": {**rule.get("labels", {}), **labels, **extra}}
            for rule in group["rules"]
        ]
        groups.append({**group, "rules": narrowed_rules})
    return {"groups": groups}


def _next(tokens: list[tuple[str, str]], at: int) -> int:
    while at < len(tokens) and tokens[at][0] == "space":
        at += 1
    return at


def _joined(selector: str, added: str) -> str:
    inside = selector[1:-1].rstrip()
    inside = inside.removesuffix(",")
    return f"{{{inside}, {added}}}" if inside.strip() else f"{{{added}}}"
