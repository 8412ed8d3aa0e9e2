//! Which refresh tokens the provider was shown, whose they are, and in which order they were issued.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use grantkeeper_sandbox::{GrantStatus, LogEntry, Sandbox};

use super::super::Outcome;

/// Everything by the person, of whom each has one grant; tokens by their fingerprints.
#[derive(Default)]
pub(super) struct Presented {
    grants: BTreeMap<String, Grant>,
    /// Whose each token is.
    owners: BTreeMap<String, String>,
    /// How much of the sandbox's log was read.
    read: usize,
    /// What was presented and was nobody's.
    unknown: Vec<LogEntry>,
}

#[derive(Default)]
struct Grant {
    stands: bool,
    /// Its refresh tokens, the oldest first. The sandbox forgets old ones; this does not.
    issued: Vec<String>,
    /// Those that were presented, in this order, and whether new tokens came of it.
    presented: Vec<(String, bool)>,
}

impl Presented {
    /// Reads log and grants of the sandbox, and lets it forget the log. Nobody may call it meanwhile.
    pub(super) fn take(&mut self, sandbox: &Sandbox) -> Outcome {
        self.look(sandbox)?;
        sandbox.clear_log();
        self.read = 0;
        Ok(())
    }

    /// Reads log and grants of the sandbox. What was presented was issued before, so the log comes first.
    pub(super) fn look(&mut self, sandbox: &Sandbox) -> Outcome {
        let log = sandbox.log();
        for GrantStatus { user, alive, refresh_tokens, .. } in sandbox.grants() {
            let person = user.context("a person's grant")?;
            let grant = self.grants.entry(person.clone()).or_default();
            grant.stands = alive;
            for token in refresh_tokens {
                if self.owners.insert(token.clone(), person.clone()).is_none() {
                    grant.issued.push(token);
                }
            }
        }
        let read = std::mem::replace(&mut self.read, log.len());
        for entry in log.into_iter().skip(read).filter(|entry| entry.grant_type.as_deref() == Some("refresh_token")) {
            let token = entry.refresh_token.clone().context("a refresh token")?;
            match self.owners.get(&token).and_then(|person| self.grants.get_mut(person)) {
                Some(grant) => grant.presented.push((token, entry.status == 200)),
                None => self.unknown.push(entry),
            }
        }
        Ok(())
    }

    /// How many refresh tokens of this person were spent: new ones came of them.
    pub(super) fn spent(&self, person: &str) -> u64 {
        let presented = self.grants.get(person).map(|grant| grant.presented.as_slice()).unwrap_or_default();
        let spent: BTreeSet<_> = presented.iter().filter(|(_, good)| *good).map(|(token, _)| token).collect();
        u64::try_from(spent.len()).unwrap_or_default()
    }

    /// Whether the provider still honours the grant.
    pub(super) fn stands(&self, person: &str) -> bool {
        self.grants.get(person).is_some_and(|grant| grant.stands)
    }

    /// After a token, no token that was issued before it was presented.
    pub(super) fn expect_no_step_back(&self, person: &str) -> Outcome {
        let grant = self.grants.get(person).context("the person's grant")?;
        let mut newest = 0;
        for (token, _) in &grant.presented {
            let place = grant.issued.iter().position(|issued| issued == token).context("an issued token")?;
            ensure!(place >= newest, "{person}: token {place} was presented after token {newest}");
            newest = place;
        }
        Ok(())
    }

    /// Nothing was presented that is no refresh token of a person.
    pub(super) fn expect_all_known(&self) -> Outcome {
        ensure!(self.unknown.is_empty(), "{:?}", self.unknown);
        Ok(())
    }
}
