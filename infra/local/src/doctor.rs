//! `cargo run -- doctor`: the entries of the catalogue compared with their providers, without any credential.

use std::io::Write;

use anyhow::Context as _;
use futures::StreamExt as _;
use grantkeeper::catalogue::Catalogue;
use grantkeeper::clock::Timestamp;
use grantkeeper::doctor::{Step, Verdict, examine};
use grantkeeper::model::client::{ClientSettings, GrantType};
use grantkeeper::outbound::Outbound;

/// What is examined at once.
pub struct Patient {
    /// The id of the entry.
    pub id: String,
    /// What a client takes from it.
    pub settings: ClientSettings,
    /// The grant that the client has.
    pub grant: GrantType,
}

/// How many examinations ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// All is as it should be.
    pub passed: usize,
    /// Something answers, but not so that anything follows from it.
    pub unclear: usize,
    /// Something is not as the entry says.
    pub failed: usize,
    /// Nothing could be asked.
    pub skipped: usize,
}

impl Patient {
    /// The entries of these ids, or all: each as its usual client has it, and with every grant whose facts differ.
    ///
    /// # Errors
    /// An id that no entry has.
    pub fn of(catalogue: &Catalogue, ids: &[String]) -> anyhow::Result<Vec<Self>> {
        let ids: Vec<String> = if ids.is_empty() { catalogue.ids().collect() } else { ids.to_vec() };
        let mut patients = Vec::new();
        for id in ids {
            let provider = catalogue.find(&id).with_context(|| format!("there is no entry {id}"))?;
            let mut grants: Vec<GrantType> = provider.own_sections().collect();
            grants.extend(provider.settings.first_grants().find(|grant| !grants.contains(grant)));
            let patient = |grant| Self { id: id.clone(), settings: provider.settings_for(grant), grant };
            patients.extend(grants.into_iter().map(patient));
        }
        Ok(patients)
    }
}

/// Examines all of them, so many at once, and writes a line for each as soon as it is over, and one about all.
///
/// # Errors
/// When the lines cannot be written.
pub async fn run(
    outbound: &Outbound,
    patients: Vec<Patient>,
    at_once: usize,
    now: Timestamp,
    out: &mut impl Write,
) -> std::io::Result<Summary> {
    let all = patients.len();
    let examinations = patients.into_iter().map(async |patient| {
        let steps = examine(outbound, &patient.settings, patient.grant, now).await;
        (patient, steps)
    });
    let mut over = futures::stream::iter(examinations).buffer_unordered(at_once);
    let mut summary = Summary::default();
    let mut count = 0_usize;
    while let Some((patient, steps)) = over.next().await {
        count += 1;
        let verdict = steps.iter().map(|step| step.verdict).max().unwrap_or(Verdict::Skipped);
        let (word, counter) = match verdict {
            Verdict::Passed => ("passed", &mut summary.passed),
            Verdict::Unclear => ("unclear", &mut summary.unclear),
            Verdict::Failed => ("failed", &mut summary.failed),
            Verdict::Skipped => ("skipped", &mut summary.skipped),
        };
        *counter += 1;
        let (id, grant) = (&patient.id, patient.grant.as_str());
        writeln!(out, "{count:>4}/{all} {word:<7} {id} ({grant}): {}", told(&steps))?;
        out.flush()?;
    }
    let Summary { passed, unclear, failed, skipped } = summary;
    writeln!(out, "{passed} passed, {unclear} unclear, {failed} failed, {skipped} skipped")?;
    Ok(summary)
}

/// What passed by its name, everything else with what was seen and what to do.
fn told(steps: &[Step]) -> String {
    let told = steps.iter().map(|step| match (step.verdict, step.advice) {
        (Verdict::Passed, _) => format!("{} ok.", step.subject.as_str()),
        (_, Some(advice)) => format!("{}: {} {advice}", step.subject.as_str(), step.detail),
        (_, None) => format!("{}: {}", step.subject.as_str(), step.detail),
    });
    told.collect::<Vec<_>>().join(" ")
}
