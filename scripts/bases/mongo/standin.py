"""A stand-in for MongoDB, for where MongoDB cannot be had: its wire protocol, a small part of its commands, SQLite below.

Known: hello, ping, buildInfo and other small talk of drivers; SCRAM-SHA-256; insert, find, getMore, update (operators,
replacement, upsert), delete, findAndModify, count, distinct, aggregate ($match, $group, $sort, $skip, $limit, $project,
$count), createIndexes (unique ones are enforced, none makes anything faster), listing and dropping. Everything else is
refused by name, and a filter, update or stage it does not know is an error and never ignored. No replication, no
transactions, no TLS, no compression, no mongosh in the image. All data are in memory as well.

The user is what MONGO_INITDB_ROOT_USERNAME and …_PASSWORD say at each start; MongoDB keeps that of the first start.
"""

import asyncio
import datetime
import itertools
import os
import signal
import struct
import sys

import bson

import values
from scram import Conversation, User
from store import OPTIONS, Store
from values import Refused

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
MESSAGE_LIMIT = 48_000_000  # bytes
DOCUMENT_LIMIT = 16 * 1024 * 1024
FOR_STRANGERS = {"hello", "ismaster", "isMaster", "ping", "buildInfo", "buildinfo", "saslStart", "saslContinue", "endSessions"}


class Server:
    def __init__(self, store, user):
        self.store, self.user = store, user
        self.connections = itertools.count(1)
        self.cursors, self.cursor_ids = {}, itertools.count(1)

    async def serve(self, reader, writer):
        peer = Peer(self, next(self.connections))
        try:
            while (reply := peer.answer(await _message(reader))) is not False:
                if reply:
                    writer.write(reply)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        except (ValueError, struct.error, bson.errors.InvalidBSON) as error:
            print(f"connection {peer.number}: not understood: {error}", file=sys.stderr)
        finally:
            writer.close()


async def _message(reader):
    header = await reader.readexactly(16)
    length, request, _, kind = struct.unpack("<iiii", header)
    if not 16 <= length <= MESSAGE_LIMIT:
        raise ValueError(f"a message of {length} bytes")
    return request, kind, await reader.readexactly(length - 16)


def _frame(kind, answers, body, number=itertools.count(1)):
    return struct.pack("<iiii", 16 + len(body), next(number) & 0x7FFFFFFF, answers, kind) + body


