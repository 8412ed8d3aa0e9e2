//! The Lambda function that registers OAuth clients.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let broker = grantkeeper::lambda::broker(cfg!(feature = "emulated")).await?;
    lambda_http::run(client_registration::router(broker)).await
}
