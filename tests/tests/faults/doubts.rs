//! Answers that are lost because a provider is out: what may be spent is asked for again before the provider's grace is
//! over.

use std::sync::Arc;

use anyhow::ensure;
use chrono::Duration;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use grantkeeper::model::credential::CredentialStatus;
use grantkeeper_sandbox::{Always, Fault as SandboxFault, FaultKind, FaultRule, ScriptedAnswer, When};

use super::bench::{AT_ONCE, Bench, Keeping, Subject};
use super::provider::Mode;

/// How many clients there are, each with a breaker of its own, and how many credentials of each are due at once.
const CLIENTS: usize = 5;
const CREDENTIALS: usize = 12;
/// How long answers are lost (minutes). The provider gives them again for ten.
const OUTAGE: i64 = 4;
/// When everything is over that there is (minutes).
const END: i64 = 30;

/// In an outage of four minutes the tokens rotate and the answers are lost.
pub async fn are_settled_within_the_grace(keeping: Keeping) -> anyhow::Result<()> {
    let bench = Arc::new(Bench::new(keeping).await?);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(bench.client(Mode::Grace).await?);
    }
    let each = clients.iter().flat_map(|client| std::iter::repeat_n(client, CREDENTIALS));
    let made = stream::iter(each)
        .map(|(client_id, client)| bench.subject_of(Mode::Grace, client_id.clone(), client.clone(), Duration::zero()));
    let subjects: Vec<Subject> = made.buffered(AT_ONCE).try_collect().await?;
    bench.sandbox().clear_presented();
    let lost = SandboxFault::new(FaultKind::Status { status: 502, retry_after: None }, true);
    let (when, answer) = (When::Always(Always::Always), ScriptedAnswer::Fault(lost));
    let rule = FaultRule { when, grant_type: None, answer, seen: 0 };
    for (client_id, _) in &clients {
        bench.change_at_sandbox(Mode::Grace, client_id, |at| at.token_faults = vec![rule.clone()])?;
    }
    bench.world.advance(Duration::seconds(2890));
    for half in 0..2 * END {
        if half == 2 * OUTAGE {
            for (client_id, _) in &clients {
                bench.change_at_sandbox(Mode::Grace, client_id, |_| {})?;
            }
        }
        bench.sweep().await?;
        bench.world.advance(Duration::seconds(30));
    }
    let mut dead = Vec::new();
    for subject in &subjects {
        let stored = bench.stored(&subject.credential).await?;
        if stored.status != CredentialStatus::Active {
            dead.push(format!("{:?} since {:?}", stored.status, stored.status_reason));
        }
    }
    let presented = bench.sandbox().presented();
    let first = presented.first().map(|it| it.at).unwrap_or_default();
    let late = presented.iter().filter(|it| it.revoked).map(|it| (it.at - first).num_seconds()).collect::<Vec<_>>();
    ensure!(
        dead.is_empty(),
        "{} of {} grants were lost, presented again after {late:?} seconds: {dead:?}",
        dead.len(),
        subjects.len()
    );
    Ok(())
}
