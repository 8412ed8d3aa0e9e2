//! A part of the local stack in a process of its own: see `grantkeeper_tests::part`.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    grantkeeper_tests::part::run().await
}
