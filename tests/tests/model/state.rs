//! Everything that is, at one moment: what is stored, what the provider knows, what is on the wire, who does what.

use grantkeeper::model::credential::Credential;
use grantkeeper::model::event::Event;
use grantkeeper::store::Orphan;
use grantkeeper::testing::reference::{self, Updated};

use super::provider::{BEFORE, FIRST, Mode, Provider};
use super::record::{Record, Status, now};
use super::worker::{Pc, Worker};

/// The pointers of the first generation, of the one before, and of another grant. Attempts are numbered in between.
pub const FIRST_POINTER: u8 = 250;
pub const BEFORE_POINTER: u8 = 249;
pub const OTHER_POINTER: u8 = 248;
/// The generation that the record has at the beginning.
pub const FIRST_GENERATION: u8 = 2;
/// The two workers, and the one that comes when nothing else happens any more.
pub const HEALER: usize = 2;

/// A version in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    pub pointer: u8,
    pub generation: u8,
    pub token: u8,
}

/// An entry of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    pub base: u8,
    pub fence: u8,
    pub attempt: u8,
    pub pointer: u8,
}

/// What must never be; each is noted when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Broken {
    /// G2: a token set took the place of one that it does not come from.
    pub overwritten: bool,
    /// G4: a refresh token was presented that is neither the current one nor the one before.
    pub too_old: bool,
    /// An attempt presented the same refresh token more than twice.
    pub pushed: bool,
    /// More than one request was made for a generation.
    pub twice: bool,
    /// The refresh token before was presented again for the same generation.
    pub retried: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub record: Record,
    pub journal: Vec<Entry>,
    pub vault: Vec<Version>,
    pub provider: Provider,
    pub workers: [Worker; 3],
    /// Requests that nobody waits for any more and that may still be processed.
    pub strays: Vec<u8>,
    /// Faults that may still happen.
    pub faults: u8,
    /// How often a lease may still end while its holder lives.
    pub overlaps: u8,
    /// Something that the owner may still do.
    pub owner: bool,
    /// The end of the grant was told to the provider, and is not noted yet.
    pub ending: bool,
    /// Refresh tokens, one bit for each: those that some worker received and staged.
    pub received: u32,
    /// Those that were committed at any time.
    pub committed: u32,
    /// Those that were handed over to be revoked.
    pub revoked: u32,
    /// The provider rotated, and the answer was lost or its receiver died before it was durable.
    pub window: bool,
    /// How many requests were made for each generation, and how many of them with the refresh token before.
    pub calls: [u8; 3],
    pub older: [u8; 3],
    /// Events in the outbox, by generation and fence.
    pub told: Vec<(u8, u8)>,
    /// Changes of status that were made by attempts.
    pub changes: u8,
    pub broken: Broken,
}

impl State {
    pub fn first(mode: Mode, faults: u8, overlaps: u8, owner: bool) -> Self {
        let record = Record {
            generation: FIRST_GENERATION,
            attempt: FIRST_POINTER,
            cur: FIRST_POINTER,
            prev: Some(BEFORE_POINTER),
            due: true,
            ..Record::default()
        };
        let version = |pointer, generation, token| Version { pointer, generation, token };
        Self {
            record,
            journal: Vec::new(),
            vault: vec![
                version(BEFORE_POINTER, FIRST_GENERATION - 1, BEFORE),
                version(FIRST_POINTER, FIRST_GENERATION, FIRST),
            ],
            provider: Provider::new(mode),
            workers: [Worker::new(), Worker::new(), Worker { pc: Pc::Done, ..Worker::new() }],
            strays: Vec::new(),
            faults,
            overlaps,
            owner,
            ending: false,
            received: 0,
            committed: 1 << FIRST | 1 << BEFORE,
            revoked: 0,
            window: false,
            calls: [0; 3],
            older: [0; 3],
            told: Vec::new(),
            changes: 0,
            broken: Broken::default(),
        }
    }

    /// The refresh token of a version in the vault.
    pub fn token(&self, pointer: u8) -> Option<u8> {
        self.version(pointer).map(|version| version.token)
    }

    pub fn version(&self, pointer: u8) -> Option<Version> {
        self.vault.iter().find(|version| version.pointer == pointer).copied()
    }

    /// Makes a version durable; the first one of a name stays.
    pub fn stage(&mut self, version: Version) {
        if self.version(version.pointer).is_none() {
            self.vault.push(version);
            self.vault.sort_by_key(|version| version.pointer);
        }
        self.received |= 1 << version.token;
    }

