"""Orders. The edge has checked the token and says in `X-User-Id` who it is; the stock is reserved at the products.

An order goes `pending` → `placed`, or `pending` → `releasing` → `failed`. Whatever dies on the way, its replica,
the products or the database, the row stays and the sweeper ends it: the stock that is gone is that of placed orders.
"""

import asyncio
import hashlib
import random
import uuid
from typing import Annotated

from fastapi import Depends, Header, HTTPException, Query, Response
from pydantic import BaseModel, Field
from pymysql.err import IntegrityError

from shop.calls import Caller
from shop.database import Away, Database
from shop.service import log, service

TABLES = [
    """CREATE TABLE IF NOT EXISTS orders (
         id BIGINT AUTO_INCREMENT PRIMARY KEY, user INT NOT NULL, name VARCHAR(32) NOT NULL,
         request VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, content CHAR(64) NOT NULL,
         reservation CHAR(32) NOT NULL, state ENUM('pending', 'placed', 'releasing', 'failed') NOT NULL,
         total_cents BIGINT NOT NULL DEFAULT 0, made TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
         UNIQUE (user, request), KEY (user, id), KEY (state, made))""",
    """CREATE TABLE IF NOT EXISTS items (
         `order` BIGINT, product INT, name VARCHAR(100) NOT NULL, quantity INT NOT NULL, price_cents INT NOT NULL,
         PRIMARY KEY (`order`, product))""",
]
# An order is placed within this time or not at all; after SWEPT_SECONDS nobody can still be at it.
RESERVE_SECONDS = 5
SWEPT_SECONDS = 15

database = Database("orders", TABLES)
products = Caller()
# Releases under way; the loop itself would forget them.
releases: set[asyncio.Task] = set()


class Item(BaseModel):
    product: int
    quantity: int = Field(ge=1, le=100)


class NewOrder(BaseModel):
    items: list[Item] = Field(min_length=1, max_length=20)


class User(BaseModel):
    id: int
    name: str


async def user(x_user_id: Annotated[str, Header()] = "", x_user_name: Annotated[str, Header()] = "") -> User:
    """Who the edge says it is. Without it the request did not come through the edge's check."""
    if not x_user_id.isdecimal():
        raise HTTPException(401, "not signed in", {"WWW-Authenticate": "Bearer"})
    return User(id=int(x_user_id), name=x_user_name)


CurrentUser = Annotated[User, Depends(user)]
# Visible ASCII: what the database compares byte by byte, and no space at an end that it would overlook.
IdempotencyKey = Annotated[str | None, Header(pattern="^[!-~]{1,100}$")]


async def sweep():
    """Ends the orders that somebody left on the way. Every worker does it; that costs nothing and needs no leader."""
    while True:
        await asyncio.sleep(random.uniform(1.5, 3))
        try:
            left = await database.rows(
                "SELECT id, reservation FROM orders WHERE state IN ('pending', 'releasing')"
                " AND made < NOW() - INTERVAL %s SECOND LIMIT 20",
                (SWEPT_SECONDS,),
            )
            for order in left:
                if await give_up(order["id"], order["reservation"]):
                    log.info("order %s ended: left on the way", order["id"])
        except Away:
            pass
        except Exception:
            log.exception("the sweeper goes on")


app = service("orders", database, sweep)


@app.post("/orders", status_code=201)
async def place(wanted: NewOrder, user: CurrentUser, idempotency_key: IdempotencyKey = None):
    """Reserves the stock and places the order. Sent again with the same `Idempotency-Key` it orders nothing more."""
    reservation, content = uuid.uuid4().hex, hashlib.sha256(wanted.model_dump_json().encode()).hexdigest()
    try:
        async with database.transaction() as cursor:
            await cursor.execute(
                "INSERT INTO orders (user, name, request, content, reservation, state)"
                " VALUES (%s, %s, %s, %s, %s, 'pending')",
                (user.id, user.name, idempotency_key, content, reservation),
            )
            number = cursor.lastrowid
    except IntegrityError:
        return await earlier(user, idempotency_key, content)
    try:
        answer = await products.call(
            "PUT", f"/products/reservations/{reservation}", RESERVE_SECONDS, json=wanted.model_dump()
        )
        if answer.status_code == 200:
            return await placed(number, answer.json()["items"])
    except Away:
        # Whether the stock was taken is not known: so it is released, now or by the sweeper.
        task = asyncio.create_task(try_to_give_up(number, reservation))
        releases.add(task)
        task.add_done_callback(releases.discard)
        raise
    # Also what was refused: another attempt of the same call may still be on its way, and must not find stock then.
    await try_to_give_up(number, reservation)
    if answer.status_code in (404, 409):
        raise HTTPException(answer.status_code, answer.json()["detail"])
    log.error("products answer %s: %s", answer.status_code, answer.text[:200])
    raise HTTPException(502, "the products' answer is not understood")