class Peer:
    """One connection: who it is, and its commands. A command runs from begin to end before another of any connection."""

    def __init__(self, server, number):
        self.server, self.store, self.number = server, server.store, number
        self.known = server.user is None
        self.conversation = None

    def answer(self, message):
        request, kind, body = message
        if kind == OP_QUERY:  # only the first hello of a driver comes this way
            name, _, rest = body[4:].partition(b"\0")
            command = bson.decode(rest[8:][: struct.unpack_from("<i", rest, 8)[0]], OPTIONS)
            reply = self.run({**command, "$db": name.partition(b".")[0].decode()})
            return _frame(OP_REPLY, request, struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(reply))
        if kind != OP_MSG:
            raise ValueError(f"a message of the kind {kind}")
        flags, command = _sections(body)
        reply = self.run(command)
        wants_none = flags & 2
        return None if wants_none else _frame(OP_MSG, request, struct.pack("<iB", 0, 0) + bson.encode(reply))

    def run(self, command):
        name = next(iter(command), "")
        try:
            if not self.known and name not in FOR_STRANGERS:
                raise Refused(f"Command {name} requires authentication", 13, "Unauthorized")
            if "txnNumber" in command or "startTransaction" in command:
                raise Refused("Transaction numbers are only allowed on a replica set member or mongos", 20, "IllegalOperation")
            handler = COMMANDS.get(name)
            if handler is None:
                raise Refused(f"no such command: '{name}' (this is a stand-in for MongoDB)", 59, "CommandNotFound")
            return {**handler(self, command[name], command), "ok": 1.0}
        except Refused as refused:
            return refused.reply
        except (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError) as error:
            # Malformed, or a corner that is missing here: never a wrong answer, and the connection lives on.
            return Refused(f"{name}: not understood: {type(error).__name__}: {error}", 9, "FailedToParse").reply

    # ── who are you ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def hello(self, _, command):
        reply = {
            "isWritablePrimary": True,
            "ismaster": True,
            "helloOk": True,
            "maxBsonObjectSize": DOCUMENT_LIMIT,
            "maxMessageSizeBytes": MESSAGE_LIMIT,
            "maxWriteBatchSize": 100000,
            "localTime": datetime.datetime.now(datetime.timezone.utc),
            "logicalSessionTimeoutMinutes": 30,
            "connectionId": self.number,
            "minWireVersion": 0,
            "maxWireVersion": 21,
            "readOnly": False,
        }
        if "saslSupportedMechs" in command:
            reply["saslSupportedMechs"] = ["SCRAM-SHA-256"] if self.server.user else []
        return reply

    def sasl_start(self, _, command):
        if command["mechanism"] != "SCRAM-SHA-256":
            raise Refused(f"Unsupported mechanism '{command['mechanism']}'", 2, "BadValue")
        if self.server.user is None or command["$db"] != "admin":
            raise Refused("Authentication failed.", 18, "AuthenticationFailed")
        self.conversation = Conversation(self.server.user, command["payload"])
        self.may_skip = command.get("options", {}).get("skipEmptyExchange", False)
        return {"conversationId": 1, "done": False, "payload": self.conversation.reply}

    def sasl_continue(self, _, command):
        if self.known and self.conversation and not command["payload"]:
            return {"conversationId": 1, "done": True, "payload": b""}
        proof = self.conversation.end(command["payload"]) if self.conversation else None
        if proof is None:
            self.conversation = None
            raise Refused("Authentication failed.", 18, "AuthenticationFailed")
        self.known = True
        return {"conversationId": 1, "done": self.may_skip, "payload": proof}

    # ── documents ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def insert(self, name, command):
        return self._writes(command, "documents", lambda document: {"n": bool(self._insert(command, name, document))})

    def _insert(self, command, name, document):
        if DOCUMENT_LIMIT < len(bson.encode(document)):
            raise Refused("object to insert too large", 10334, "BSONObjectTooLarge")
        self.store.put(command["$db"], name, document, new=True)
        return True

    def update(self, name, command):
        upserted = []

        def one(operation):
            index = command["updates"].index(operation)
            matched, modified, new = self._update(command["$db"], name, operation)
            if new is not values.MISSING:
                upserted.append({"index": index, "_id": new})
            return {"n": matched + (new is not values.MISSING), "nModified": modified}

        reply = self._writes(command, "updates", one, {"nModified": 0})
        return {**reply, "upserted": upserted} if upserted else reply

    def _update(self, db, name, operation):
        wanted, change, multi = operation["q"], operation["u"], operation.get("multi", False)
        if operation.get("arrayFilters"):
            raise Refused("arrayFilters are not known here")
        if multi and not values.is_operators(change):
            raise Refused("multi update is not supported for replacement-style update", 9, "FailedToParse")
        documents = self.store.find(db, name, wanted)
        if not documents and operation.get("upsert"):
            return 0, 0, self.store.put(db, name, _upserted(wanted, change), new=True)
        modified = 0
        for document in documents if multi else documents[:1]:
            after = values.updated(document, change)
            if bson.encode(after) != bson.encode(document):
                self.store.put(db, name, after, new=False)
                modified += 1
        return len(documents) if multi else len(documents[:1]), modified, values.MISSING

    def delete(self, name, command):
        def one(operation):
            documents = self.store.find(command["$db"], name, operation["q"])
            documents = documents[:1] if operation["limit"] == 1 else documents
            for document in documents:
                self.store.delete(command["$db"], name, document)
            return {"n": len(documents)}

        return self._writes(command, "deletes", one)

    def _writes(self, command, part, one, totals=None):
        """Each operation in turn; what is refused is told with its place, and ends an ordered command."""
        reply, errors = {"n": 0, **(totals or {})}, []
        for index, operation in enumerate(command[part]):
            try:
                for key, count in one(operation).items():
                    reply[key] += count
            except Refused as refused:
                errors.append({"index": index, **{k: v for k, v in refused.reply.items() if k != "ok"}})
                if command.get("ordered", True):
                    break
        return {**reply, "writeErrors": errors} if errors else reply

    def find_and_modify(self, name, command):
        db = command["$db"]
        documents = values.sorted_by(self.store.find(db, name, command.get("query", {})), command.get("sort"))
        before, fields = (documents or [None])[0], command.get("fields")
        if command.get("remove"):
            if before is not None:
                self.store.delete(db, name, before)
            value = before and values.projected(before, fields)
            return {"lastErrorObject": {"n": int(before is not None)}, "value": value}
        if before is None:
            if not command.get("upsert"):
                return {"lastErrorObject": {"n": 0, "updatedExisting": False}, "value": None}
            new = self.store.put(db, name, _upserted(command.get("query", {}), command["update"]), new=True)
            after = self.store.find(db, name, {"_id": {"$eq": new}})[0]
            outcome = {"n": 1, "updatedExisting": False, "upserted": new}
            return {"lastErrorObject": outcome, "value": values.projected(after, fields) if command.get("new") else None}
        after = values.updated(before, command["update"])
        self.store.put(db, name, after, new=False)
        shown = after if command.get("new") else before
        return {"lastErrorObject": {"n": 1, "updatedExisting": True}, "value": values.projected(shown, fields)}

    def find(self, name, command):
        db, wanted, sort = command["$db"], command.get("filter", {}), command.get("sort") or {}
        if list(sort) == ["_id"] and sort["_id"] in (1, -1):
            documents = self.store.each(db, name, wanted, by_id=int(sort["_id"]))
        elif sort:
            documents = iter(values.sorted_by(self.store.find(db, name, wanted), sort))
        else:
            documents = self.store.each(db, name, wanted)
        skip, limit = command.get("skip", 0), abs(command.get("limit", 0))
        documents = itertools.islice(documents, skip, skip + limit if limit else None)
        documents = (values.projected(document, command.get("projection")) for document in documents)
        return self._cursor(command, name, documents, command.get("batchSize", 101), command.get("singleBatch", False))

    def aggregate(self, name, command):
        if not isinstance(name, str):
            raise Refused("aggregation without a collection is not known here")
        documents = values.aggregated(self.store.find(command["$db"], name, {}), command["pipeline"])
        return self._cursor(command, name, iter(documents), command.get("cursor", {}).get("batchSize", 101))

    def count(self, name, command):
        documents = self.store.find(command["$db"], name, command.get("query") or {})[command.get("skip", 0) :]
        return {"n": len(documents[: command["limit"]] if command.get("limit") else documents)}

    def distinct(self, name, command):
        different = {}
        for document in self.store.find(command["$db"], name, command.get("query") or {}):
            for value in values.found(document, command["key"]):
                for item in value if isinstance(value, list) else [value]:
                    if item is not values.MISSING:
                        different.setdefault(repr(values.order(item)), item)
        return {"values": list(different.values())}

    # ── cursors ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _cursor(self, command, name, documents, size, single=False):
        batch, rest = _batch(documents, size)
        number = 0
        if rest is not None and not single:
            number = next(self.server.cursor_ids)
            self.server.cursors[number] = rest
        return {"cursor": {"firstBatch": batch, "id": bson.Int64(number), "ns": f"{command['$db']}.{name}"}}

    def get_more(self, number, command):
        if number not in self.server.cursors:
            raise Refused(f"cursor id {number} not found", 43, "CursorNotFound")
        batch, rest = _batch(self.server.cursors.pop(number), command.get("batchSize") or 10**9)
        if rest is not None:
            self.server.cursors[number] = rest
        left = bson.Int64(number if rest is not None else 0)
        return {"cursor": {"nextBatch": batch, "id": left, "ns": f"{command['$db']}.{command['collection']}"}}

    def kill_cursors(self, _, command):
        killed = [number for number in command["cursors"] if self.server.cursors.pop(number, None) is not None]
        return {"cursorsKilled": killed, "cursorsNotFound": [n for n in command["cursors"] if n not in killed]}

    # ── collections ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, name, command):
        if name in self.store.databases.get(command["$db"], {}):
            raise Refused(f"Collection {command['$db']}.{name} already exists.", 48, "NamespaceExists")
        self.store.create(command["$db"], name)
        return {}

    def drop(self, name, command):
        if self.store.drop(command["$db"], name) is None:
            raise Refused("ns not found", 26, "NamespaceNotFound")
        return {"ns": f"{command['$db']}.{name}"}

    def drop_database(self, _, command):
        for name in list(self.store.databases.get(command["$db"], {})):
            self.store.drop(command["$db"], name)
        self.store.databases.pop(command["$db"], None)
        return {"dropped": command["$db"]}

    def create_indexes(self, name, command):
        before = len(self.store.create(command["$db"], name).indexes)
        for index in command["indexes"]:
            self.store.add_index(command["$db"], name, {"v": 2, **index})
        after = len(self.store.read(command["$db"], name).indexes)
        return {"numIndexesBefore": before, "numIndexesAfter": after, "createdCollectionAutomatically": False}

    def drop_indexes(self, name, command):
        self.store.drop_index(command["$db"], name, command["index"])
        return {}

    def list_indexes(self, name, command):
        if name not in self.store.databases.get(command["$db"], {}):
            raise Refused(f"ns does not exist: {command['$db']}.{name}", 26, "NamespaceNotFound")
        return self._cursor(command, name, iter(self.store.read(command["$db"], name).indexes.values()), 10**6)

    def list_collections(self, _, command):
        every = ({"name": n, "type": "collection", "options": {}} for n in self.store.databases.get(command["$db"], {}))
        wanted = command.get("filter", {})
        return self._cursor(command, "$cmd.listCollections", (e for e in every if values.matches(e, wanted)), 10**6)

    def list_databases(self, _, command):
        names = [{"name": name, "sizeOnDisk": 0, "empty": False} for name, has in self.store.databases.items() if has]
        return {"databases": names, "totalSize": 0}

    def build_info(self, _, __):
        return {"version": "7.0.0", "versionArray": [7, 0, 0, 0], "gitVersion": "stand-in", "modules": [], "bits": 64}

    def nothing(self, _, __):
        return {}


