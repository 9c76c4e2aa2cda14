"""How values of documents compare, and how filters, updates and projections apply to them. Knows no network and no disk."""

import copy
import datetime
import re

from bson import Binary, Code, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp


class Refused(Exception):
    """What a client is told instead of a wrong answer."""

    def __init__(self, message, code=2, name="BadValue", **more):
        super().__init__(message)
        self.reply = {"ok": 0.0, "errmsg": message, "code": code, "codeName": name, **more}


MISSING = object()
NUMBERS = (int, float, Decimal128)


def order(value):
    """A key to sort by, in MongoDB's order of types."""
    if value is MISSING or value is None:
        return (1, 0)
    if isinstance(value, MinKey):
        return (0, 0)
    if isinstance(value, MaxKey):
        return (99, 0)
    if isinstance(value, bool):
        return (8, value)
    if isinstance(value, NUMBERS):
        return (2, number(value))
    if isinstance(value, Code):
        return (13, str(value))
    if isinstance(value, str):
        return (3, value.encode())
    if isinstance(value, dict):
        return (4, [(order(item)[0], name, order(item)) for name, item in value.items()])
    if isinstance(value, list):
        return (5, [order(item) for item in value])
    if isinstance(value, (bytes, Binary)):
        return (6, (len(value), getattr(value, "subtype", 0), bytes(value)))
    if isinstance(value, ObjectId):
        return (7, value.binary)
    if isinstance(value, datetime.datetime):
        return (9, value)
    if isinstance(value, Timestamp):
        return (10, (value.time, value.inc))
    if isinstance(value, (Regex, re.Pattern)):
        return (11, (str(value.pattern), int(value.flags)))
    raise Refused(f"values of the kind {type(value).__name__} cannot be compared here")


def number(value):
    return value.to_decimal() if isinstance(value, Decimal128) else value


def same(left, right):
    return order(left) == order(right)


# ── filters ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def found(document, path):
    """All values that a dotted path leads to; through arrays to every element."""
    head, _, rest = path.partition(".")
    if isinstance(document, list):
        by_place = [document[int(head)]] if head.isdigit() and int(head) < len(document) else []
        values = [item for item in by_place] if not rest else [v for item in by_place for v in found(item, rest)]
        return values + [v for item in document if isinstance(item, dict) for v in found(item, path) if v is not MISSING]
    if not isinstance(document, dict) or head not in document:
        return [MISSING]
    return found(document[head], rest) if rest else [document[head]]


def spread(values):
    """A condition holds for an array when it holds for the array or for one of its elements."""
    return values + [item for value in values if isinstance(value, list) for item in value]


def matches(document, wanted):
    return all(_holds(document, name, condition) for name, condition in wanted.items())


def _holds(document, name, condition):
    if name == "$and":
        return all(matches(document, part) for part in condition)
    if name == "$or":
        return any(matches(document, part) for part in condition)
    if name == "$nor":
        return not any(matches(document, part) for part in condition)
    if name == "$comment":
        return True
    if name.startswith("$"):
        raise Refused(f"unknown top level operator: {name}")
    values = found(document, name)
    if is_operators(condition):
        return all(_operator(values, operator, operand, condition) for operator, operand in condition.items())
    if isinstance(condition, (Regex, re.Pattern)):
        return _operator(values, "$regex", condition, {})
    return any(same(value, condition) for value in spread(values))


def is_operators(condition):
    return isinstance(condition, dict) and bool(condition) and next(iter(condition)).startswith("$")


def _compared(values, operand, holds):
    """Only values of the operand's type compare, as in MongoDB."""
    rank = order(operand)[0]
    keys = [order(value) for value in spread(values)]
    return any(key[0] == rank and holds(key, order(operand)) for key in keys)


