//! The Lambda function that finds what is due and refreshes it.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use token_refresh::{Event, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let broker = &grantkeeper::lambda::broker(cfg!(feature = "emulated")).await?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move {
        handle(broker, Event::parse(event.payload)?).await.map_err(lambda_runtime::Error::from)
    }))
    .await
}
