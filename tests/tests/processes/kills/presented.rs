//! Which refresh tokens the provider was shown, whose they are, and in which order they were issued.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use grantkeeper_sandbox::{GrantStatus, LogEntry, Sandbox};

use super::super::Outcome;

/// Everything by the person, of whom each has one grant; tokens by their fingerprints.
#[derive(Default)]
pub(super) struct Presented {
    grants: BTreeMap<String, Grant>,
    /// The log, as far as it was taken.
    log: Vec<LogEntry>,
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
    /// Reads grants and log of the sandbox, and lets it forget the log. Nobody may call it meanwhile.
    pub(super) fn take(&mut self, sandbox: &Sandbox) -> Outcome {
        self.look(sandbox)?;
        self.log.extend(refreshes(sandbox));
        sandbox.clear_log();
        Ok(())
    }

    /// Reads grants and log of the sandbox.
    pub(super) fn look(&mut self, sandbox: &Sandbox) -> Outcome {
        for GrantStatus { user, alive, refresh_tokens, .. } in sandbox.grants() {
            let grant = self.grants.entry(user.context("a person's grant")?).or_default();
            grant.stands = alive;
            let new = refresh_tokens.into_iter().filter(|token| !grant.issued.contains(token)).collect::<Vec<_>>();
            grant.issued.extend(new);
        }
        self.unknown.clear();
        self.grants.values_mut().for_each(|grant| grant.presented.clear());
        for entry in self.log.iter().cloned().chain(refreshes(sandbox)) {
            let token = entry.refresh_token.clone().context("a refresh token")?;
            match self.grants.values_mut().find(|grant| grant.issued.contains(&token)) {
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

fn refreshes(sandbox: &Sandbox) -> impl Iterator<Item = LogEntry> {
    sandbox.log().into_iter().filter(|entry| entry.grant_type.as_deref() == Some("refresh_token"))
}
