//! Random sequences of the updates of a refresh, on the store and on the pure functions that say what they mean: each
//! outcome, and the item, the journal and the outbox after it, are the same.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a comparison that cannot go on ends its test"
)]

use std::cell::Cell;

use chrono::Duration;
use grantkeeper::model::credential::{Credential, CredentialStatus, Outcome};
use grantkeeper::model::event::Event;
use grantkeeper::model::ids::ProjectId;
use grantkeeper::store::{
    AcquireRefresh, Attempted, CommitRefresh, NoteAttempt, Orphan, ReleaseRefresh, StatusChange, Store,
};
use grantkeeper::testing::fixtures::{self, start};
use grantkeeper::testing::reference::{self, Updated};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const CASES: u32 = 64;
const STEPS: usize = 14;
const STATUSES: [CredentialStatus; 6] = [
    CredentialStatus::Active,
    CredentialStatus::RefreshFailing,
    CredentialStatus::ReauthorizationRequired,
    CredentialStatus::Suspended,
    CredentialStatus::Revoking,
    CredentialStatus::Revoked,
];

/// Which value an update names: the stored one, one that was stored before, or one that never was.
#[derive(Debug, Clone, Copy)]
enum Named {
    Stored,
    Before,
    Never,
}

/// One update, as far as it is decided before the item is known.
#[derive(Debug, Clone)]
struct Update {
    kind: Kind,
    generation: Named,
    fence: Named,
    attempt: Named,
    /// The update is made again at once, as after an acknowledgement that was lost.
    twice: bool,
    /// How far the clock has moved (seconds): a lease lasts 25.
    waits: i64,
    /// When it is due next (seconds from now).
    due: Option<i64>,
    status: CredentialStatus,
    tells: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Acquire,
    Commit,
    Release { keeps: Option<Outcome> },
    Note { outcome: Outcome, tries: bool },
    Reschedule,
    ChangeStatus,
    KeepOrphan,
}

fn named() -> impl Strategy<Value = Named> {
    prop_oneof![12 => Just(Named::Stored), 1 => Just(Named::Before), 1 => Just(Named::Never)]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![Just(Outcome::Prepared), Just(Outcome::Unknown)]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        5 => Just(Kind::Acquire),
        2 => Just(Kind::Commit),
        2 => prop::option::of(outcome()).prop_map(|keeps| Kind::Release { keeps }),
        2 => (outcome(), any::<bool>()).prop_map(|(outcome, tries)| Kind::Note { outcome, tries }),
        1 => Just(Kind::Reschedule),
        1 => Just(Kind::ChangeStatus),
        1 => Just(Kind::KeepOrphan),
    ]
}

fn update() -> impl Strategy<Value = Update> {
    let names = (named(), named(), named());
    let times = (prop_oneof![Just(0), Just(1), Just(25), Just(26)], prop::option::of(-30i64..60));
    // Most leave it refreshable, so that a sequence does not end early.
    let status = prop_oneof![4 => Just(0), 3 => Just(1), 1 => 2..STATUSES.len()];
    (kind(), names, times, status, any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        |(kind, (generation, fence, attempt), (waits, due), status, tells, twice)| Update {
            kind,
            generation,
            fence,
            attempt,
            twice,
            waits,
            due,
            status: STATUSES[status],
            tells,
        },
    )
}

/// What the pure functions say is stored.
struct Expected {
    credential: Credential,
    journal: Vec<Orphan>,
    outbox: Vec<Event>,
    /// The items before, the first one first.
    past: Vec<Credential>,
}

impl Expected {
    fn before(&self) -> &Credential {
        self.past.iter().rev().find(|past| past.fence != self.credential.fence).unwrap_or(&self.credential)
    }

    fn pick<T>(&self, named: Named, of: impl Fn(&Credential) -> T, never: T) -> T {
        match named {
            Named::Stored => of(&self.credential),
            Named::Before => of(self.before()),
            Named::Never => never,
        }
    }
}

/// How many updates were applied and refused, so that a test of refusals alone would show.
#[derive(Default)]
struct Counts {
    applied: Cell<u32>,
    refused: Cell<u32>,
    commits: Cell<u32>,
}