def _operator(values, operator, operand, condition):
    match operator:
        case "$eq":
            return any(same(value, operand) for value in spread(values))
        case "$ne":
            return not any(same(value, operand) for value in spread(values))
        case "$gt":
            return _compared(values, operand, lambda a, b: a > b)
        case "$gte":
            return _compared(values, operand, lambda a, b: a >= b)
        case "$lt":
            return _compared(values, operand, lambda a, b: a < b)
        case "$lte":
            return _compared(values, operand, lambda a, b: a <= b)
        case "$in" | "$nin":
            if not isinstance(operand, list):
                raise Refused(f"{operator} needs an array")
            inside = any(
                _operator([value], "$regex", item, {}) if isinstance(item, (Regex, re.Pattern)) else same(value, item)
                for value in spread(values)
                for item in operand
            )
            return inside == (operator == "$in")
        case "$exists":
            return any(value is not MISSING for value in values) == bool(operand)
        case "$size":
            return any(isinstance(value, list) and len(value) == operand for value in values)
        case "$all":
            return all(any(same(value, item) for value in spread(values)) for item in operand)
        case "$elemMatch":
            items = [item for value in values if isinstance(value, list) for item in value]
            if is_operators(operand):
                return any(all(_operator([i], o, x, operand) for o, x in operand.items()) for i in items)
            return any(isinstance(item, dict) and matches(item, operand) for item in items)
        case "$not":
            if isinstance(operand, (Regex, re.Pattern)):
                return not _operator(values, "$regex", operand, {})
            return not all(_operator(values, o, x, operand) for o, x in operand.items())
        case "$regex":
            if isinstance(operand, Regex):
                pattern = operand.try_compile()
            elif isinstance(operand, re.Pattern):
                pattern = operand
            else:
                flags = {"i": re.I, "m": re.M, "s": re.S, "x": re.X}
                pattern = re.compile(operand, sum(flags[f] for f in condition.get("$options", "")))
            return any(isinstance(value, str) and pattern.search(value) for value in spread(values))
        case "$options":
            return True
    raise Refused(f"unknown operator: {operator}")


# ── sorting and projection ──────────────────────────────────────────────────────────────────────────────────────────────


def sorted_by(documents, specification):
    for path, direction in reversed(list((specification or {}).items())):
        if direction not in (1, -1):
            raise Refused(f"sort direction of {path} must be 1 or -1")

        def key(document, path=path, direction=direction):
            keys = [order(value) for value in spread(found(document, path)) if not isinstance(value, list)]
            return (min if direction == 1 else max)(keys, default=(1, -1))

        documents = sorted(documents, key=key, reverse=direction == -1)
    return documents


def projected(document, projection):
    if not projection:
        return document
    rest = {name: wanted for name, wanted in projection.items() if name != "_id"}
    for name, wanted in projection.items():
        if not isinstance(wanted, (bool, int, float)) or "." in name:
            raise Refused(f"projection of {name}: only whole fields, taken or left out, are known here")
    with_id = bool(projection.get("_id", True))
    including = any(rest.values()) or (not rest and with_id)
    if rest and len({bool(wanted) for wanted in rest.values()}) != 1:
        raise Refused("a projection cannot take some fields and leave others out", 31254, "Location31254")
    if including:
        return {name: value for name, value in document.items() if name in rest or (name == "_id" and with_id)}
    return {name: value for name, value in document.items() if name not in rest and (name != "_id" or with_id)}


# ── updates ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def updated(document, update, inserting=False):
    """The document as it is after an update, which is a replacement or made of operators."""
    if isinstance(update, list):
        raise Refused("updates by a pipeline are not known here")
    if not is_operators(update):
        kept = {"_id": document["_id"]} if "_id" in document else {}
        if kept and "_id" in update and not same(update["_id"], kept["_id"]):
            raise Refused("the (immutable) field '_id' was found to have been altered", 66, "ImmutableField")
        return {**kept, **update}
    after = copy.deepcopy(document)
    for operator, fields in update.items():
        if operator == "$setOnInsert" and not inserting:
            continue
        for path, operand in fields.items():
            _change(after, operator, path, operand)
    if "_id" in document and not same(after.get("_id", MISSING), document["_id"]):
        raise Refused("Performing an update on the path '_id' would modify the immutable field '_id'", 66, "ImmutableField")
    return after


