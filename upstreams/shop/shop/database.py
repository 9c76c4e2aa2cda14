"""The way to a service's database. Every wait has an end, and a database that was away is found again by itself."""

import asyncio
import logging
import os
import random
import time
import warnings
from contextlib import asynccontextmanager

import aiomysql
from pymysql.err import InterfaceError, OperationalError, ProgrammingError

log = logging.getLogger("uvicorn.error")
# MariaDB notes each table that `IF NOT EXISTS` finds.
warnings.filterwarnings("ignore", category=aiomysql.Warning)

# Connections of one worker process. Three services of three replicas with two workers make 90; MariaDB's limit is 151.
CONNECTIONS = 5
# Longest wait for a free connection while the database is busy, and for the database itself.
QUEUE_SECONDS, PATIENCE_SECONDS = 4, 1.5
# After somebody waited for the database in vain nobody tries a new connection for this long, and who is in the queue is
# told so: a crowd would only hear the same, one after another.
PAUSE_SECONDS = 0.3
CANNOT_CONNECT, NO_SUCH_TABLE = 2003, 1146
AWAY = "the database does not answer, try again"


class Away(Exception):
    """Something that is needed does not answer now; the client may try again. Answered with 503."""


class Database:
    """`tables` are statements that can be repeated; `first` is the name of one table, which the health check asks."""

    def __init__(self, first: str, tables: list[str], fill=None):
        self._first, self._tables, self._fill = first, tables, fill
        self._settings = {
            "host": os.environ.get("MYSQL_HOST", "database"),
            "port": int(os.environ.get("MYSQL_PORT", "3306")),
            "db": os.environ.get("MYSQL_DATABASE", ""),
            "user": os.environ.get("MYSQL_USER", ""),
            "password": os.environ.get("MYSQL_PASSWORD", ""),
            "charset": "utf8mb4",
            "autocommit": True,
            "cursorclass": aiomysql.DictCursor,
            "connect_timeout": 1,
            # Rows are locked by name here, so nobody needs the gaps between them locked.
            "init_command": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        }

    def start(self):
        """Begins to make the tables, and does not wait for it: a service starts without its database too."""
        self._pool = aiomysql.Pool(0, CONNECTIONS, False, -1, asyncio.get_running_loop(), **self._settings)
        # The pool does not wake who waits when a connection is closed instead of given back; so nobody waits in it.
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._wanted, self._ready, self._pause_ends = asyncio.Event(), False, 0.0
        self._wanted.set()
        self._preparing = asyncio.create_task(self._prepare())

    async def stop(self):
        self._preparing.cancel()
        self._pool.terminate()
        await self._pool.wait_closed()

    @asynccontextmanager
    async def transaction(self):
        """A cursor whose work is committed at the end, and undone when anything goes wrong."""
        async with self._connection() as connection:
            await connection.begin()
            try:
                async with connection.cursor() as cursor:
                    yield cursor
                await connection.commit()
            except Exception:
                await connection.rollback()
                raise

    async def rows(self, query: str, values: tuple = ()) -> list[dict]:
        """The rows of one query."""
        async with self._connection() as connection, connection.cursor() as cursor:
            await cursor.execute(query, values)
            return await cursor.fetchall()

    async def row(self, query: str, values: tuple = ()) -> dict | None:
        """The first row of one query."""
        return next(iter(await self.rows(query, values)), None)

    @asynccontextmanager
    async def _connection(self):
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                self._unless_paused()
                await self._free.acquire()
        except TimeoutError as error:
            raise Away(AWAY) from error
        try:
            self._unless_paused()
            async with asyncio.timeout(PATIENCE_SECONDS), self._pool.acquire() as connection:
                try:
                    yield connection
                except asyncio.CancelledError:
                    # Its answer may still come, and must not be taken for that of the next question.
                    connection.close()
                    raise
        except (TimeoutError, OSError, OperationalError, InterfaceError) as error:
            if isinstance(error, TimeoutError) or (error.args and error.args[0] == CANNOT_CONNECT):
                self._pause_ends = time.monotonic() + PAUSE_SECONDS
            raise Away(AWAY) from error
        except ProgrammingError as error:
            if error.args[0] == NO_SUCH_TABLE:
                self._wanted.set()
                raise Away("the database is not ready, try again") from error
            raise
        finally:
            self._free.release()

    def _unless_paused(self):
        if time.monotonic() < self._pause_ends and not self._pool.freesize:
            raise Away(AWAY)

    async def problem(self) -> str:
        """What keeps the database from serving; empty when nothing does."""
        # A connection of its own: it does not queue behind requests, and proves that the database still takes new ones.
        try:
            async with asyncio.timeout(0.8):
                connection = await aiomysql.connect(**self._settings)
                try:
                    async with connection.cursor() as cursor:
                        await cursor.execute(f"SELECT 1 FROM {self._first} LIMIT 1")
                finally:
                    connection.close()
        except TimeoutError:
            return "does not answer"
        except ProgrammingError:
            self._wanted.set()
            return "has no tables yet"
        except (OSError, OperationalError, InterfaceError) as error:
            return f"does not answer: {error.args[-1] if error.args else error}"
        return "" if self._ready else "is being made ready"

    async def _prepare(self):
        """Makes the tables at the start, and whenever they are found missing: somebody replaced the database."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._ready = False
            while not self._ready:
                try:
                    async with asyncio.timeout(30):
                        self._ready = await self._make()
                except (TimeoutError, OSError, OperationalError, InterfaceError) as error:
                    log.debug("no tables yet: %s", error)
                except Exception:
                    log.exception("the tables cannot be made")
                    await asyncio.sleep(5)
                if not self._ready:
                    await asyncio.sleep(0.3 + random.random() / 2)

    async def _make(self) -> bool:
        """True when the tables are there; False while another process is making them."""
        connection = await aiomysql.connect(**self._settings)
        try:
            async with connection.cursor() as cursor:
                # The lock is the connection's: who dies gives it back.
                await cursor.execute("SELECT GET_LOCK(CONCAT(DATABASE(), '.tables'), 0) AS mine")
                if (await cursor.fetchone())["mine"] != 1:
                    return False
                for table in self._tables:
                    await cursor.execute(table)
                if self._fill:
                    await self._fill(cursor)
                return True
        finally:
            connection.close()
