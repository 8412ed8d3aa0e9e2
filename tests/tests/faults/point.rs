//! Where in an attempt something goes wrong (REFRESH.md b.4).

use super::provider::{Fault, Mode};

/// Where one worker dies or is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Nowhere.
    None,
    /// It dies before S1.
    DieBeforeAcquire,
    /// S1 does not answer and was not applied.
    AcquireFails,
    /// S1 does not answer and was applied.
    AcquireAnswerLost,
    /// It dies after S1, before it sends.
    DieAfterAcquire,
    /// The vault does not answer before S1.
    VaultDown,
    /// It dies after it noted that an answer was lost, before it sends again.
    DieBeforeSecondSend,
    /// In S6 it dies between the note and the use of an older refresh token.
    DieAfterTried,
    /// It dies with the answer in its hand.
    DieBeforeStage,
    /// The vault is throttled while it takes the tokens.
    StageThrottled,
    /// The vault takes the tokens, and its answer is lost.
    StageAnswerLost,
    /// It dies when the tokens are in the vault.
    DieAfterStage,
    /// It dies when it is about to commit.
    DieBeforeCommit,
    /// The commit is throttled.
    CommitThrottled,
    /// The commit is applied, and its answer is lost.
    CommitAnswerLost,
    /// It dies after the commit, before the reply.
    DieAfterCommit,
    /// Another worker took the lease before the commit, and died.
    CommitSuperseded,
    /// Another worker, for which the lease had ended, did the whole refresh before this one stages. A lease is longer
    /// than a function may run so that this cannot be.
    Overtaken,
    /// The owner suspends the credential before the commit.
    CommitSuspended,
    /// The owner disconnects the credential before the commit.
    CommitDisconnected,
    /// It dies before it notes that there were no tokens.
    DieBeforeRelease,
    /// It dies after it noted that there were no tokens.
    DieAfterRelease,
}

impl Point {
    pub const ALL: [Point; 22] = [
        Point::None,
        Point::DieBeforeAcquire,
        Point::AcquireFails,
        Point::AcquireAnswerLost,
        Point::DieAfterAcquire,
        Point::VaultDown,
        Point::DieBeforeSecondSend,
        Point::DieAfterTried,
        Point::DieBeforeStage,
        Point::StageThrottled,
        Point::StageAnswerLost,
        Point::DieAfterStage,
        Point::DieBeforeCommit,
        Point::CommitThrottled,
        Point::CommitAnswerLost,
        Point::DieAfterCommit,
        Point::CommitSuperseded,
        Point::Overtaken,
        Point::CommitSuspended,
        Point::CommitDisconnected,
        Point::DieBeforeRelease,
        Point::DieAfterRelease,
    ];

    pub fn name(self) -> String {
        let name = format!("{self:?}");
        let words = name.chars().map(|letter| match letter.is_uppercase() {
            true => format!("_{}", letter.to_lowercase()),
            false => letter.to_string(),
        });
        words.collect::<String>().trim_start_matches('_').to_owned()
    }

    /// Whether the worker stops before it sends anything: the first request is then another worker's.
    pub fn is_before_send(self) -> bool {
        use Point::{AcquireAnswerLost, AcquireFails, DieAfterAcquire, DieBeforeAcquire, VaultDown};
        matches!(self, DieBeforeAcquire | AcquireFails | AcquireAnswerLost | DieAfterAcquire | VaultDown)
    }

    /// Whether an intent is left behind although nothing was sent.
    pub fn leaves_intent_unsent(self) -> bool {
        matches!(self, Point::AcquireAnswerLost | Point::DieAfterAcquire)
    }

    /// Whether a worker comes there, at this provider and with this first answer.
    pub fn is_reached(self, mode: Mode, fault: Fault) -> bool {
        use Point::{DieAfterRelease, DieAfterTried, DieBeforeRelease, DieBeforeSecondSend};
        match self {
            Point::None => true,
            point if point.is_before_send() => true,
            // What may still be under way is not sent again where a reuse costs the grant.
            DieBeforeSecondSend => fault.is_unknown() && !(mode == Mode::Family && fault == Fault::TimeoutAfter),
            DieAfterTried => mode == Mode::Lenient && fault == Fault::InvalidGrant,
            DieBeforeRelease | DieAfterRelease => !brings_tokens(mode, fault),
            _ => brings_tokens(mode, fault),
        }
    }
}

/// Whether an attempt ends with tokens whose first request met this fault: an answer that was lost is asked for once more,
/// and where the use of an older refresh token costs nothing, that is tried when the newest is refused.
fn brings_tokens(mode: Mode, fault: Fault) -> bool {
    match fault {
        Fault::TooMany | Fault::Later | Fault::InvalidClient => false,
        Fault::InvalidGrant => mode == Mode::Lenient,
        fault => !(fault.loses_tokens() && mode.is_unforgiving()),
    }
}
