//! The Lambda function that serves credentials and delivers access tokens.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let broker = grantkeeper::lambda::broker(cfg!(feature = "emulated")).await?;
    lambda_http::run(credentials::router(broker)).await
}
