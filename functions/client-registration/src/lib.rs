//! The Lambda function that registers OAuth clients.
