"""Accounts and tokens. The edge asks `/users/verify` about every request to the orders before it lets it on."""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from fastapi import Depends, Header, HTTPException, Response
from pydantic import BaseModel, Field
from pymysql.err import IntegrityError

from shop.database import Database
from shop.service import service, setting

# Known to this service alone: nobody else makes or reads tokens. The sample's own is for trying only.
SECRET = setting("TOKEN_SECRET", "sample-secret-of-32-bytes-or-more!")
TOKEN_SECONDS = int(setting("TOKEN_SECONDS", "900"))
ISSUER, AUDIENCE = "shop.users", "shop"

TABLES = [
    """CREATE TABLE IF NOT EXISTS users (
         id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(32) NOT NULL UNIQUE, password VARCHAR(255) NOT NULL,
         admin BOOLEAN NOT NULL DEFAULT FALSE, made TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"""
]
# Argon2id with OWASP's least parameters: 19 MiB and some 20 ms each time.
hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Threads of their own, and few: logins wait for each other and not everybody for them.
hashing = ThreadPoolExecutor(2, "hashing")


async def hashed(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(hashing, hasher.hash, password)


async def matches(hash_: str, password: str) -> bool:
    try:
        return await asyncio.get_running_loop().run_in_executor(hashing, hasher.verify, hash_, password)
    except VerificationError:
        return False


async def administrator(cursor):
    """The account `admin`, with the password that the environment says at its first start."""
    if not await cursor.execute("SELECT 1 FROM users WHERE name = 'admin'"):
        password = await hashed(setting("ADMIN_PASSWORD", "sample-admin-password"))
        await cursor.execute("INSERT IGNORE INTO users (name, password, admin) VALUES ('admin', %s, TRUE)", (password,))


database = Database("users", TABLES, administrator)
app = service("users", database)
# For a name that is not there: its login takes as long as one with a wrong password.
NOBODY = hasher.hash(os.urandom(16).hex())


class Account(BaseModel):
    # Plain enough for a header.
    name: str = Field(pattern="^[a-z0-9][a-z0-9._-]{1,31}$")
    password: str = Field(min_length=8, max_length=128)


class Login(BaseModel):
    name: str = Field(max_length=100)
    password: str = Field(max_length=1000)


def refusal(why: str) -> HTTPException:
    return HTTPException(401, why, {"WWW-Authenticate": "Bearer"})


def make_token(number: int, name: str, admin: bool, seconds: int = TOKEN_SECONDS) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(number), "name": name, "admin": admin}
    return jwt.encode({**claims, "iat": now, "exp": now + seconds}, SECRET, "HS256")


async def claims(authorization: Annotated[str, Header()] = "") -> dict:
    """What a token says, if it is one of ours and still good. Asks no database."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise refusal("a bearer token is needed, see /users/login")
    try:
        required = {"require": ["exp", "sub", "name", "admin"]}
        return jwt.decode(token.strip(), SECRET, ["HS256"], issuer=ISSUER, audience=AUDIENCE, options=required)
    except jwt.ExpiredSignatureError:
        raise refusal("the token has expired") from None
    except jwt.InvalidTokenError:
        raise refusal("the token is not valid") from None


Claims = Annotated[dict, Depends(claims)]


@app.post("/users/register", status_code=201)
async def register(account: Account):
    # The administrator's, also before that account is made.
    if account.name == "admin":
        raise HTTPException(409, "this name is taken")
    password = await hashed(account.password)
    try:
        async with database.transaction() as cursor:
            await cursor.execute("INSERT INTO users (name, password) VALUES (%s, %s)", (account.name, password))
            return {"id": cursor.lastrowid, "name": account.name}
    except IntegrityError:
        raise HTTPException(409, "this name is taken") from None


@app.post("/users/login")
async def login(given: Login):
    user = await database.row("SELECT id, name, password, admin FROM users WHERE name = %s", (given.name,))
    good = await matches(user["password"] if user else NOBODY, given.password)
    if not user or not good:
        raise refusal("wrong name or password")
    token = make_token(user["id"], user["name"], bool(user["admin"]))
    return {"access_token": token, "token_type": "bearer", "expires_in": TOKEN_SECONDS}


@app.get("/users/me")
async def me(claims: Claims):
    user = await database.row("SELECT id, name, admin, made FROM users WHERE id = %s", (int(claims["sub"]),))
    if user is None:
        raise refusal("this account is gone")
    return {**user, "admin": bool(user["admin"])}


@app.get("/users/verify")
async def verify(claims: Claims):
    """For the edge: 200 with who it is, or 401."""
    return Response(headers={"X-User-Id": claims["sub"], "X-User-Name": claims["name"]})


@app.get("/users/verify/admin")
async def verify_admin(claims: Claims):
    """For the edge: 200 for an administrator, 403 for others, 401 for strangers."""
    if claims["admin"] is not True:
        raise HTTPException(403, "for administrators only")
    return await verify(claims)
