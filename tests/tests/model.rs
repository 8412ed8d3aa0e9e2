//! The refresh protocol as a small state machine, explored over all interleavings of two workers with crashes, lost
//! answers, lost acknowledgements and the owner's changes, for each kind of provider (REFRESH.md b.0).
//!
//! What is decided, and what is written, is decided by the engine's own functions (`refresh::steps`) and by the reference
//! of the store (`testing::reference`), to which the contract test holds the deployed store. The model adds only the
//! order of the awaits (`model/worker.rs`), providers, and the things that go wrong.
//!
//! A run ends where nothing can happen any more. After both workers are done, a healer comes as often as the index of
//! due work has the credential, without faults; an attempt always goes forward or raises the fence, which is bounded, so
//! no run is endless, and whatever holds where runs end is reached from everywhere.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a model that contradicts itself ends its test"
)]

#[path = "model/actions.rs"]
mod actions;
#[path = "model/outside.rs"]
mod outside;
#[path = "model/properties.rs"]
mod properties;
#[path = "model/provider.rs"]
mod provider;
#[path = "model/record.rs"]
mod record;
#[path = "model/state.rs"]
mod state;
#[path = "model/steps.rs"]
mod steps;
#[path = "model/worker.rs"]
mod worker;
#[path = "model/writes.rs"]
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use properties::{
    ADOPTED, COMMITTED, DOUBTED, ENDED, ENDED_LATE, EVENTS, G1, G1_TWICE, G2_NEWER, G2_RECORDED, G3_WINDOW, G4,
    G4_ONCE, INDEX, JOURNALLED, RESCHEDULED, SENT_AGAIN, TRIED_BEFORE, UNTOUCHED,
};
use provider::{MODES, Mode};
use stateright::{Checker, Expectation, Model};

/// What is changed in the protocol to see that a property notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// A commit asks for neither fence nor generation nor attempt.
    CommitIsUnconditional,
    /// A lease that is live does not keep anybody off.
    LeaseIsIgnored,
    /// What was received and not committed is dropped.
    NoJournal,
    /// What a dead worker staged is not looked for.
    NothingIsAdopted,
    /// What a dead worker staged is adopted under another name, by which nobody finds it.
    AdoptsUnderItsOwnName,
    /// A refused grant is believed at once.
    NothingIsDoubted,
    /// A request whose answer was lost is sent as often as there is time.
    SendsOnAndOn,
    /// A request that may still be under way is sent again, whatever a reuse costs.
    SendsWhatMayBeUnderWay,
    /// An older refresh token is presented without a note.
    TriedIsNotNoted,
    /// An event is written after the update that it tells of.
    EventsAreApart,
    /// An attempt that brought nothing is not due again.
    WorkIsForgotten,
}

/// What the owner does once, at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// And lifts it again.
    Suspends,
    Disconnects,
    /// Consents anew.
    Replaces,
}

/// What becomes of a request that its sender does not wait for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Requests {
    /// It was processed by then, or never will be.
    DieWithTheirSender,
    /// It may be processed at any time before the lease has lapsed.
    OutliveTheirSender,
    /// It may be processed at any time.
    OutliveTheLease,
}

/// What is explored.
struct Protocol {
    mode: Mode,
    /// How many things go wrong in one run.
    faults: u8,
    /// How often a lease ends while its holder lives, which the function's timeout makes impossible.
    overlaps: u8,
    owner: Option<Owner>,
    /// How many more generations each worker is asked for.
    rounds: u8,
    requests: Requests,
    /// A request whose answer was lost is sent once more, at once (row E).
    sends_again: bool,
    mutant: Option<Mutant>,
    /// The states in which nothing can happen any more, and whether the connection is lost there.
    ends: Mutex<BTreeMap<u64, bool>>,
}

impl Protocol {
    fn new(mode: Mode, faults: u8, overlaps: u8) -> Self {
        Self {
            mode,
            faults,
            overlaps,
            owner: None,
            rounds: 0,
            requests: Requests::DieWithTheirSender,
            sends_again: true,
            mutant: None,
            ends: Mutex::default(),
        }
    }

    fn is_faultless(&self) -> bool {
        self.faults == 0 && self.overlaps == 0
    }

