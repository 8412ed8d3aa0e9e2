//! Faults that come again and again.

use anyhow::ensure;
use serde::{Deserialize, Deserializer, Serialize};

use super::{GrantType, ScriptedAnswer};

/// Which token requests of a client get another answer than the usual one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// How often.
    pub when: When,
    /// Only requests of this grant type; left out, those of any.
    #[serde(default)]
    pub grant_type: Option<GrantType>,
    /// What they get.
    pub answer: ScriptedAnswer,
    /// How many requests the rule has decided about. It starts at 0 with every new list of rules.
    #[serde(default)]
    pub seen: u64,
}

/// How often a rule strikes, counted in the requests it decides about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "when must be \"always\", {\"every\": n} or {\"chance\": 0 to 1, \"seed\": n}"
)]
pub enum When {
    /// At every request: `"always"`.
    Always(Always),
    /// At the n-th, the 2n-th and so on.
    Every {
        /// At least 1.
        every: u32,
    },
    /// At random, but the same seed strikes at the same requests.
    Chance {
        /// 0 (never) to 1 (always).
        chance: f64,
        /// Any number.
        seed: u64,
    },
}

/// The word `"always"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Always {
    /// The word itself.
    Always,
}

impl FaultRule {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        match self.when {
            When::Always(_) => {}
            When::Every { every } => ensure!(every > 0, "a rule strikes every 1st request at the most: every is 0"),
            When::Chance { chance, .. } => {
                ensure!((0.0..=1.0).contains(&chance), "the chance of a rule must be 0 to 1");
            }
        }
        self.answer.validate()
    }

    /// Counts a request if the rule is about it; the answer if the rule strikes.
    pub(super) fn decide(&mut self, grant_type: Option<GrantType>) -> Option<ScriptedAnswer> {
        if self.grant_type.is_some() && self.grant_type != grant_type {
            return None;
        }
        let number = self.seen;
        self.seen = number.saturating_add(1);
        let strikes = match self.when {
            When::Always(_) => true,
            When::Every { every } => self.seen.is_multiple_of(u64::from(every)),
            When::Chance { chance, seed } => drawn(seed, number) < chance,
        };
        strikes.then(|| self.answer.clone())
    }
}

/// The n-th number of a seed, at least 0 and less than 1: SplitMix64 (Steele, Lea, Flood 2014), which has the whole
/// sequence at hand without keeping any state but the place in it.
#[expect(clippy::cast_precision_loss, reason = "the 53 bits that are left fit a double")]
fn drawn(seed: u64, number: u64) -> f64 {
    let mut bits = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// A list, or `null` for an empty one.
pub(super) fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FaultRule>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
