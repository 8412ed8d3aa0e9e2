//! The Lambda function that receives the redirect callback and completes flows.
fn main() {}