def _change(document, operator, path, operand):
    *parents, last = path.split(".")
    for name in parents:
        if isinstance(document, list):
            document = document[int(name)]
        else:
            document = document.setdefault(name, {})
        if not isinstance(document, (dict, list)):
            raise Refused(f"cannot create field '{last}' in a value that is no document: {path}", 28, "PathNotViable")
    if isinstance(document, list):
        raise Refused(f"changing elements of arrays by place is not known here: {path}")
    before = document.get(last, MISSING)
    match operator:
        case "$set" | "$setOnInsert":
            document[last] = operand
        case "$unset":
            document.pop(last, None)
        case "$inc" | "$mul":
            if before is not MISSING and (not isinstance(before, NUMBERS) or isinstance(before, bool)):
                raise Refused(f"cannot apply {operator} to a value that is no number: {path}", 14, "TypeMismatch")
            start = 0 if before is MISSING else before
            document[last] = start + operand if operator == "$inc" else start * operand
        case "$min" | "$max":
            smaller = before is MISSING or (order(operand) < order(before)) == (operator == "$min")
            if smaller and (before is MISSING or not same(operand, before)):
                document[last] = operand
        case "$currentDate":
            document[last] = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        case "$push" | "$addToSet" | "$pull":
            array = [] if before is MISSING else before
            if not isinstance(array, list):
                raise Refused(f"the field '{path}' must be an array", 2, "BadValue")
            document[last] = _array(array, operator, operand)
        case _:
            raise Refused(f"unknown update operator: {operator}", 9, "FailedToParse")


def _array(array, operator, operand):
    if operator == "$pull":
        if is_operators(operand):
            return [i for i in array if not all(_operator([i], o, x, operand) for o, x in operand.items())]
        if isinstance(operand, dict):
            return [i for i in array if not (isinstance(i, dict) and matches(i, operand))]
        return [i for i in array if not same(i, operand)]
    if is_operators(operand):
        if set(operand) != {"$each"}:
            raise Refused(f"{operator} knows only $each here")
        new = operand["$each"]
    else:
        new = [operand]
    after = list(array)
    for item in new:
        if operator == "$push" or not any(same(item, other) for other in after):
            after.append(item)
    return after


# ── aggregation ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def aggregated(documents, pipeline):
    for stage in pipeline:
        (name, operand), = stage.items()
        match name:
            case "$match":
                documents = [document for document in documents if matches(document, operand)]
            case "$sort":
                documents = sorted_by(documents, operand)
            case "$skip":
                documents = documents[operand:]
            case "$limit":
                documents = documents[:operand]
            case "$project":
                documents = [projected(document, operand) for document in documents]
            case "$count":
                documents = [{operand: len(documents)}] if documents else []
            case "$group":
                documents = _grouped(documents, operand)
            case _:
                raise Refused(f"Unrecognized pipeline stage name: '{name}'", 40324, "Location40324")
    return documents


def _value(document, expression):
    """A constant, or `$field`."""
    if isinstance(expression, str) and expression.startswith("$"):
        value = found(document, expression[1:])[0]
        return None if value is MISSING else value
    if isinstance(expression, dict):
        if is_operators(expression):
            raise Refused(f"expressions such as {next(iter(expression))} are not known here")
        return {name: _value(document, part) for name, part in expression.items()}
    return expression


def _grouped(documents, specification):
    groups = []
    for document in documents:
        key = _value(document, specification["_id"])
        group = next((group for group in groups if same(group[0], key)), None)
        if group is None:
            groups.append(group := (key, []))
        group[1].append(document)
    result = []
    for key, members in groups:
        made = {"_id": key}
        for name, accumulator in specification.items():
            if name == "_id":
                continue
            (operator, expression), = accumulator.items()
            values = [_value(member, expression) for member in members]
            numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
            match operator:
                case "$sum":
                    made[name] = sum(numbers)
                case "$avg":
                    made[name] = sum(numbers) / len(numbers) if numbers else None
                case "$min":
                    made[name] = min((v for v in values if v is not None), key=order, default=None)
                case "$max":
                    made[name] = max((v for v in values if v is not None), key=order, default=None)
                case "$first":
                    made[name] = values[0]
                case "$last":
                    made[name] = values[-1]
                case "$push":
                    made[name] = values
                case _:
                    raise Refused(f"unknown group operator '{operator}'", 15952, "Location15952")
        result.append(made)
    return result
