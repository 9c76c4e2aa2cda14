"""What clients send, checked before a database sees it."""

import re

from flask import request
from werkzeug.exceptions import BadRequest


class Refused(Exception):
    """What a client sent cannot be taken; `fields` says why, field by field."""

    def __init__(self, message, fields=None):
        super().__init__(message)
        self.message, self.fields = message, fields or {}


def text(longest, empty=False):
    """A check for a string; it answers what is wrong with a value, or nothing."""

    def check(value):
        if not isinstance(value, str):
            return "must be a string"
        if not empty and not value.strip():
            return "must not be empty"
        if longest < len(value):
            return f"must not be longer than {longest} characters"
        # Neither database can hold half of a surrogate pair, nor PostgreSQL a NUL.
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            return "has characters that cannot be stored"
        return ""

    return check


def texts(most, longest):
    """A check for a list of strings."""
    one = text(longest)

    def check(value):
        if not isinstance(value, list) or most < len(value):
            return f"must be a list of at most {most} strings"
        return next((f"has an item that {problem}" for problem in map(one, value) if problem), "")

    return check


def read(checks, required=()):
    """The JSON object of the request. Wrong content type: 415; no JSON, no object or wrong fields: 400."""
    try:
        data = request.get_json()
    except (BadRequest, RecursionError):
        raise Refused("The body is not JSON that can be read.") from None
    if not isinstance(data, dict):
        raise Refused("The body must be a JSON object.")
    problems = {name: "is missing" for name in required if name not in data}
    for name, value in data.items():
        problem = checks[name](value) if name in checks else "is not known"
        if problem:
            problems[name] = problem
    if problems:
        raise Refused("Some fields are not right.", problems)
    if not data:
        raise Refused("The body names nothing to change.")
    return data


def limit():
    """`?limit=`, 1 to 100, or 50."""
    asked = request.args.get("limit", "50")
    if not re.fullmatch("[1-9][0-9]?|100", asked):
        raise Refused("`limit` must be 1 to 100.")
    return int(asked)
