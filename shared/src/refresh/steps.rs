//! What each step of an attempt leads to (REFRESH.md b.3), decided on values alone: no store, no clock, no network. The
//! model check explores these very functions.

use chrono::Duration;

use crate::clock::Timestamp;
use crate::model::credential::{Credential, CredentialStatus};
use crate::store::Orphan;

/// How often an `invalid_grant` that may come from a lost answer is tried again before consent is asked for.
pub const MAX_DOUBTS: u32 = 3;
/// The `status_reason` of a credential whose grant was refused, perhaps because an answer was lost.
pub const IN_DOUBT: &str = "invalid_grant_in_doubt";

/// How an attempt begins (S0, S1, S-R).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entrance {
    /// Somebody has the lease.
    Wait,
    /// Tokens were received for this generation: they are committed, and nobody is asked.
    Adopt,
    /// Ask the provider; with the attempt of a dead worker to take over from, where there is one.
    Ask {
        /// That attempt.
        take_over: Option<String>,
    },
}

/// What came of a request (the table of S3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Heard {
    /// A: tokens.
    Tokens,
    /// B: `invalid_grant`.
    GrantRefused,
    /// C: the client or the request was refused.
    ClientRefused,
    /// D: it was not processed, and may be later.
    Later,
    /// It surely did not arrive.
    NotSent,
    /// E: nobody knows.
    Unknown,
    /// An answer that is not OAuth, and surely no success.
    Misbehaved,
}

/// What is known when an answer is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What was presented can be good once only.
    pub spent_by_use: bool,
    /// It was presented again already because the first answer was lost.
    pub sent_again: bool,
    /// There is time for another request and the commit.
    pub may_send: bool,
    /// The request whose answer did not come may still be under way, and the provider revokes the grant when it sees a
    /// refresh token twice: sent again at once, the two could meet there.
    pub overlaps: bool,
}

/// What an answer leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// S4, S5: stage and commit.
    Commit,
    /// The same token once more, at once: within seconds most providers that rotated give the answer again.
    SendAgain,
    /// S6: read the credential again and see what else may explain the refusal.
    Examine,
    /// The end of the attempt, with the intent left behind: the token may be spent.
    KeepIntent,
    /// The end of the attempt. Nothing was spent.
    Release,
}

/// What a refused grant leads to (S6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody else is ahead: what he stored counts.
    Superseded,
    /// Tokens that were received for this generation are there by now.
    Adopt,
    /// The refresh token before this one may still be good.
    TryPrevious,
    /// It may come from a lost answer: try again after this pause.
    Doubt {
        /// How long to wait.
        pause: Duration,
        /// Which doubt it is, from 1.
        doubts: u32,
    },
    /// Only new consent helps.
    Dead,
}

/// What is known when a grant was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Another attempt on this generation may have been processed unseen.
    pub in_doubt: bool,
    /// Tokens that were received for this generation are in the journal.
    pub has_orphan: bool,
    /// The provider does not punish the use of an older refresh token, there is one, and it was not tried yet.
    pub has_previous: bool,
    /// There is time to try it.
    pub may_send: bool,
    /// How long a lease lasts.
    pub lease: Duration,
}

/// What a commit that was refused leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// It is our own commit that was met.
    Committed,
    /// Another grant took its place: what came is nobody's, and is ended at the provider.
    OtherGrant,
    /// The owner disconnected it: what came is journalled for whoever ends it.
    Ended,
    /// It was suspended: what came is journalled until that is lifted.
    PutAside,
    /// Another worker went on: what came is journalled.
    Superseded,
    /// There is no credential any more.
    Gone,
}

/// Decides how an attempt begins. `has_orphan`: tokens were received for this generation and not committed.
pub fn entrance(credential: &Credential, has_orphan: bool, now: Timestamp) -> Entrance {
    if credential.is_leased(now) {
        return Entrance::Wait;
    }
    if has_orphan {
        return Entrance::Adopt;
    }
    Entrance::Ask { take_over: credential.intent.as_ref().map(|intent| intent.attempt.clone()) }
}