/// Holds a store to the reference.
pub fn check(runtime: &tokio::runtime::Handle, store: &dyn Store) {
    let counts = Counts::default();
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let sequences = prop::collection::vec(update(), 1..=STEPS);
    let outcome = TestRunner::new(config)
        .run(&sequences, |updates| tokio::task::block_in_place(|| runtime.block_on(follow(store, &updates, &counts))));
    if let Err(error) = outcome {
        panic!("the store is not what the reference says: {error}");
    }
    let (applied, refused, commits) = (counts.applied.get(), counts.refused.get(), counts.commits.get());
    assert!(applied > 100 && refused > 100 && commits > 10, "{applied} applied, {refused} refused, {commits} commits");
}

async fn follow(store: &dyn Store, updates: &[Update], counts: &Counts) -> Result<(), TestCaseError> {
    let project = ProjectId::generate();
    let first = Credential {
        refresh_after: Some(start().timestamp_millis()),
        ..fixtures::credential(&fixtures::flow(&fixtures::session(&project)))
    };
    store.insert_credential(&first).await.expect("the credential is new");
    let stored = store.find_credential(&project, &first.id).await.expect("it is read").expect("it is there");
    let mut expected = Expected { credential: stored, journal: Vec::new(), outbox: Vec::new(), past: Vec::new() };
    let mut now = start();
    for update in updates {
        now += Duration::seconds(update.waits);
        for _ in 0..=u8::from(update.twice) {
            step(store, update, now, &mut expected, counts).await?;
        }
        let (project, id) = (&expected.credential.project, &expected.credential.id);
        let item = store.find_credential(project, id).await.expect("it is read");
        prop_assert_eq!(item.as_ref(), Some(&expected.credential), "the item after {:?}", update);
    }
    let (project, id) = (&expected.credential.project, &expected.credential.id);
    for generation in 0..=expected.credential.generation {
        let journal = store.list_orphans(project, id, generation).await.expect("the journal is read");
        let fences = |orphans: &[Orphan]| orphans.iter().map(|orphan| orphan.fence).collect::<Vec<_>>();
        let pure = reference::list_orphans(&expected.journal, generation);
        prop_assert_eq!(fences(&journal), fences(&pure), "the order of the journal");
        prop_assert!(journal.iter().all(|orphan| pure.contains(orphan)), "the journal");
    }
    let outbox = store.list_events(project, id).await.expect("the outbox is read");
    prop_assert_eq!(&outbox, &expected.outbox, "the outbox");
    Ok(())
}

