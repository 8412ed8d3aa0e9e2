//! Scopes (RFC 6749 §3.3).

/// Whether a text is one scope token: visible ASCII without space, `"` and `\`.
pub fn is_scope_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

/// Splits the `scope` of a token answer. Spaces are the standard; some providers send commas.
pub fn parse(text: &str) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    for token in text.split([' ', ',']).filter(|token| is_scope_token(token)) {
        if !scopes.iter().any(|seen| seen == token) {
            scopes.push(token.to_owned());
        }
    }
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_split_at_spaces_and_commas_and_kept_once() {
        assert_eq!(parse("read write,read  admin"), ["read", "write", "admin"]);
        assert!(parse(" ,\u{7f} ").is_empty());
    }
}
