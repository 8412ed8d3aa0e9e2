//! The Lambda function that serves projects, keys and health.