    /// What does not hold here, and why nothing can be done about it; or what is known to be missing.
    fn excused(&self) -> BTreeSet<&'static str> {
        let (family, lenient) = (self.mode == Mode::Family, self.mode == Mode::Lenient);
        let (overlap, fault) = (self.overlaps > 0, self.faults > 0);
        let rotates = self.mode != Mode::Static;
        let excuses = [
            // Two holders at once present the same refresh token, and nothing in the store can take that back.
            (overlap && family, G3_WINDOW),
            // The request of a dead worker is processed after that of the next one: to the provider it is a reuse.
            (fault && family && self.requests == Requests::OutliveTheLease, G3_WINDOW),
            // Two things at once: a worker that was overtaken stages what it received, and dies before its commit is
            // refused. The intent names the other attempt, so nobody finds it.
            (overlap && fault && rotates, G2_RECORDED),
            (overlap && fault && rotates && self.mode != Mode::Grace && !lenient, G3_WINDOW),
            // The end of a grant waits for the lease; a holder that outlives it journals when nobody looks any more.
            (overlap && rotates && self.owner == Some(Owner::Disconnects), ENDED),
            // Another grant took the place of this one while a refresh was under way, and the worker dies before it has
            // handed over what it received: a grant that nobody uses is not ended at the provider.
            (fault && rotates && self.owner == Some(Owner::Replaces), G2_RECORDED),
            // A holder that outlives its lease sends what it noted before.
            (overlap && fault && lenient, G4),
        ];
        excuses.into_iter().filter(|(applies, _)| *applies).map(|(_, name)| name).collect()
    }
}

/// What an exploration came to.
struct Explored {
    states: usize,
    ends: usize,
    lost: usize,
    /// Each promise that does not hold, with the shortest way there.
    broken: BTreeMap<&'static str, String>,
    /// What was reached.
    reached: BTreeSet<&'static str>,
}

fn explore(protocol: Protocol) -> Explored {
    let checker = protocol.checker().spawn_bfs().join();
    let expectations: BTreeMap<_, _> =
        checker.model().properties().into_iter().map(|property| (property.name, property.expectation)).collect();
    let (mut broken, mut reached) = (BTreeMap::new(), BTreeSet::new());
    for (name, path) in checker.discoveries() {
        match expectations.get(name) {
            Some(Expectation::Sometimes) => drop(reached.insert(name)),
            _ => {
                let end = format!("{:#?}", path.last_state());
                broken.insert(name, format!("{:?}\n{end}", path.into_actions()));
            }
        }
    }
    let ends = checker.model().ends.lock().unwrap_or_else(PoisonError::into_inner);
    let lost = ends.values().filter(|lost| **lost).count();
    Explored { states: checker.unique_state_count(), ends: ends.len(), lost, broken, reached }
}

/// Explores, and says where what was found is not what is promised.
fn hold(protocol: Protocol, reached: &mut BTreeSet<&'static str>) -> Explored {
    let Protocol { mode, faults, overlaps, owner, rounds, requests, .. } = protocol;
    let case = format!("{mode:?}, faults {faults}, overlaps {overlaps}, {owner:?}, rounds {rounds}, {requests:?}");
    let excused = protocol.excused();
    let explored = explore(protocol);
    eprintln!("{case}: {} of {} ends lost, {} states", explored.lost, explored.ends, explored.states);
    let found: BTreeSet<_> = explored.broken.keys().copied().collect();
    for name in found.difference(&excused) {
        eprintln!("{name}: {}", explored.broken[name]);
    }
    assert_eq!(found, excused, "{case}");
    reached.extend(&explored.reached);
    explored
}

/// The table of REFRESH.md b.0: how many of the ends of all runs are lost connections.
///
/// The numbers are not those of the page: here each await is a step of its own, more things go wrong, and an end is told
/// from another by all that is known there. What is nought on the page is nought here, and what is not is not. The rows
/// of `ShortGrace` and `Lenient` are not on the page.
#[test]
fn what_is_lost_is_what_nobody_can_save() {
    let mut reached = BTreeSet::new();
    for overlaps in [0, 1] {
        for faults in [0, 1] {
            for mode in MODES {
                let explored = hold(Protocol::new(mode, faults, overlaps), &mut reached);
                let may_lose = match mode {
                    Mode::Static | Mode::Grace | Mode::Lenient => false,
                    Mode::ShortGrace | Mode::Strict => faults > 0,
                    Mode::Family => faults + overlaps > 0,
                };
                assert_eq!(explored.lost > 0, may_lose, "{mode:?}, faults {faults}, overlaps {overlaps}");
            }
        }
    }
}