/// Judges an answer.
pub fn after_answer(heard: Heard, standing: Standing) -> Next {
    match heard {
        Heard::Tokens => Next::Commit,
        Heard::GrantRefused => Next::Examine,
        Heard::Unknown if !standing.spent_by_use => Next::Release,
        Heard::Unknown if !standing.sent_again && standing.may_send && !standing.overlaps => Next::SendAgain,
        Heard::Unknown => Next::KeepIntent,
        // The answer before this one was lost, so the token may be spent all the same.
        _ if standing.sent_again && standing.spent_by_use => Next::KeepIntent,
        Heard::ClientRefused | Heard::Later | Heard::NotSent | Heard::Misbehaved => Next::Release,
    }
}

/// Judges a refused grant: `held` is the credential as it was acquired, `stored` as it is now.
pub fn examine(held: &Credential, stored: &Credential, refused: Refused) -> Verdict {
    if stored.generation != held.generation || stored.fence != held.fence {
        return Verdict::Superseded;
    }
    if refused.has_orphan {
        return Verdict::Adopt;
    }
    if refused.has_previous && refused.may_send {
        return Verdict::TryPrevious;
    }
    // Other failures before it say nothing about the grant and are not counted.
    let doubts = if held.status_reason.as_deref() == Some(IN_DOUBT) { held.fails } else { 0 };
    // What there was no time to try now is tried by the next attempt.
    let in_doubt = refused.in_doubt || refused.has_previous;
    if !in_doubt || doubts >= MAX_DOUBTS {
        return Verdict::Dead;
    }
    let pause = match doubts {
        0 => refused.lease,
        1 => Duration::minutes(1),
        _ => Duration::minutes(5),
    };
    Verdict::Doubt { pause, doubts: doubts + 1 }
}

/// Judges a commit that was refused by what is stored.
pub fn after_refusal(held: &Credential, attempt: &str, stored: Option<&Credential>) -> Late {
    let Some(stored) = stored else { return Late::Gone };
    if stored.attempt == attempt {
        return Late::Committed;
    }
    if stored.granted_at != held.granted_at {
        return Late::OtherGrant;
    }
    match stored.status {
        CredentialStatus::Suspended => Late::PutAside,
        CredentialStatus::Revoking | CredentialStatus::Revoked => Late::Ended,
        CredentialStatus::Active
        | CredentialStatus::ChoiceRequired
        | CredentialStatus::RefreshFailing
        | CredentialStatus::ReauthorizationRequired => Late::Superseded,
    }
}

/// The newest orphan that can be committed over a credential.
pub fn newest_orphan(credential: &Credential, orphans: Vec<Orphan>) -> Option<Orphan> {
    let of_this = orphans.into_iter().filter(|orphan| orphan.base_gen == credential.generation);
    of_this.max_by_key(|orphan| orphan.fence)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDING: Standing = Standing { spent_by_use: true, sent_again: false, may_send: true, overlaps: false };

    #[test]
    fn row_e_an_unknown_outcome_is_asked_for_once_more_and_then_the_intent_stays() {
        assert_eq!(after_answer(Heard::Unknown, STANDING), Next::SendAgain);
        let told = [(true, true, false), (false, false, false), (false, true, true)];
        for (sent_again, may_send, overlaps) in told {
            let standing = Standing { sent_again, may_send, overlaps, ..STANDING };
            assert_eq!(after_answer(Heard::Unknown, standing), Next::KeepIntent);
        }
        let lasting = Standing { spent_by_use: false, ..STANDING };
        assert_eq!(after_answer(Heard::Unknown, lasting), Next::Release, "nothing was spent");
    }

    #[test]
    fn an_answer_that_proves_nothing_about_the_lost_one_keeps_the_intent() {
        let again = Standing { sent_again: true, ..STANDING };
        for heard in [Heard::ClientRefused, Heard::Later, Heard::NotSent, Heard::Misbehaved] {
            assert_eq!(after_answer(heard, STANDING), Next::Release);
            assert_eq!(after_answer(heard, again), Next::KeepIntent, "{heard:?}");
        }
    }
}