async fn step(
    store: &dyn Store,
    update: &Update,
    now: grantkeeper::clock::Timestamp,
    expected: &mut Expected,
    counts: &Counts,
) -> Result<(), TestCaseError> {
    let (project, id) = (expected.credential.project.clone(), expected.credential.id.clone());
    let ms = |seconds: i64| (now + Duration::seconds(seconds)).timestamp_millis();
    let generation = expected.pick(update.generation, |of| of.generation, 0);
    let fence = expected.pick(update.fence, |of| of.fence, 99);
    let of_intent = |of: &Credential| of.intent.as_ref().map(|intent| intent.attempt.clone());
    let attempt = expected.pick(update.attempt, of_intent, Some("never".to_owned()));
    let named = attempt.clone().unwrap_or_else(|| "none".to_owned());
    let stored = expected.credential.clone();
    let event = |held: &Credential| {
        let kind = Event::of_change(held, update.status, Some("a reason"), now);
        kind.filter(|_| update.tells)
    };
    let (real, pure, told): (Attempted, Updated, Option<Event>) = match update.kind {
        Kind::Acquire => {
            let acquire = AcquireRefresh {
                generation,
                take_over: attempt,
                due_before: update.due.map(ms),
                tried: stored.intent.as_ref().map(|intent| intent.tried.clone()).unwrap_or_default(),
                ..fixtures::acquire(&stored, now)
            };
            let real = store.acquire_refresh(&project, &id, &acquire).await;
            let pure = reference::acquire(&stored, &acquire);
            if update.twice
                && let Ok(taken) = &pure
            {
                // The same call again: it meets its own lease.
                prop_assert_eq!(real.as_ref().expect("it is acquired"), &Attempted::Applied(Box::new(taken.clone())));
                let again = store.acquire_refresh(&project, &id, &acquire).await;
                (again.expect("it is acquired"), reference::acquire(taken, &acquire), None)
            } else {
                (real.expect("the table answers"), pure, None)
            }
        }
        Kind::Commit => {
            let aside = update.status == CredentialStatus::Suspended;
            let commit = CommitRefresh {
                fence,
                base_generation: generation,
                attempt: named.clone(),
                cur: named,
                next_due: update.due.map(ms),
                status: if aside { CredentialStatus::Suspended } else { CredentialStatus::Active },
                status_reason: aside.then(|| "scope_exceeded".to_owned()),
                event: event(&stored),
                ..fixtures::commit(&stored, now)
            };
            let real = store.commit_refresh(&project, &id, &commit).await.expect("the table answers");
            let pure = reference::commit(&stored, &commit);
            counts.commits.set(counts.commits.get() + u32::from(pure.is_ok()));
            (real, pure, commit.event)
        }
        Kind::Release { keeps } => {
            let release = ReleaseRefresh {
                fence,
                attempt: named,
                keep_intent: keeps,
                backoff_until: update.due.map(ms),
                status: update.status,
                status_reason: update.tells.then(|| "a reason".to_owned()),
                next_due: update.due.map(ms),
                event: event(&stored),
                ..fixtures::release(&stored)
            };
            let real = store.release_refresh(&project, &id, &release).await.expect("the table answers");
            (real, reference::release(&stored, &release), release.event)
        }
        Kind::Note { outcome, tries } => {
            let note = NoteAttempt { fence, attempt: named, outcome, tried: tries.then(|| format!("rt-{fence}")) };
            let real = store.note_attempt(&project, &id, &note).await.expect("the table answers");
            (real, reference::note_attempt(&stored, &note), None)
        }
        Kind::Reschedule => {
            let base = expected.pick(update.fence, Credential::clone, Credential { fence: 99, ..stored.clone() });
            let base = Credential { generation, ..base };
            let applied = store.reschedule(&base, update.due.map(ms)).await.expect("the table answers");
            let pure = reference::reschedule(&stored, &base, update.due.map(ms));
            prop_assert_eq!(applied, pure.is_ok(), "whether {:?} was applied", update);
            (attempted(&pure), pure, None)
        }
        Kind::ChangeStatus => {
            let base = expected.pick(
                update.fence,
                Credential::clone,
                Credential { owner: "nobody".to_owned(), ..stored.clone() },
            );
            let change = StatusChange {
                status_reason: update.tells.then(|| "suspended_by_owner".to_owned()),
                suspended_from: update.tells.then_some(stored.status),
                fails: stored.fails,
                next_due: update.due.map(ms),
                ..fixtures::status_change(update.status)
            };
            let real = store.change_status(&base, &change).await.expect("the table answers");
            (real, reference::change_status(&stored, &base, &change), None)
        }
        Kind::KeepOrphan => {
            let received_at = start();
            let orphan = Orphan { base_gen: generation, fence, attempt: named.clone(), pointer: named, received_at };
            store.keep_orphan(&project, &id, &orphan).await.expect("the table answers");
            reference::keep_orphan(&mut expected.journal, &orphan);
            (attempted(&Ok(stored.clone())), Ok(stored.clone()), None)
        }
    };
    prop_assert_eq!(&real, &attempted(&pure), "the outcome of {:?}", update);
    let count = if pure.is_ok() { &counts.applied } else { &counts.refused };
    count.set(count.get() + 1);
    if let Ok(after) = pure {
        // A repetition that meets its own result writes nothing, and tells nothing again.
        if after != stored {
            reference::tell(&mut expected.outbox, told.as_ref());
            expected.past.push(std::mem::replace(&mut expected.credential, after));
        }
    }
    Ok(())
}

fn attempted(pure: &Updated) -> Attempted {
    match pure {
        Ok(after) => Attempted::Applied(Box::new(after.clone())),
        Err(old) => Attempted::Refused(Some(old.clone())),
    }
}
