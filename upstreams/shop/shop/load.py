"""Customers for the shop: so many requests a second whatever comes back, what came back, and whether the books agree.

`docker-compose run --rm load --rate 50 --seconds 30`
"""

import argparse
import asyncio
import random
import sys
import time
import uuid
from collections import Counter

import httpx

from shop.products import SAMPLES
from shop.service import setting

# Of a hundred requests.
MIX = {"browse": 80, "search": 5, "detail": 8, "login": 2, "order": 5}
PASSWORD = "a customer's password"


async def surely(ask, *what, **more) -> httpx.Response:
    """An answer that is needed for the books; asked for again, for a minute, where the shop is not well."""
    for _ in range(60):
        try:
            return (await ask(*what, **more)).raise_for_status()
        except httpx.HTTPError as error:
            problem = error
        await asyncio.sleep(1)
    raise problem


class Customers:
    def __init__(self, client: httpx.AsyncClient, count: int):
        self.client, self.took, self.answers = client, {kind: [] for kind in MIX}, {kind: Counter() for kind in MIX}
        run = uuid.uuid4().hex[:8]
        self.tokens = dict.fromkeys(f"load-{run}-{number}" for number in range(count))

    async def register(self):
        for name in self.tokens:
            account = {"name": name, "password": PASSWORD}
            (await self.client.post("/users/register", json=account)).raise_for_status()
            await surely(self.login, name)

    async def login(self, name: str) -> httpx.Response:
        answer = await self.client.post("/users/login", json={"name": name, "password": PASSWORD})
        if answer.status_code == 200:
            self.tokens[name] = answer.json()["access_token"]
        return answer

    def signed(self, name: str) -> dict:
        return {"Authorization": f"Bearer {self.tokens[name]}"}

    async def ask(self, kind: str) -> httpx.Response:
        name, product = random.choice(list(self.tokens)), random.randint(1, len(SAMPLES))
        match kind:
            case "browse":
                return await self.client.get("/products")
            case "search":
                return await self.client.get("/products", params={"search": random.choice(SAMPLES)[0].split()[0]})
            case "detail":
                return await self.client.get(f"/products/{product}")
            case "login":
                return await self.login(name)
            case _:
                items = [{"product": product, "quantity": random.randint(1, 3)}]
                headers = {**self.signed(name), "Idempotency-Key": uuid.uuid4().hex}
                return await self.client.post("/orders", json={"items": items}, headers=headers)

    async def one(self, kind: str):
        start = time.monotonic()
        try:
            outcome = str((await self.ask(kind)).status_code)
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        self.took[kind].append(time.monotonic() - start)
        self.answers[kind][outcome] += 1

    async def keep_on(self, rate: float, seconds: float) -> float:
        """The load itself; says how long it was sent."""
        start, count = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while (due := count / rate) < seconds:
                await asyncio.sleep(max(0, start + due - time.monotonic()))
                group.create_task(self.one(random.choices(list(MIX), list(MIX.values()))[0]))
                count += 1
            return time.monotonic() - start

    async def bought(self) -> int:
        """The units that these customers have ordered, once every order has come to its end."""
        for _ in range(60):  # one that was left half done is ended within 15 seconds or so
            orders = [order for name in self.tokens for order in await self.orders(name)]
            if all(order["state"] in ("placed", "failed") for order in orders):
                break
            await asyncio.sleep(1)
        return sum(item["quantity"] for order in orders if order["state"] == "placed" for item in order["items"])

    async def orders(self, name: str) -> list[dict]:
        await surely(self.login, name)  # the load may have been longer than a token is good
        found, page = [], [{"id": 2**62}]
        while page:
            query = {"before": page[-1]["id"], "limit": 100}
            answer = await surely(self.client.get, "/orders", params=query, headers=self.signed(name))
            page = answer.json()["orders"]
            found += page
        return found

    async def stock(self) -> int:
        """The units in stock, of all products."""
        total, page = 0, [{"id": 0}]
        while page:
            query = {"after": page[-1]["id"], "limit": 100}
            page = (await surely(self.client.get, "/products", params=query)).json()["products"]
            total += sum(product["stock"] for product in page)
        return total

    def report(self, seconds: float, planned: float):
        print(f"{'':8}{'requests':>9}{'p50 ms':>8}{'p90 ms':>8}{'p99 ms':>8}{'max ms':>8}  answers")
        everything = [time for times in self.took.values() for time in times]
        for kind, times in [*self.took.items(), ("all", everything)]:
            times = sorted(times) or [0]
            at = [times[min(len(times) - 1, int(len(times) * part))] * 1000 for part in (0.5, 0.9, 0.99, 1)]
            answers = self.answers[kind] if kind in MIX else sum(self.answers.values(), Counter())
            said = ", ".join(f"{count} x {status}" for status, count in answers.most_common())
            print(f"{kind:8}{answers.total():9}" + "".join(f"{value:8.1f}" for value in at) + f"  {said}")
        late = (
            ""
            if seconds < 1.1 * planned
            else f"; {planned:.0f} s were planned, so the load itself had too little of the processor"
        )
        print(f"{len(everything) / seconds:.1f} requests/s over {seconds:.1f} s{late}")


async def main() -> int:
    arguments = argparse.ArgumentParser(description="A steady load of customers, and whether the books agree.")
    arguments.add_argument("--rate", type=float, default=50, help="requests a second")
    arguments.add_argument("--seconds", type=float, default=20, help="how long")
    arguments.add_argument("--customers", type=int, default=10, help="accounts to register")
    chosen = arguments.parse_args()
    limits = httpx.Limits(max_connections=500, max_keepalive_connections=64)
    async with httpx.AsyncClient(
        base_url=setting("EDGE_URL", "http://edge"), timeout=10, limits=limits, trust_env=False
    ) as client:
        customers = Customers(client, chosen.customers)
        await customers.register()
        before = await customers.stock()
        seconds = await customers.keep_on(chosen.rate, chosen.seconds)
        customers.report(seconds, chosen.seconds)
        bought = await customers.bought()
        gone = before - await customers.stock()
    agree = bought == gone
    print(f"sold {bought}, gone from the stock {gone}: {'the books agree' if agree else 'THE BOOKS DO NOT AGREE'}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
