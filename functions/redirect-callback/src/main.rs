//! The Lambda function that receives the redirect callback and completes flows.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let broker = grantkeeper::lambda::broker(cfg!(feature = "emulated")).await?;
    lambda_http::run(redirect_callback::router(broker)).await
}