    /// The journal of a generation, as the store lists it.
    pub fn orphans(&self, base: u8) -> Vec<Orphan> {
        let orphan = |entry: &Entry| Orphan {
            base_gen: entry.base.into(),
            fence: entry.fence.into(),
            attempt: entry.attempt.to_string(),
            pointer: entry.pointer.to_string(),
            received_at: now(),
        };
        let all: Vec<_> = self.journal.iter().map(orphan).collect();
        reference::list_orphans(&all, base.into())
    }

    pub fn keep(&mut self, entry: Entry) {
        if !self.journal.contains(&entry) {
            self.journal.push(entry);
            self.journal.sort_by_key(|entry| (entry.base, entry.fence, entry.attempt));
        }
    }

    /// Makes an update, with the event that goes with it in the same step.
    pub fn update(&mut self, update: impl FnOnce(&Credential) -> Updated, event: Option<&Event>) -> Result<(), Record> {
        match update(&self.record.credential()) {
            Ok(after) => {
                let after = Record::from(&after);
                let before = std::mem::replace(&mut self.record, after);
                if before == after {
                    return Ok(());
                }
                self.follow(&before);
                if let Some(event) = event {
                    let fence = event.id.rsplit('#').next().and_then(|fence| fence.parse().ok()).expect("a fence");
                    let id = (u8::try_from(event.generation).expect("few generations"), fence);
                    if !self.told.contains(&id) {
                        self.told.push(id);
                        self.told.sort_unstable();
                    }
                }
                Ok(())
            }
            Err(other) => Err(Record::from(&*other)),
        }
    }

    /// What must hold between the record before an update of an attempt and after it.
    fn follow(&mut self, before: &Record) {
        self.changes += u8::from(before.status != self.record.status);
        if before.cur == self.record.cur && before.generation == self.record.generation {
            return;
        }
        let token = |pointer| self.token(pointer).expect("what is committed was staged");
        let new = token(self.record.cur);
        let from = [Some(before.cur), before.prev];
        let follows = from.into_iter().flatten().any(|old| self.provider.follows(new, token(old)));
        self.broken.overwritten |= !follows || self.record.generation != before.generation + 1;
        self.committed |= 1 << new;
    }

    /// Notes that a refresh token is presented by a worker that read a record.
    pub fn presented(&mut self, token: u8, held: &Record) {
        if held.grant == self.record.grant {
            let tokens = [Some(self.record.cur), self.record.prev].map(|at| at.and_then(|at| self.token(at)));
            self.broken.too_old |= !tokens.contains(&Some(token));
        }
        let generation = usize::from((held.generation - FIRST_GENERATION).min(2));
        self.calls[generation] += 1;
        self.broken.twice |= self.calls[generation] > 1;
        if self.token(held.cur) != Some(token) {
            self.older[generation] += 1;
            self.broken.retried |= self.older[generation] > 1;
        }
    }

    /// Notes that the provider did not look at what a worker presented.
    pub fn unused(&mut self, worker: &Worker) {
        if worker.older {
            self.older[usize::from((worker.held.generation - FIRST_GENERATION).min(2))] -= 1;
        }
    }

    pub fn is_quiet(&self) -> bool {
        self.workers[..HEALER].iter().all(|worker| matches!(worker.pc, Pc::Done | Pc::Crashed))
    }

    /// Refresh tokens that were received and that nothing leads to any more.
    pub fn unrecorded(&self) -> u32 {
        let token = |pointer| self.token(pointer).map_or(0, |token| 1 << token);
        let journalled = self.journal.iter().fold(0, |all, entry| all | token(entry.pointer));
        let staged = self.record.intent.map_or(0, |left| token(left.attempt));
        let carried =
            self.workers.iter().filter(|worker| worker.is_alive()).fold(0, |all, worker| all | 1 << worker.token);
        self.received & !(self.committed | self.revoked | journalled | staged | carried)
    }

    /// Whether its owner has to do something only because of us: consent again, although nobody took it back.
    pub fn is_lost(&self) -> bool {
        let dead_token = || !self.token(self.record.cur).is_some_and(|token| self.provider.accepts(token));
        match self.record.status {
            Status::Dead => true,
            Status::Active | Status::Failing => dead_token(),
            Status::Suspended | Status::Revoking | Status::Revoked => false,
        }
    }
}
