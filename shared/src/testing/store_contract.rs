//! The contract of [`Store`]: each sentence of its docs as a check.
//!
//! A store is held to it with [`run`]. A suite that no store can fail proves nothing, so it is also run over stores that
//! forget one condition each, and has to name the check that finds them (`tests/tests/contract.rs`).

mod attempts;
mod clients;
mod commit;
mod credentials;
mod due;
mod due_changes;
mod due_leases;
mod due_moves;
mod due_pages;
mod events;
mod exchange;
mod flows;
mod grants;
mod health;
mod idempotency;
mod insertion;
mod keys;
mod notes;
mod orphans;
mod parking;
mod projects;
mod refresh;
mod release;
mod sessions;
mod sharing;
mod status;
mod steps;
mod uses;
mod warnings;

use std::sync::Arc;

use super::suite::{self, Check, Failure};
use crate::store::Store;

/// All checks, topic by topic.
pub fn checks() -> impl Iterator<Item = &'static Check<dyn Store>> {
    let topics = [
        projects::CHECKS,
        keys::CHECKS,
        clients::CHECKS,
        sessions::CHECKS,
        flows::CHECKS,
        parking::CHECKS,
        exchange::CHECKS,
        insertion::CHECKS,
        credentials::CHECKS,
        sharing::CHECKS,
        grants::CHECKS,
        status::CHECKS,
        attempts::CHECKS,
        refresh::CHECKS,
        commit::CHECKS,
        release::CHECKS,
        due::CHECKS,
        due_changes::CHECKS,
        due_leases::CHECKS,
        due_moves::CHECKS,
        due_pages::CHECKS,
        uses::CHECKS,
        notes::CHECKS,
        orphans::CHECKS,
        events::CHECKS,
        warnings::CHECKS,
        health::CHECKS,
        idempotency::CHECKS,
    ];
    topics.into_iter().flatten()
}

/// Holds a store to the whole contract. Its table may hold other things, and is left with what the checks made.
pub async fn run(store: Arc<dyn Store>) -> Vec<Failure> {
    suite::run(checks(), &*store).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let mut names: Vec<_> = checks().map(|check| check.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