async def earlier(user: User, key: str, content: str) -> Response | dict:
    """The order that a request with this key made before; a key stands for one order and no other."""
    order = await database.row("SELECT id, state, content FROM orders WHERE user = %s AND request = %s", (user.id, key))
    if order and order["content"] != content:
        raise HTTPException(422, "this Idempotency-Key came with another order before")
    if order and order["state"] == "placed":
        return await shown(order["id"], user.id)
    raise HTTPException(409, "the first request with this Idempotency-Key is not done yet", {"Retry-After": "1"})


async def placed(number: int, items: list[dict]) -> dict:
    async with database.transaction() as cursor:
        total = sum(item["price_cents"] * item["quantity"] for item in items)
        changed = await cursor.execute(
            "UPDATE orders SET state = 'placed', total_cents = %s WHERE id = %s AND state = 'pending'", (total, number)
        )
        if not changed:
            raise Away("this took too long and was undone, try again")
        await cursor.executemany(
            "INSERT INTO items (`order`, product, name, quantity, price_cents) VALUES (%s, %s, %s, %s, %s)",
            [(number, item["product"], item["name"], item["quantity"], item["price_cents"]) for item in items],
        )
    return {"id": number, "state": "placed", "total_cents": total, "items": items}


async def give_up(number: int, reservation: str) -> bool:
    """Releases what an order has reserved and ends it; False if it was placed after all."""
    async with database.transaction() as cursor:
        # From here on nobody can place it.
        await cursor.execute("UPDATE orders SET state = 'releasing' WHERE id = %s AND state = 'pending'", (number,))
        await cursor.execute("SELECT state FROM orders WHERE id = %s", (number,))
        if (await cursor.fetchone())["state"] != "releasing":
            return False
    answer = await products.call("DELETE", f"/products/reservations/{reservation}", 2)
    if answer.status_code != 204:
        log.error("products answer %s to a release", answer.status_code)
        return False
    async with database.transaction() as cursor:
        # The client may use its key again.
        await cursor.execute(
            "UPDATE orders SET state = 'failed', request = NULL WHERE id = %s AND state = 'releasing'", (number,)
        )
    return True


async def try_to_give_up(number: int, reservation: str):
    try:
        await give_up(number, reservation)
    except Away:
        pass  # the sweeper will


@app.get("/orders")
async def mine(user: CurrentUser, before: int = 2**62, limit: Annotated[int, Query(ge=1, le=100)] = 50):
    """One page of the user's orders, newest first; `before` is the last number of the page before."""
    orders = await database.rows(
        "SELECT id, state, total_cents, made FROM orders WHERE user = %s AND id < %s ORDER BY id DESC LIMIT %s",
        (user.id, before, limit),
    )
    return {"orders": await with_items(orders)}


@app.get("/orders/{number}")
async def one(number: int, user: CurrentUser):
    return await shown(number, user.id)


async def shown(number: int, owner: int) -> dict:
    order = await database.row("SELECT id, user, state, total_cents, made FROM orders WHERE id = %s", (number,))
    if order is None or owner != order.pop("user"):
        raise HTTPException(404, "no such order")
    return (await with_items([order]))[0]


async def with_items(orders: list[dict]) -> list[dict]:
    if not orders:
        return []
    numbers = tuple(order["id"] for order in orders)
    marks = ", ".join(["%s"] * len(numbers))
    items = await database.rows(
        f"SELECT `order`, product, name, quantity, price_cents FROM items WHERE `order` IN ({marks}) ORDER BY product",
        numbers,
    )
    for order in orders:
        order["items"] = [item for item in items if item["order"] == order["id"]]
    for item in items:
        del item["order"]
    return orders
