//! A worker: where it is in an attempt, and what it knows.

use grantkeeper::refresh::steps::Standing;

use super::record::{Held, Record};

/// What a worker does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pc {
    /// Reads the credential; in the loop of `refresh_alone`.
    Read,
    /// Waits for whoever has the lease, and reads again.
    Wait,
    /// `journalled`, before the lease.
    LookIntoJournal,
    /// `open_received` of what the attempt before may have staged.
    LookIntoVault,
    /// S1.
    Acquire,
    /// S1, for tokens that were received already.
    AcquireToAdopt,
    /// S2.
    CheckTime,
    /// S3.
    Send,
    /// The request is on its way.
    Sent,
    /// The provider answered: with this refresh token, or `invalid_grant`.
    Answered(Option<u8>),
    /// The outcome is noted before the same request goes out again.
    NoteUnknown,
    Stage,
    Commit,
    /// S5b; with what stood against the commit.
    Journal {
        superseded: bool,
    },
    Reschedule,
    EndLate,
    /// S6.
    ReadAgain,
    Examine,
    NoteTried,
    Release(How),
    Done,
    Crashed,
}

/// How an attempt ends without tokens (`commit::Release`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    Untouched,
    Failing { reason: &'static str, keeps: bool, fails: Option<u8> },
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Worker {
    pub pc: Pc,
    /// The generation that its caller had.
    pub base: u8,
    /// How often it has tried to take a lease; names what it tries.
    pub tries: u8,
    /// By what its lease is known.
    pub owner: u8,
    pub attempt: u8,
    /// What it read last, or what stood against it.
    pub seen: Record,
    /// The credential as it was acquired.
    pub held: Record,
    /// The attempt of a dead worker that it took over from.
    pub took_over: bool,
    pub sent_again: bool,
    /// Its lease has ended, or the invocation nearly has: it has no time for another request.
    pub late: bool,
    /// What it presents or received.
    pub token: u8,
    /// Where that is in the vault.
    pub pointer: u8,
    /// It presents an older refresh token.
    pub older: bool,
    pub tried: u32,
    pub sends: u8,
    /// How many more generations it is asked for.
    pub rounds: u8,
}

impl Worker {
    pub fn new() -> Self {
        Self {
            pc: Pc::Read,
            base: super::state::FIRST_GENERATION,
            tries: 0,
            owner: 0,
            attempt: 0,
            seen: Record::default(),
            held: Record::default(),
            took_over: false,
            sent_again: false,
            late: false,
            token: 0,
            pointer: 0,
            older: false,
            tried: 0,
            sends: 0,
            rounds: 0,
        }
    }

    /// One that is over, with nothing left that would tell two states apart.
    pub fn over(self, pc: Pc) -> Self {
        Self { pc, base: self.base, tries: self.tries, rounds: self.rounds, ..Self::new() }
    }

    pub fn crashed(self) -> Self {
        self.over(Pc::Crashed)
    }

    pub fn is_alive(&self) -> bool {
        !matches!(self.pc, Pc::Done | Pc::Crashed)
    }

    /// The same worker, asked for the generation after this one.
    pub fn again(self, base: u8) -> Self {
        Self { base, rounds: self.rounds.saturating_sub(1), ..self.over(Pc::Read) }
    }

    /// Whether a crash would leave something behind.
    pub fn is_under_way(&self) -> bool {
        self.is_alive() && !matches!(self.pc, Pc::Read | Pc::Wait | Pc::LookIntoJournal | Pc::LookIntoVault)
    }

    /// Whether the next step is an update of the table that is repeated where its acknowledgement is lost.
    pub fn writes(&self) -> bool {
        matches!(
            self.pc,
            Pc::Acquire
                | Pc::AcquireToAdopt
                | Pc::Commit
                | Pc::Journal { .. }
                | Pc::Reschedule
                | Pc::NoteTried
                | Pc::Release(_)
        )
    }

    pub fn in_doubt(&self) -> bool {
        self.sent_again || self.took_over
    }

    /// `overlaps`: a request that nobody waits for any more may still arrive, and costs the grant then.
    pub fn standing(&self, overlaps: bool) -> Standing {
        Standing { spent_by_use: true, sent_again: self.sent_again, may_send: !self.late, overlaps }
    }
}

/// `Step::Busy`: a newer generation is what was wanted, and anything else is waited for.
pub fn busy(mut worker: Worker, other: Record) -> Worker {
    worker.seen = other;
    if other.generation > worker.base { worker.over(Pc::Done) } else { waiting(worker) }
}

pub fn waiting(worker: Worker) -> Worker {
    Worker { pc: Pc::Wait, ..worker.over(Pc::Done) }
}

/// The name of the nth attempt of a worker.
pub fn name(w: usize, nth: u8) -> u8 {
    1 + u8::try_from(w).expect("three workers") * 40 + nth
}

pub fn number(text: &str) -> u8 {
    text.parse().expect("names are small numbers")
}

/// Whose lease this is.
pub fn holds(worker: &Worker, lease: Held) -> bool {
    worker.is_under_way() && worker.owner == lease.owner
}