def _sections(body):
    """An OP_MSG's flags, and its command with the sequences of documents that came beside it."""
    flags, = struct.unpack_from("<I", body)
    if flags & 0xFFFC:
        raise ValueError(f"required flags {flags:#x}")
    end, at, command = len(body) - (4 if flags & 1 else 0), 4, {}
    while at < end:
        kind, size = body[at], struct.unpack_from("<i", body, at + 1)[0]
        part = body[at + 1 : at + 1 + size]
        if kind == 0:
            command = {**bson.decode(part, OPTIONS), **command}
        elif kind == 1:
            name, _, documents = part[4:].partition(b"\0")
            command[name.decode()] = bson.decode_all(documents, OPTIONS)
        else:
            raise ValueError(f"a section of the kind {kind}")
        at += 1 + size
    return flags, command


def _batch(documents, size):
    """So many documents, and not more bytes than one message carries; with the rest, or None where none is."""
    batch, bytes_left = [], DOCUMENT_LIMIT
    for document in documents:
        bytes_left -= len(bson.encode(document))
        if len(batch) == size or (batch and bytes_left < 0):
            return batch, itertools.chain([document], documents)
        batch.append(document)
    return batch, None


def _upserted(wanted, change):
    """The document that an update makes where none matched: what the filter says by equality, changed."""
    start = {}
    for name, condition in wanted.items():
        if not name.startswith("$") and "." not in name:
            if not values.is_operators(condition):
                start[name] = condition
            elif "$eq" in condition:
                start[name] = condition["$eq"]
    if not values.is_operators(change):
        start = {"_id": start["_id"]} if "_id" in start else {}
    return values.updated(start, change, inserting=True)


