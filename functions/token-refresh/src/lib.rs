//! The Lambda function that finds what is due and refreshes it.
