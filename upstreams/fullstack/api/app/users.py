"""Users, in PostgreSQL."""

import os
import re
import socket
import threading
import time
from contextlib import contextmanager

import psycopg
from flask import Blueprint, abort, current_app, jsonify, request, url_for
from psycopg import sql
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from app import payload
from app.database import SLOTS, Database

blueprint = Blueprint("users", __name__, url_prefix="/api/users")
LARGEST_ID = 2**63 - 1
STATEMENT_LIMIT = 3  # seconds; kept by the server
HANG_LIMIT = 4  # seconds after which a server that does not even do that is taken to hang
COLUMNS = sql.SQL("id, name, email, created, updated")
TABLE = """
    CREATE TABLE IF NOT EXISTS users (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL,
        email text NOT NULL,
        created timestamptz NOT NULL DEFAULT now(),
        updated timestamptz NOT NULL DEFAULT now()
    );
    CREATE UNIQUE INDEX IF NOT EXISTS users_email ON users (lower(email));
"""


class Users(Database):
    name, what = "postgres", "users"
    # A pool that cannot give a connection in time, and a statement that took too long, are among the operational errors.
    errors = (psycopg.OperationalError, psycopg.InterfaceError)

    def __init__(self):
        self._pool = ConnectionPool(
            kwargs={
                "host": os.environ.get("POSTGRES_HOST", "postgres"),
                "port": os.environ.get("POSTGRES_PORT", "5432"),
                "dbname": os.environ.get("POSTGRES_DB", "app"),
                "user": os.environ.get("POSTGRES_USER", "app"),
                "password": os.environ.get("POSTGRES_PASSWORD", "app"),
                "connect_timeout": 2,
                "tcp_user_timeout": 3000,
                "options": f"-c statement_timeout={STATEMENT_LIMIT}s",
                "autocommit": True,
                "row_factory": dict_row,
            },
            # One for each slot and one for the thread that asks.
            min_size=2,
            max_size=SLOTS + 1,
            timeout=2,
            # It gives up soon, for the thread that asks begins again; otherwise it would pause longer and longer.
            reconnect_timeout=1,
            open=True,
        )
        self._in_use, self._in_use_lock = {}, threading.Lock()
        threading.Thread(target=self._end_hanging, name="postgres-hanging", daemon=True).start()
        super().__init__()

    @contextmanager
    def _connection(self):
        with self._pool.connection() as connection:
            self._in_use[connection] = time.monotonic()
            try:
                yield connection
            finally:
                with self._in_use_lock:
                    del self._in_use[connection]

    def _end_hanging(self):
        """The driver waits without end for a server that hangs. Closed below it, a connection fails and frees its request."""
        while True:
            time.sleep(0.5)
            with self._in_use_lock:
                old = time.monotonic() - HANG_LIMIT
                for connection in [connection for connection, since in list(self._in_use.items()) if since < old]:
                    try:
                        with socket.socket(fileno=os.dup(connection.fileno())) as hanging:
                            hanging.shutdown(socket.SHUT_RDWR)
                    except (OSError, psycopg.Error):
                        pass  # it is gone already

    def ask(self, first):
        if first:
            self._pool.check()  # throws away connections to a server that is gone
        with self._connection() as connection:
            if first:
                self._prepare(connection)
            connection.execute("SELECT 1")

    @staticmethod
    def _prepare(connection):
        """The table, made by whichever worker of whichever replica comes first."""
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(27017)")
            connection.execute(TABLE)

    def rows(self, statement, values=()):
        with self.use(), self._connection() as connection:
            return connection.execute(statement, values).fetchall()


def _email(value):
    problem = payload.text(254)(value)
    return problem or ("" if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value) else "must be an address such as ada@example.com")


CHECKS = {"name": payload.text(120), "email": _email}


def _rows(statement, values=()):
    return current_app.extensions["users"].rows(statement, values)


def _shown(user):
    return {**user, "created": user["created"].isoformat(), "updated": user["updated"].isoformat()}


def _one(rows):
    if not rows:
        abort(404, "There is no such user.")
    return _shown(rows[0])


def _id(number):
    # Larger numbers are no ids, and PostgreSQL would call them an error.
    if LARGEST_ID < number:
        abort(404, "There is no such user.")
    return number


@blueprint.errorhandler(psycopg.errors.UniqueViolation)
def taken(_):
    return jsonify(error="There is a user with this email already."), 409


@blueprint.get("")
def every():
    """By id, `limit` at a time; `next` is the `after` of the following page."""
    after, limit = request.args.get("after", "0"), payload.limit()
    if not re.fullmatch("[0-9]{1,18}", after):
        raise payload.Refused("`after` must be an id.")
    statement = sql.SQL("SELECT {} FROM users WHERE id > %s ORDER BY id LIMIT %s").format(COLUMNS)
    users = [_shown(user) for user in _rows(statement, (int(after), limit))]
    return jsonify(users=users, next=users[-1]["id"] if len(users) == limit else None)


@blueprint.post("")
def create():
    data = payload.read(CHECKS, required=CHECKS)
    statement = sql.SQL("INSERT INTO users (name, email) VALUES (%s, %s) RETURNING {}").format(COLUMNS)
    user = _one(_rows(statement, (data["name"], data["email"])))
    return jsonify(user), 201, {"Location": url_for("users.one", number=user["id"])}


@blueprint.get("/<number:number>")
def one(number):
    return jsonify(_one(_rows(sql.SQL("SELECT {} FROM users WHERE id = %s").format(COLUMNS), (_id(number),))))


@blueprint.route("/<number:number>", methods=["PUT", "PATCH"])
def change(number):
    """PUT names every field, PATCH those that change."""
    data = payload.read(CHECKS, required=CHECKS if request.method == "PUT" else ())
    changes = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in data)
    statement = sql.SQL("UPDATE users SET {}, updated = now() WHERE id = %s RETURNING {}").format(changes, COLUMNS)
    return jsonify(_one(_rows(statement, (*data.values(), _id(number)))))


@blueprint.delete("/<number:number>")
def delete(number):
    _one(_rows(sql.SQL("DELETE FROM users WHERE id = %s RETURNING {}").format(COLUMNS), (_id(number),)))
    return "", 204
