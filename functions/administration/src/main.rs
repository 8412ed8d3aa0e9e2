//! The Lambda function that serves projects, keys and health.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let broker = grantkeeper::lambda::broker(cfg!(feature = "emulated")).await?;
    lambda_http::run(administration::router(broker)).await
}
