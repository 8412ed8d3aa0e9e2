//! The Lambda function that registers OAuth clients.
fn main() {}