/// What row E is for, and what it costs.
#[test]
fn the_second_request_saves_what_a_short_grace_can_save() {
    let lost = |mode, requests, sends_again| {
        let explored = explore(Protocol { requests, sends_again, ..Protocol::new(mode, 1, 0) });
        let at = if sends_again { "is sent again" } else { "is left to the next worker" };
        eprintln!("{mode:?}, {requests:?}, a lost request {at}: {} of {} ends lost", explored.lost, explored.ends);
        explored.lost
    };
    for requests in [Requests::DieWithTheirSender, Requests::OutliveTheirSender] {
        for mode in [Mode::Static, Mode::Grace, Mode::Lenient] {
            assert_eq!((lost(mode, requests, true), lost(mode, requests, false)), (0, 0));
        }
        assert!(lost(Mode::ShortGrace, requests, true) < lost(Mode::ShortGrace, requests, false));
        // Where there is no grace it saves nothing.
        assert!(lost(Mode::Strict, requests, true) >= lost(Mode::Strict, requests, false));
    }
    let family =
        |requests, sends_again| explore(Protocol { requests, sends_again, ..Protocol::new(Mode::Family, 1, 0) }).broken;
    assert!(family(Requests::DieWithTheirSender, true).is_empty());
    assert!(family(Requests::OutliveTheirSender, true).is_empty());
    // Sent again all the same it would overtake the first request, which is a reuse then.
    let mutant = Some(Mutant::SendsWhatMayBeUnderWay);
    let requests = Requests::OutliveTheirSender;
    let overtaken = explore(Protocol { requests, mutant, ..Protocol::new(Mode::Family, 1, 0) });
    assert!(overtaken.broken.contains_key(G3_WINDOW));
}

#[test]
fn every_promise_holds_but_where_none_can_be_made() {
    let mut reached = BTreeSet::new();
    for mode in MODES {
        hold(Protocol::new(mode, 2, 0), &mut reached);
        for requests in [Requests::OutliveTheirSender, Requests::OutliveTheLease] {
            hold(Protocol { requests, ..Protocol::new(mode, 1, 0) }, &mut reached);
        }
        for faults in [0, 1] {
            hold(Protocol { rounds: 1, ..Protocol::new(mode, faults, 0) }, &mut reached);
        }
    }
    let wanted = [COMMITTED, ADOPTED, SENT_AGAIN, TRIED_BEFORE, DOUBTED, UNTOUCHED].into();
    assert!(reached.is_superset(&wanted), "{reached:?}");
}

#[test]
fn every_promise_holds_whatever_the_owner_does() {
    let mut reached = BTreeSet::new();
    for mode in MODES {
        for owner in [Owner::Suspends, Owner::Disconnects, Owner::Replaces] {
            for (faults, overlaps) in [(0, 0), (1, 0), (0, 1)] {
                hold(Protocol { owner: Some(owner), ..Protocol::new(mode, faults, overlaps) }, &mut reached);
            }
        }
    }
    assert!(reached.is_superset(&[JOURNALLED, RESCHEDULED, ENDED_LATE, DOUBTED].into()), "{reached:?}");
}

/// A property that no change of the protocol breaks would prove nothing.
#[test]
fn every_mutant_is_noticed() {
    let mutants = [
        (Mutant::CommitIsUnconditional, Protocol::new(Mode::Grace, 0, 1), G2_NEWER),
        (Mutant::LeaseIsIgnored, Protocol::new(Mode::Strict, 0, 0), G1),
        (Mutant::NoJournal, Protocol::new(Mode::Strict, 0, 1), G2_RECORDED),
        (Mutant::NothingIsAdopted, Protocol::new(Mode::Strict, 1, 0), G3_WINDOW),
        (Mutant::AdoptsUnderItsOwnName, Protocol::new(Mode::Strict, 2, 0), G2_RECORDED),
        (Mutant::NothingIsDoubted, Protocol::new(Mode::Strict, 0, 1), G3_WINDOW),
        (Mutant::SendsOnAndOn, Protocol::new(Mode::Family, 2, 0), G1_TWICE),
        (Mutant::TriedIsNotNoted, Protocol::new(Mode::Lenient, 3, 0), G4_ONCE),
        (Mutant::EventsAreApart, Protocol::new(Mode::Static, 2, 0), EVENTS),
        (Mutant::WorkIsForgotten, Protocol::new(Mode::Static, 1, 0), INDEX),
    ];
    for (mutant, protocol, promise) in mutants {
        let Protocol { mode, faults, overlaps, .. } = protocol;
        let sound = explore(Protocol::new(mode, faults, overlaps));
        let trace = sound.broken.get(promise);
        assert_eq!(trace, None, "{promise} does not hold without {mutant:?} either");
        let broken = explore(Protocol { mutant: Some(mutant), ..protocol }).broken;
        let names: Vec<_> = broken.keys().collect();
        assert!(broken.contains_key(promise), "{mutant:?} is not noticed: {names:?}");
        eprintln!("{mutant:?}: {names:?}");
    }
}
