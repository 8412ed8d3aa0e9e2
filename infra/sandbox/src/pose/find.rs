//! Which pose and which of its addresses a request is for.

use std::sync::Arc;

use super::arrived::Arrived;
use super::sites::{Site, What};
use super::{Posed, revoke, token};
use crate::state::State;

/// A pose that a request may be for, with the addresses that fit best.
pub(super) struct Candidate {
    pub(super) posed: Arc<Posed>,
    /// Indices of the pose's sites, at least one.
    pub(super) sites: Vec<usize>,
    score: u8,
}

/// Poses may share addresses: whoever owns the token or code in the request is asked first, then whoever's client id
/// stands in it, then whoever's address fits best; those that none of this tells apart are all asked.
pub(super) fn find(poses: &[Arc<Posed>], arrived: &Arrived, state: &State) -> Vec<Candidate> {
    let candidates: Vec<Candidate> = poses.iter().filter_map(|posed| candidate(posed, arrived)).collect();
    let credentials = arrived.credentials();
    let owners: Vec<&str> = credentials.iter().filter_map(|value| state.owner_of(value)).collect();
    let candidates = narrowed(candidates, |posed| owners.contains(&posed.settings.client_id.as_str()));
    let candidates = narrowed(candidates, |posed| arrived.mentions(&posed.settings.client_id));
    let most = candidates.iter().map(|candidate| candidate.score).max().unwrap_or_default();
    candidates.into_iter().filter(|candidate| candidate.score == most).collect()
}

/// Those that a rule picks, or all when it picks none.
fn narrowed(candidates: Vec<Candidate>, picks: impl Fn(&Posed) -> bool) -> Vec<Candidate> {
    let any = candidates.iter().any(|candidate| picks(&candidate.posed));
    candidates.into_iter().filter(|candidate| !any || picks(&candidate.posed)).collect()
}

fn candidate(posed: &Arc<Posed>, arrived: &Arrived) -> Option<Candidate> {
    let scored = || posed.sites.iter().map(|site| score(site, arrived)).enumerate();
    let most = scored().map(|(_, score)| score).max().filter(|most| *most > 0)?;
    let mut sites: Vec<usize> = scored().filter(|(_, score)| *score == most).map(|(index, _)| index).collect();
    let is = |index: &usize, what: What| posed.sites.get(*index).is_some_and(|site| site.what == what);
    // One address for both: a request that is right as a revocation is one.
    if let Some(site) = sites.iter().filter_map(|index| posed.sites.get(*index)).find(|site| site.what == What::Revoke)
        && sites.iter().any(|index| is(index, What::Token) || is(index, What::Refresh))
    {
        let revokes = revoke::read(posed, site, arrived).is_ok();
        sites.retain(|index| is(index, What::Revoke) == revokes);
    }
    // One address for both: what it carries tells a refresh from the other token requests.
    if sites.iter().any(|index| is(index, What::Token)) && sites.iter().any(|index| is(index, What::Refresh)) {
        let other = if token::is_refresh(posed, arrived) { What::Token } else { What::Refresh };
        sites.retain(|index| !is(index, other));
    }
    Some(Candidate { posed: Arc::clone(posed), sites, score: most })
}

/// How well a request fits an address: not at all, somewhere below it, the same path, with its query, with its method.
fn score(site: &Site, arrived: &Arrived) -> u8 {
    if site.address.authority != arrived.authority {
        return 0;
    }
    if site.what == What::Api {
        return if site.address.holds(&arrived.path) { 3 } else { 0 };
    }
    if site.address.path != arrived.path {
        return 0;
    }
    let by_method = u8::from(site.method.as_ref().is_none_or(|method| arrived.method.as_str() == method));
    match (site.address.rest_of(&arrived.query), site.is_resource()) {
        (Some(_), _) => 6 + by_method,
        (None, true) => 1 + by_method,
        (None, false) => 4 + by_method,
    }
}
