//! How a client's token endpoint is doing: the breaker that keeps an outage, or our own bad client secret, from being
//! counted against credentials (N13), and what tells a slow provider from the others.

use chrono::Duration;
use serde::{Deserialize, Serialize};

use super::ids::ClientId;
use crate::clock::Timestamp;

/// How many failures in a row open the breaker, where one alone proves nothing about the client.
const FAILURES: u32 = 5;
/// How long it stays open the first time; each failed probe doubles it.
const FIRST_PERIOD: Duration = Duration::seconds(30);
/// The longest period, after failures of the provider.
const MAX_OUTAGE: Duration = Duration::minutes(5);
/// The longest period, after refusals of our client: only an operator's change will help.
const MAX_REFUSED: Duration = Duration::hours(1);
/// How long a probe has the right to be the only one.
const PROBE: Duration = Duration::seconds(25);
/// An answer that takes longer is slow.
pub const SLOW: std::time::Duration = std::time::Duration::from_secs(3);
/// How long a slow endpoint is kept apart.
const SLOW_FOR: Duration = Duration::minutes(10);

/// What a request showed about the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ailment {
    /// It did not answer, or not as it should: an outage.
    Unavailable,
    /// It refused our client (RFC 6749 §5.2 `invalid_client` and the like).
    Refused,
}

/// The state of one client at one origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The client.
    pub client: ClientId,
    /// The origin of its token endpoint: clients whose endpoint has variables have several.
    pub origin: String,
    /// Counts the writes; each is conditional on the one before.
    pub version: u64,
    /// The client's revision that was refused: what a newer one was not is another matter.
    pub revision: u64,
    /// Failures in a row.
    pub fails: u32,
    /// How often in a row the breaker opened.
    pub opened: u32,
    /// Why it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ailment: Option<Ailment>,
    /// Unix milliseconds until which nothing is sent; absent: closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_until: Option<i64>,
    /// Unix milliseconds until which one probe is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_until: Option<i64>,
    /// Unix milliseconds until which it counts as slow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_until: Option<i64>,
}

/// Whether a refresh may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Yes.
    Closed,
    /// If the right to probe is won (see [`Health::probing`]).
    Probe,
    /// Not before so long.
    Open {
        /// How long.
        wait: Duration,
        /// Why.
        ailment: Ailment,
    },
}

impl Health {
    /// Of a client that nothing is known about.
    pub fn unknown(client: ClientId, origin: impl Into<String>) -> Self {
        Self {
            client,
            origin: origin.into(),
            version: 0,
            revision: 0,
            fails: 0,
            opened: 0,
            ailment: None,
            open_until: None,
            probe_until: None,
            slow_until: None,
        }
    }

    /// Whether a refresh may be sent for this revision of the client.
    pub fn gate(&self, revision: u64, now: Timestamp) -> Gate {
        let (Some(until), Some(ailment)) = (self.open_until, self.ailment) else { return Gate::Closed };
        // The operator changed the client since it was refused.
        if ailment == Ailment::Refused && revision > self.revision {
            return Gate::Closed;
        }
        let now = now.timestamp_millis();
        let until = until.max(self.probe_until.unwrap_or_default());
        if now < until { Gate::Open { wait: Duration::milliseconds(until - now), ailment } } else { Gate::Probe }
    }

    /// With the right to probe taken.
    pub fn probing(&self, now: Timestamp) -> Self {
        Self { version: self.version + 1, probe_until: Some((now + PROBE).timestamp_millis()), ..self.clone() }
    }

