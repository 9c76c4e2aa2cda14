"""A database as the requests of one worker process see it: there or away, and never for long in between.

A thread asks it all the time. While it is away, requests are refused at once: were each to find out by itself, they
would wait, and soon no thread would be left for the other database's requests.
"""

import logging
import threading
import time
from contextlib import contextmanager

log = logging.getLogger("database")

SLOTS = 8  # requests that use one database at a time, in each worker process
ADMITTED = 32  # those and the ones that wait for a slot; both databases' together are Gunicorn's threads
SLOT_WAIT = 2.0  # seconds
ASK_EVERY = 1.0  # seconds
ASK_WHEN_AWAY = 0.25  # seconds
TELL_EVERY = 10.0  # seconds
SILENCE = 3.0  # seconds without an answer after which it is away: one that hangs says nothing


class Away(Exception):
    """The database cannot be used at the moment."""

    def __init__(self, name, what):
        super().__init__(name)
        self.name, self.what = name, what


class Database:
    """What both have in common. The rest is for the classes that know a driver."""

    name = what = ""
    errors = ()  # the driver's exceptions that mean: not reachable, not ready, not answering

    def ask(self, first):
        """Something cheap that only a healthy database answers; `first` is set when it comes back."""
        raise NotImplementedError

    def __init__(self):
        self._slots, self._admitted = threading.BoundedSemaphore(SLOTS), threading.BoundedSemaphore(ADMITTED)
        self._well, self._answered, self._problem = False, 0.0, "has not answered yet"
        self._told = -TELL_EVERY
        self._doubt, self._known = threading.Event(), threading.Event()
        threading.Thread(target=self._watch, name=self.name, daemon=True).start()

    def wait_until_known(self, seconds):
        """Until it has answered or failed for the first time."""
        self._known.wait(seconds)

    def problem(self):
        """Why it cannot be used; empty when it can."""
        silence = time.monotonic() - self._answered
        if self._well and SILENCE < silence:
            return f"has not answered for {silence:.0f} s"
        return "" if self._well else self._problem

    @contextmanager
    def use(self):
        """Around everything a request does with it. Raises `Away`: at once when it is known to be away or too many wait."""
        if problem := self.problem():
            self._tell(problem)
            raise Away(self.name, self.what)
        with self._held(self._admitted, 0), self._held(self._slots, SLOT_WAIT):
            try:
                yield
            except self.errors as error:
                self._fell(error)
                raise Away(self.name, self.what) from error
            self._answered = time.monotonic()

    @contextmanager
    def _held(self, semaphore, seconds):
        if not semaphore.acquire(timeout=seconds):
            self._tell("too many requests wait for it")
            raise Away(self.name, self.what)
        try:
            yield
        finally:
            semaphore.release()

    def _tell(self, problem):
        """Into the log, but not over and over."""
        if self._well and self._told + TELL_EVERY < time.monotonic():
            self._told = time.monotonic()
            log.warning("%s: %s", self.name, problem)

    def _fell(self, error):
        if self._well:
            log.warning("%s is away: %.120s", self.name, str(error).strip().partition("\n")[0])
        self._well, self._problem = False, "does not answer"
        self._doubt.set()
        self._known.set()

    def _watch(self):
        while True:
            self._doubt.clear()
            try:
                self.ask(first=not self._well)
            except self.errors as error:
                self._fell(error)
                time.sleep(ASK_WHEN_AWAY)
                continue
            except Exception:  # a wrong password, a table that cannot be made: say so, and try again more slowly
                log.exception("%s", self.name)
                self._well, self._problem = False, "refuses this program; see its log"
                self._known.set()
                time.sleep(5)
                continue
            self._answered = time.monotonic()
            # What a request has met meanwhile counts for more: then it is asked once again.
            if not self._well and not self._doubt.is_set():
                log.info("%s is there", self.name)
                self._well = True
                self._known.set()
            self._doubt.wait(ASK_EVERY if self._well else 0)
