//! A contract as a table of checks, each one sentence of a trait's docs, so that every implementation can be held to it.

use futures::future::{BoxFuture, join_all};
use futures::stream::{self, StreamExt as _};

use crate::store::{StoreError, StoreResult};

/// How many calls race for what only one can have.
pub const RACERS: usize = 50;

/// How many checks run at the same time.
const AT_ONCE: usize = 8;

/// A check that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The check.
    pub check: &'static str,
    /// What was found instead.
    pub reason: String,
}

/// What a check found that should not be, or the error that kept it from looking.
#[derive(Debug)]
pub struct Broken(String);

impl Broken {
    pub(super) fn new(reason: String) -> Self {
        Self(reason)
    }
}

impl<E: std::error::Error> From<E> for Broken {
    fn from(error: E) -> Self {
        Self(format!("an unexpected error: {error}"))
    }
}

/// The outcome of a check.
pub type Held = Result<(), Broken>;

/// One sentence of a contract. It uses fresh ids, so all checks can run on one table, at once and again.
pub struct Check<S: ?Sized + 'static> {
    /// The sentence.
    pub name: &'static str,
    pub(super) run: for<'a> fn(&'a S) -> BoxFuture<'a, Held>,
}

impl<S: ?Sized> Check<S> {
    /// Holds an implementation to it.
    pub async fn run(&self, subject: &S) -> Option<Failure> {
        let Err(Broken(reason)) = (self.run)(subject).await else {
            return None;
        };
        Some(Failure { check: self.name, reason })
    }
}

/// Runs checks and gives those that did not hold, in the order of the table.
pub async fn run<S: ?Sized + 'static>(checks: impl Iterator<Item = &'static Check<S>>, subject: &S) -> Vec<Failure> {
    let failures = stream::iter(checks.map(|check| check.run(subject))).buffered(AT_ONCE);
    failures.filter_map(std::future::ready).collect().await
}

/// Those who will race, each with what it brings.
pub(super) fn racers<T>(bring: impl Fn(usize) -> T) -> Vec<T> {
    (0..RACERS).map(bring).collect()
}

/// Lets all racers call at once.
pub(super) async fn race<'a, T, R, F: Future<Output = R>>(racers: &'a [T], call: impl Fn(&'a T) -> F) -> Vec<R> {
    join_all(racers.iter().map(call)).await
}

/// The number of the one call that won. A loser may also have met the others in the table and been sent away.
pub(super) fn one_winner<T>(results: Vec<StoreResult<T>>, won: impl Fn(&T) -> bool) -> Result<usize, Broken> {
    let mut winners = Vec::new();
    for (number, result) in results.iter().enumerate() {
        match result {
            Ok(outcome) if won(outcome) => winners.push(number),
            Ok(_) | Err(StoreError::AlreadyExists | StoreError::Changed | StoreError::Unavailable) => {}
            Err(StoreError::Corrupt) => return Err(StoreError::Corrupt.into()),
        }
    }
    match winners.as_slice() {
        [winner] => Ok(*winner),
        _ => Err(Broken::new(format!("{} of {RACERS} calls won", winners.len()))),
    }
}

/// Makes a table of checks out of async functions.
macro_rules! checks {
    ($subject:ty: $($name:ident),+ $(,)?) => {
        pub(super) static CHECKS: &[crate::testing::suite::Check<$subject>] = &[$(crate::testing::suite::Check {
            name: stringify!($name),
            run: |subject| Box::pin($name(subject)),
        }),+];
    };
}

/// Ends a check where something does not hold.
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err(crate::testing::suite::Broken::new(format!($($reason)+)));
        }
    };
}

/// Ends a check where two values differ.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $what:literal) => {
        match (&$found, &$expected) {
            (found, expected) => {
                crate::testing::suite::ensure!(found == expected, "{}: found {found:?}, expected {expected:?}", $what);
            }
        }
    };
}

pub(super) use {checks, ensure, ensure_eq};

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_small(number: &u32) -> Held {
        ensure!(*number < 10, "{number} is not small");
        Ok(())
    }

    async fn is_even(number: &u32) -> Held {
        ensure_eq!(number % 2, 0, "the remainder");
        Ok(())
    }

    mod table {
        use super::{is_even, is_small};
        checks!(u32: is_small, is_even);
    }

    #[tokio::test]
    async fn a_run_names_each_check_that_did_not_hold() {
        assert_eq!(run(table::CHECKS.iter(), &4).await, []);
        let failures = run(table::CHECKS.iter(), &11).await;
        let found: Vec<_> = failures.iter().map(|failure| (failure.check, failure.reason.as_str())).collect();
        assert_eq!(found, [("is_small", "11 is not small"), ("is_even", "the remainder: found 1, expected 0")]);
    }

    #[test]
    fn a_race_has_a_winner_only_if_there_is_one() {
        let lost = Err(StoreError::Changed);
        assert_eq!(one_winner(vec![Ok(false), lost, Ok(true)], |won| *won).unwrap(), 2);
        assert!(one_winner(vec![Ok(true), Ok(true)], |won| *won).is_err());
        assert!(one_winner(vec![Ok(false), lost], |won| *won).is_err());
        assert!(one_winner(vec![Ok(true), Err(StoreError::Corrupt)], |won| *won).is_err());
    }
}