    /// After a failure. `at_once`: it alone proves that every other request would fail, too. `asked`: the endpoint wants
    /// to be left alone for so long. `jitter` is in 0..1.
    pub fn failed(
        &self,
        ailment: Ailment,
        at_once: bool,
        asked: Option<Duration>,
        jitter: f64,
        now: Timestamp,
    ) -> Self {
        let fails = self.fails.saturating_add(1);
        let was_open = self.open_until.is_some();
        let next = Self { version: self.version + 1, fails, ailment: Some(ailment), probe_until: None, ..self.clone() };
        if !at_once && !was_open && fails < FAILURES {
            return next;
        }
        // Requests that were under way when it opened say nothing new.
        if was_open && self.open_until.is_some_and(|until| now.timestamp_millis() < until) {
            return Self { ailment: self.ailment, probe_until: self.probe_until, ..next };
        }
        let most = if ailment == Ailment::Refused { MAX_REFUSED } else { MAX_OUTAGE };
        let period =
            (FIRST_PERIOD * (1 << self.opened.min(8))).min(most).max(asked.unwrap_or_default().min(MAX_REFUSED));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "an hour in milliseconds is far from both limits"
        )]
        let spread = (period.num_milliseconds() as f64 * 0.25 * jitter) as i64;
        let until = now.timestamp_millis() + period.num_milliseconds() + spread;
        Self { opened: self.opened.saturating_add(1), open_until: Some(until), ..next }
    }

    /// After an answer that brought tokens or judged the grant: the endpoint works. `None`: nothing changed.
    pub fn worked(&self) -> Option<Self> {
        if self.fails == 0 && self.open_until.is_none() {
            return None;
        }
        let version = self.version + 1;
        Some(Self { version, fails: 0, opened: 0, ailment: None, open_until: None, probe_until: None, ..self.clone() })
    }

    /// After a request that took so long. `None`: nothing changed.
    pub fn took(&self, time: std::time::Duration, now: Timestamp) -> Option<Self> {
        // Renewed only in its second half: under load each answer would be a write otherwise.
        let noted =
            self.slow_until.is_some_and(|until| until - now.timestamp_millis() > SLOW_FOR.num_milliseconds() / 2);
        (time > SLOW && !noted).then(|| Self {
            version: self.version + 1,
            slow_until: Some((now + SLOW_FOR).timestamp_millis()),
            ..self.clone()
        })
    }

    /// Whether its work belongs into the queue of those that take long or fail.
    pub fn is_apart(&self, now: Timestamp) -> bool {
        let now = now.timestamp_millis();
        // A while longer than it is open: its probe may still find it out.
        let lately = |until: i64| now < until + MAX_OUTAGE.num_milliseconds();
        self.open_until.is_some_and(lately) || self.slow_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        chrono::DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap()
    }

    fn health() -> Health {
        Health::unknown(ClientId::generate(), "https://as.example")
    }

    fn fail(health: &Health, now: i64) -> Health {
        health.failed(Ailment::Unavailable, false, None, 0.0, at(now))
    }

    #[test]
    fn n13_failures_in_a_row_open_it_and_each_failed_probe_keeps_it_open_for_longer() {
        let mut health = health();
        for failures in 1..FAILURES {
            health = fail(&health, 0);
            assert_eq!(health.gate(1, at(0)), Gate::Closed, "{failures}");
        }
        health = fail(&health, 0);
        let mut now = 0;
        for period in [30, 60, 120, 240, 300, 300] {
            let wait = Duration::seconds(period);
            assert_eq!(health.gate(1, at(now)), Gate::Open { wait, ailment: Ailment::Unavailable });
            now += period;
            assert_eq!(health.gate(1, at(now)), Gate::Probe);
            let probing = health.probing(at(now));
            assert!(matches!(probing.gate(1, at(now)), Gate::Open { .. }), "one probe at a time");
            assert_eq!(probing.gate(1, at(now + 25)), Gate::Probe, "a probe that died does not keep it open");
            health = fail(&probing, now);
        }
        assert_eq!(health.worked().map(|closed| closed.gate(1, at(now))), Some(Gate::Closed));
    }

    #[test]
    fn n13_a_refused_client_opens_it_at_once_and_a_changed_one_is_asked_again() {
        let refused = Health { revision: 7, ..health() }.failed(Ailment::Refused, true, None, 0.0, at(0));
        assert!(matches!(refused.gate(7, at(0)), Gate::Open { ailment: Ailment::Refused, .. }));
        assert_eq!(refused.gate(8, at(0)), Gate::Closed);
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew_and_nothing_is_written_for_one_after_another() {
        let mut health = health();
        for _ in 1..FAILURES {
            health = fail(&health, 0);
        }
        health = health.worked().unwrap();
        assert_eq!(health.worked(), None);
        assert_eq!(fail(&health, 0).gate(1, at(0)), Gate::Closed);
    }

    #[test]
    fn what_was_under_way_when_it_opened_does_not_prolong_it_and_a_retry_after_does() {
        let open = health().failed(Ailment::Unavailable, true, None, 0.0, at(0));
        assert_eq!(fail(&open, 10).open_until, open.open_until);
        let asked = health().failed(Ailment::Unavailable, true, Some(Duration::minutes(7)), 0.0, at(0));
        assert_eq!(asked.open_until, Some(at(420).timestamp_millis()));
        let ages = health().failed(Ailment::Unavailable, true, Some(Duration::days(9)), 0.0, at(0));
        assert_eq!(ages.open_until, Some(at(3600).timestamp_millis()));
    }

    #[test]
    fn a_slow_answer_keeps_its_endpoint_apart_for_a_time() {
        let quick = health();
        assert_eq!(quick.took(SLOW, at(0)), None);
        let slow = quick.took(std::time::Duration::from_secs(4), at(0)).unwrap();
        assert!(slow.is_apart(at(0)) && !slow.is_apart(at(600)));
        assert_eq!(slow.took(std::time::Duration::from_secs(4), at(1)), None, "noted already");
    }
}