COMMANDS = {
    "hello": Peer.hello,
    "ismaster": Peer.hello,
    "isMaster": Peer.hello,
    "ping": Peer.nothing,
    "endSessions": Peer.nothing,
    "buildInfo": Peer.build_info,
    "buildinfo": Peer.build_info,
    "saslStart": Peer.sasl_start,
    "saslContinue": Peer.sasl_continue,
    "insert": Peer.insert,
    "update": Peer.update,
    "delete": Peer.delete,
    "findAndModify": Peer.find_and_modify,
    "findandmodify": Peer.find_and_modify,
    "find": Peer.find,
    "aggregate": Peer.aggregate,
    "count": Peer.count,
    "distinct": Peer.distinct,
    "getMore": Peer.get_more,
    "killCursors": Peer.kill_cursors,
    "create": Peer.create,
    "drop": Peer.drop,
    "dropDatabase": Peer.drop_database,
    "createIndexes": Peer.create_indexes,
    "dropIndexes": Peer.drop_indexes,
    "listIndexes": Peer.list_indexes,
    "listCollections": Peer.list_collections,
    "listDatabases": Peer.list_databases,
}


async def main():
    name, password = (os.environ.get(f"MONGO_INITDB_ROOT_{what}", "") for what in ("USERNAME", "PASSWORD"))
    if bool(name) != bool(password):
        sys.exit("MONGO_INITDB_ROOT_USERNAME and MONGO_INITDB_ROOT_PASSWORD: set both or none")
    if sys.argv[1:]:
        print(f"a stand-in, not MongoDB: it ignores {' '.join(sys.argv[1:])}", file=sys.stderr)
    store = Store(os.path.join(os.environ.get("STANDIN_DATA", "/data/db"), "standin.sqlite3"))
    server = Server(store, User(name, password) if name else None)
    port = int(os.environ.get("STANDIN_PORT", "27017"))
    listening = await asyncio.start_server(server.serve, "0.0.0.0", port, backlog=512)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(f"a stand-in for MongoDB listens on port {port}, {'with' if name else 'without'} authentication")
    await stop.wait()
    listening.close()
    store.close()


if __name__ == "__main__":
    asyncio.run(main())
