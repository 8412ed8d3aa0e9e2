//! Workers that are killed in the middle of refreshes (`kill -9`), at a provider whose refresh tokens are good once.
//!
//! `GRANTKEEPER_CHAOS_ROUNDS` says how many kills (10 without it), `GRANTKEEPER_CHAOS_SEED` repeats the random choices of
//! a run. When exactly a kill lands is the machine's doing; what must hold afterwards holds wherever it lands.

mod campaign;
mod presented;
mod stage;

use grantkeeper_sandbox::ClientSettings;

use super::{ALONE, Outcome};
use campaign::Campaign;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_credential_is_lost_to_kills_while_the_provider_has_a_grace() -> Outcome {
    let _alone = ALONE.lock().await;
    let settings = ClientSettings { grace_seconds: 600, delay_ms: 20, ..Default::default() };
    let mut campaign = Campaign::start("grace of 600 s", settings).await?;
    let told = campaign.run().await?;
    // Otherwise nothing would have been there to be lost.
    assert!(told.unstored > 0, "{told:?}");
    campaign.expect_everything_else_to_work().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_grace_kills_cost_what_the_provider_had_answered_and_nobody_had_stored() -> Outcome {
    let _alone = ALONE.lock().await;
    let settings = ClientSettings { grace_seconds: 0, delay_ms: 5, ..Default::default() };
    let mut campaign = Campaign::start("no grace", settings).await?;
    campaign.run().await?;
    campaign.expect_losses_and_no_others().await?;
    campaign.expect_everything_else_to_work().await
}
