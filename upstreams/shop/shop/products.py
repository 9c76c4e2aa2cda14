"""Products and their stock. Anyone may read; `/admin` is guarded at the edge; reservations are for other services."""

import hmac
from typing import Annotated

from fastapi import Depends, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, Field

from shop.database import Database
from shop.service import service, setting

SERVICE_TOKEN = setting("SERVICE_TOKEN", "sample-service-token")
SAMPLES = [
    ("Espresso cup", 900), ("Tea pot", 3400), ("Bread knife", 2900), ("Cutting board", 2400), ("Frying pan", 5900),
    ("Salt mill", 1900), ("Apron", 1700), ("Wooden spoon", 500), ("Bread bin", 4500), ("Kettle", 3900),
    ("Whisk", 800), ("Measuring jug", 1200),
]  # fmt: skip
TABLES = [
    """CREATE TABLE IF NOT EXISTS products (
         id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL, price_cents INT NOT NULL,
         stock INT NOT NULL CHECK (stock >= 0))""",
    # A reservation keeps its row when it is released: so one that arrives late, after its release, is refused.
    """CREATE TABLE IF NOT EXISTS reservations (
         id CHAR(32) PRIMARY KEY, state ENUM('held', 'released') NOT NULL, made TIMESTAMP DEFAULT CURRENT_TIMESTAMP)""",
    """CREATE TABLE IF NOT EXISTS reserved (
         reservation CHAR(32), product INT, quantity INT NOT NULL, price_cents INT NOT NULL,
         PRIMARY KEY (reservation, product))""",
]


async def samples(cursor):
    """Something to sell, in a shop that has nothing yet."""
    rows = [(number, name, price, 1000) for number, (name, price) in enumerate(SAMPLES, 1)]
    await cursor.executemany("INSERT IGNORE INTO products (id, name, price_cents, stock) VALUES (%s, %s, %s, %s)", rows)


database = Database("products", TABLES, samples)
app = service("products", database)


class Item(BaseModel):
    product: int
    quantity: int = Field(ge=1, le=100)


class Items(BaseModel):
    items: list[Item] = Field(min_length=1, max_length=20)


class NewProduct(BaseModel):
    name: str = Field(min_length=1, max_length=100)
    price_cents: int = Field(ge=0, le=100_000_000)
    stock: int = Field(default=0, ge=0, le=1_000_000)


class Restock(BaseModel):
    quantity: int = Field(ge=1, le=1_000_000)


async def another_service(request: Request):
    """Only who knows the services' common secret."""
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {SERVICE_TOKEN}".encode()):
        raise HTTPException(403, "for services only")


@app.get("/products")
async def browse(
    search: Annotated[str, Query(max_length=100)] = "",
    after: int = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
):
    """One page of products, by number; `after` is the last number of the page before."""
    like = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    query = "SELECT id, name, price_cents, stock FROM products WHERE id > %s AND name LIKE %s ORDER BY id LIMIT %s"
    return {"products": await database.rows(query, (after, like, limit))}


@app.get("/products/{number}")
async def detail(number: int):
    product = await database.row("SELECT id, name, price_cents, stock FROM products WHERE id = %s", (number,))
    if product is None:
        raise HTTPException(404, "no such product")
    return product


@app.post("/admin/products", status_code=201)
async def create(product: NewProduct):
    async with database.transaction() as cursor:
        await cursor.execute(
            "INSERT INTO products (name, price_cents, stock) VALUES (%s, %s, %s)",
            (product.name, product.price_cents, product.stock),
        )
        return {"id": cursor.lastrowid, **product.model_dump()}


@app.post("/admin/products/{number}/restock")
async def restock(number: int, more: Restock):
    """Adds to the stock. A new total instead would forget what is sold meanwhile."""
    async with database.transaction() as cursor:
        if not await cursor.execute("UPDATE products SET stock = stock + %s WHERE id = %s", (more.quantity, number)):
            raise HTTPException(404, "no such product")
    return await detail(number)


ReservationId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


@app.put("/products/reservations/{key}", dependencies=[Depends(another_service)])
async def reserve(key: ReservationId, wanted: Items):
    """Takes everything from the stock, or nothing. With a key that it knows it takes no more and answers the same."""
    quantities = {}
    for item in wanted.items:
        quantities[item.product] = quantities.get(item.product, 0) + item.quantity
    async with database.transaction() as cursor:
        if not await cursor.execute("INSERT IGNORE INTO reservations (id, state) VALUES (%s, 'held')", (key,)):
            await cursor.execute("SELECT state FROM reservations WHERE id = %s FOR UPDATE", (key,))
            if (await cursor.fetchone())["state"] == "released":
                raise HTTPException(410, "this reservation was released")
        else:
            # Always in the order of their numbers: two orders never wait for each other.
            for product, quantity in sorted(quantities.items()):
                await take(cursor, key, product, quantity)
        await cursor.execute(
            "SELECT r.product, p.name, r.quantity, r.price_cents FROM reserved r JOIN products p ON p.id = r.product"
            " WHERE r.reservation = %s ORDER BY r.product",
            (key,),
        )
        return {"items": await cursor.fetchall()}


async def take(cursor, key: str, product: int, quantity: int):
    # One statement looks and takes: however many do it at once, nobody takes what is not there.
    taken = await cursor.execute(
        "UPDATE products SET stock = stock - %s WHERE id = %s AND stock >= %s", (quantity, product, quantity)
    )
    if not taken:
        await cursor.execute("SELECT stock FROM products WHERE id = %s", (product,))
        if await cursor.fetchone() is None:
            raise HTTPException(404, f"no such product: {product}")
        raise HTTPException(409, f"out of stock: {product}")
    await cursor.execute(
        "INSERT INTO reserved (reservation, product, quantity, price_cents)"
        " SELECT %s, id, %s, price_cents FROM products WHERE id = %s",
        (key, quantity, product),
    )


@app.delete("/products/reservations/{key}", status_code=204, dependencies=[Depends(another_service)])
async def release(key: ReservationId):
    """Gives everything back, once, however often it is called."""
    async with database.transaction() as cursor:
        if await cursor.execute("INSERT IGNORE INTO reservations (id, state) VALUES (%s, 'released')", (key,)):
            return Response(status_code=204)  # it never came; should it still come, it finds itself released
        held = "UPDATE reservations SET state = 'released' WHERE id = %s AND state = 'held'"
        if await cursor.execute(held, (key,)):
            lines = "SELECT product, quantity FROM reserved WHERE reservation = %s ORDER BY product"
            await cursor.execute(lines, (key,))
            for item in await cursor.fetchall():
                await cursor.execute(
                    "UPDATE products SET stock = stock + %s WHERE id = %s", (item["quantity"], item["product"])
                )
    return Response(status_code=204)
