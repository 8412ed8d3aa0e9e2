//! The Lambda function that opens connect sessions and starts authorization.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let broker = grantkeeper::lambda::broker(cfg!(feature = "emulated")).await?;
    lambda_http::run(authorization_start::router(broker)).await
}
