//! The Lambda function that serves credentials and delivers access tokens.
fn main() {}
