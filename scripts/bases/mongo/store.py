"""Collections in memory, every change of which is in a SQLite file before it is answered."""

import bisect
import sqlite3

import bson
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion

import values
from values import Refused

OPTIONS = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def key_of(identity):
    """The bytes that stand for an `_id`; 1, 1.0 and a 64-bit 1 are the same."""
    if isinstance(identity, float) and identity.is_integer():
        identity = int(identity)
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = int(identity)
    return bson.encode({"_id": identity})


class Collection:
    def __init__(self):
        self.documents = {}  # key → document; a document is never changed, only replaced
        self.by_id = []  # every (order of `_id`, key), sorted: the index that each collection has
        self.indexes = {"_id_": {"v": 2, "key": {"_id": 1}, "name": "_id_"}}


    def add(self, key, document):
        self.documents[key] = document
        bisect.insort(self.by_id, (values.order(document["_id"]), key))

    def remove(self, key):
        document = self.documents.pop(key)
        del self.by_id[bisect.bisect_left(self.by_id, (values.order(document["_id"]), key))]


class Store:
    def __init__(self, path):
        self.sqlite = sqlite3.connect(path, isolation_level=None)
        self.sqlite.execute("PRAGMA journal_mode=WAL")
        # A killed server loses nothing; a machine without power may lose the last moment, as in MongoDB.
        self.sqlite.execute("PRAGMA synchronous=NORMAL")
        self.sqlite.execute("CREATE TABLE IF NOT EXISTS collections (db, name, indexes BLOB, PRIMARY KEY (db, name))")
        self.sqlite.execute(
            "CREATE TABLE IF NOT EXISTS documents (db, collection, key BLOB, body BLOB, PRIMARY KEY (db, collection, key))"
        )
        self.databases = {}
        for db, name, indexes in self.sqlite.execute("SELECT db, name, indexes FROM collections"):
            collection = self.databases.setdefault(db, {})[name] = Collection()
            collection.indexes = bson.decode(indexes, OPTIONS)
        for db, name, key, body in self.sqlite.execute("SELECT db, collection, key, body FROM documents ORDER BY rowid"):
            self.databases[db][name].add(key, bson.decode(body, OPTIONS))

    def close(self):
        self.sqlite.close()

    def read(self, db, name):
        return self.databases.get(db, {}).get(name) or Collection()

    def create(self, db, name):
        collection = self.databases.setdefault(db, {}).get(name)
        if collection is None:
            collection = self.databases[db][name] = Collection()
            self._save_indexes(db, name, collection)
        return collection

    def _save_indexes(self, db, name, collection):
        self.sqlite.execute("REPLACE INTO collections VALUES (?, ?, ?)", (db, name, bson.encode(collection.indexes)))

    def drop(self, db, name):
        for table, column in (("documents", "collection"), ("collections", "name")):
            self.sqlite.execute(f"DELETE FROM {table} WHERE db = ? AND {column} = ?", (db, name))
        return self.databases.get(db, {}).pop(name, None)

    def add_index(self, db, name, index):
        collection = self.create(db, name)
        if index.get("unique"):
            seen = []
            for document in collection.documents.values():
                key = self._index_key(index, document)
                if key is not None and key in seen:
                    raise duplicate(db, name, index, document)
                seen.append(key)
        collection.indexes[index["name"]] = index
        self._save_indexes(db, name, collection)

    def drop_index(self, db, name, index):
        collection = self.create(db, name)
        if index != "*" and index not in collection.indexes:
            raise Refused(f"index not found with name [{index}]", 27, "IndexNotFound")
        gone = [n for n in collection.indexes if n != "_id_"] if index == "*" else [index]
        for one in gone:
            del collection.indexes[one]
        self._save_indexes(db, name, collection)

    def put(self, db, name, document, new):
        """Inserts, or replaces the document with the same `_id`."""
        if new:
            identity = document["_id"] if "_id" in document else ObjectId()
            document = {"_id": identity, **document}
        if isinstance(document["_id"], list):
            raise Refused("The '_id' value cannot be of type array", 2, "BadValue")
        collection, key = self.create(db, name), key_of(document["_id"])
        if new and key in collection.documents:
            raise duplicate(db, name, collection.indexes["_id_"], document)
        self._check_unique(db, name, collection, key, document)
        row = (db, name, key, bson.encode(document))
        if new:
            self.sqlite.execute("INSERT INTO documents VALUES (?, ?, ?, ?)", row)
            collection.add(key, document)
        else:
            self.sqlite.execute("UPDATE documents SET body = ?4 WHERE db = ?1 AND collection = ?2 AND key = ?3", row)
            collection.documents[key] = document
        return document["_id"]

    def delete(self, db, name, document):
        key = key_of(document["_id"])
        self.sqlite.execute("DELETE FROM documents WHERE db = ? AND collection = ? AND key = ?", (db, name, key))
        self.read(db, name).remove(key)

    def find(self, db, name, wanted):
        """Documents that match, in the order they came."""
        return list(self.each(db, name, wanted))

    def each(self, db, name, wanted, by_id=0):
        """The same one by one, as of now; by ascending (1) or descending (-1) `_id` without sorting."""
        collection = self.read(db, name)
        documents = collection.documents
        identity = wanted.get("_id", values.MISSING)
        simple = isinstance(identity, (ObjectId, str, int, float)) or (isinstance(identity, dict) and set(identity) == {"$eq"})
        if simple:
            document = documents.get(key_of(identity["$eq"] if isinstance(identity, dict) else identity))
            candidates = [] if document is None else [document]
        elif by_id:
            candidates = _looked_up(documents.copy(), collection.by_id[::by_id])
        else:
            candidates = list(documents.values())
        return (document for document in candidates if not wanted or values.matches(document, wanted))

    def _index_key(self, index, document):
        found = [values.found(document, path)[0] for path in index["key"]]
        if index.get("sparse") and all(value is values.MISSING for value in found):
            return None
        if "partialFilterExpression" in index and not values.matches(document, index["partialFilterExpression"]):
            return None
        return [values.order(value) for value in found]

    def _check_unique(self, db, name, collection, key, document):
        for index in collection.indexes.values():
            wanted = self._index_key(index, document) if index.get("unique") else None
            if wanted is None:
                continue
            for other, existing in collection.documents.items():
                if other != key and self._index_key(index, existing) == wanted:
                    raise duplicate(db, name, index, document)


def _looked_up(documents, entries):
    return (documents[key] for _, key in entries)


def duplicate(db, name, index, document):
    value = {path: None if (v := values.found(document, path)[0]) is values.MISSING else v for path in index["key"]}
    message = f"E11000 duplicate key error collection: {db}.{name} index: {index['name']} dup key: {value}"
    return Refused(message, 11000, "DuplicateKey", keyPattern=index["key"], keyValue=value)
