//! Deadlines by the thousand: each connection notes when it is due, and one look around every tenth of a second wakes
//! those that are late. Setting a deadline is two stores.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant, SystemTime};

use slab::Slab;
use tokio::sync::Notify;

use crate::upstream::moves;

/// How late a deadline may be noticed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A worker's time, to a tenth of a second, and everyone who waits on it.
#[derive(Debug)]
pub struct Clock {
    now: Cell<Instant>,
    watches: RefCell<Slab<Rc<Watch>>>,
    someone: Notify,
    ending: Cell<bool>,
    /// What [`moves`] was at the last look.
    moves: Cell<u64>,
    /// The date as text, and the second it is good for.
    date: RefCell<(u64, String)>,
}

/// One connection's deadlines.
#[derive(Debug, Default)]
pub struct Watch {
    client: Cell<Option<Instant>>,
    backend: Cell<Option<Instant>>,
    waker: RefCell<Option<Waker>>,
}

/// Who did not do their part in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The client.
    Client,
    /// The backend.
    Backend,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            now: Cell::new(Instant::now()),
            watches: RefCell::default(),
            someone: Notify::new(),
            ending: Cell::new(false),
            moves: Cell::new(moves()),
            date: RefCell::default(),
        }
    }
}

impl Clock {
    /// The time of the last look.
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// The time, to be used for the next while.
    pub fn tick(&self) -> Instant {
        let now = Instant::now();
        self.now.set(now);
        now
    }

    /// The date as `Date` has it (RFC 9110, section 6.6.1), written once a second.
    pub fn with_date(&self, then: impl FnOnce(&[u8])) {
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut date = self.date.borrow_mut();
        if date.0 != second || date.1.is_empty() {
            *date = (second, httpdate::fmt_http_date(now));
        }
        then(date.1.as_bytes());
    }

    /// True once the worker takes no further requests.
    pub fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// Takes no further requests: everyone who waits is woken to see it.
    pub fn end(&self) {
        self.ending.set(true);
        self.watches.borrow().iter().for_each(|(_, watch)| watch.wake());
    }

    /// Connections that are watched.
    pub fn watched(&self) -> usize {
        self.watches.borrow().len()
    }

    /// A connection's deadlines, watched until the result is dropped.
    pub fn watch(&self) -> Watched<'_> {
        let watch = Rc::new(Watch::default());
        let mut watches = self.watches.borrow_mut();
        if watches.is_empty() {
            self.tick();
            self.someone.notify_one();
        }
        let key = watches.insert(Rc::clone(&watch));
        Watched { clock: self, watch, key }
    }

    /// Wakes those that are late, for ever. `each` is called at every look and says whether it wants another although
    /// nobody is watched.
    pub async fn run(&self, mut each: impl FnMut(Instant) -> bool) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.tick();
            let late = |due: &Cell<Option<Instant>>| due.get().is_some_and(|due| due <= now);
            // A backend was put out: whoever waits for one sees whether it is theirs.
            let moves = moves();
            let moved = self.moves.replace(moves) != moves;
            for (_, watch) in self.watches.borrow().iter() {
                if late(&watch.client) || late(&watch.backend) || (moved && watch.backend.get().is_some()) {
                    watch.wake();
                }
            }
            if !each(now) && self.watches.borrow().is_empty() {
                self.someone.notified().await;
            }
        }
    }
}

/// A watch in its clock.
#[derive(Debug)]
pub struct Watched<'w> {
    clock: &'w Clock,
    watch: Rc<Watch>,
    key: usize,
}

impl Watched<'_> {
    /// What the client has to do, it has to do by then. It is never late too early: the clock may be behind by a look.
    pub fn client_until(&self, due: Option<Instant>) {
        self.watch.client.set(due.map(|due| due + LOOK_EVERY));
    }

    /// What the backend has to do, it has to do by then.
    pub fn backend_until(&self, due: Option<Instant>) {
        self.watch.backend.set(due.map(|due| due + LOOK_EVERY));
    }

    /// Who is late, if anyone; else the task is woken when someone is.
    pub fn late(&self, context: &Context<'_>) -> Option<Late> {
        let now = self.clock.now();
        let is_late = |due: &Cell<Option<Instant>>| due.get().is_some_and(|due| due <= now);
        if is_late(&self.watch.client) {
            return Some(Late::Client);
        }
        if is_late(&self.watch.backend) {
            return Some(Late::Backend);
        }
        let mut waker = self.watch.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        None
    }
}

impl Watch {
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.clock.watches.borrow_mut().try_remove(self.key);
    }
}
