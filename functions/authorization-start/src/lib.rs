//! The Lambda function that opens connect sessions and starts authorization.
