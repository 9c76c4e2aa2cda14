//! What is wrong with the files, gathered so that all of it is shown at once.

use super::place::Place;

/// One thing that is wrong, or worth a warning.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub at: Place,
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Another place that belongs to it, such as the first of two definitions, and what it is.
    pub other: Option<(String, Place)>,
}

impl Problem {
    pub(super) fn new(at: &Place, message: impl Into<String>) -> Self {
        Self { at: at.clone(), message: message.into(), help: None, other: None }
    }

    /// One that is told as a whole: what is wrong, and after the last semicolon what to do.
    pub(super) fn told(at: &Place, text: &str) -> Self {
        match text.rsplit_once("; ") {
            Some((message, help)) => Self::new(at, message).help(help),
            None => Self::new(at, text),
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn other(mut self, what: impl Into<String>, place: &Place) -> Self {
        self.other = Some((what.into(), place.clone()));
        self
    }
}

/// Most problems that are kept, so that a huge wrong file is refused quickly; further ones are counted.
const KEPT_MAX: usize = 1_000;

/// Every problem and warning so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub errors: Vec<Problem>,
    /// How many more there were.
    pub further: usize,
    pub warnings: Vec<Problem>,
    /// Places whose value could not be had, so that nothing more can be said of it.
    lost: Vec<Place>,
}

impl Problems {
    /// Records a problem. Returns `None` so that a check can end with `return problems.add(..)`.
    pub(super) fn add<T>(&mut self, problem: Problem) -> Option<T> {
        if self.is_full() {
            self.further += 1;
        } else if !self.lost.contains(&problem.at) {
            self.errors.push(problem);
        }
        None
    }

    /// True once further problems are only counted, so that nothing need be found out about them.
    pub(super) fn is_full(&self) -> bool {
        KEPT_MAX <= self.errors.len()
    }

    /// Says of a place that a problem has been told and others would only follow from it.
    pub(super) fn lose(&mut self, at: &Place) {
        if self.lost.len() < KEPT_MAX {
            self.lost.push(at.clone());
        }
    }

    /// Records a problem that a type of `types` tells: what is wrong, and after the last semicolon what to do.
    pub(super) fn tell<T>(&mut self, at: &Place, error: &impl std::fmt::Display) -> Option<T> {
        self.add(Problem::told(at, &error.to_string()))
    }

    /// Records what is allowed but probably not meant.
    pub(super) fn warn(&mut self, problem: Problem) {
        if self.warnings.len() < KEPT_MAX {
            self.warnings.push(problem);
        }
    }
}
