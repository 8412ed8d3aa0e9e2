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

/// The scopes that were granted although nobody asked for them (N10). Case does not count, and neither does
/// `offline_access`, which some servers add and others leave out. Where nothing was asked, the server's default is what
/// was asked (RFC 6749 §3.3).
pub fn beyond(granted: &[String], asked: &[String]) -> Vec<String> {
    if asked.is_empty() {
        return Vec::new();
    }
    let known = |scope: &String| asked.iter().any(|one| one.eq_ignore_ascii_case(scope));
    granted.iter().filter(|scope| !known(scope) && !scope.eq_ignore_ascii_case("offline_access")).cloned().collect()
}

/// The scopes that were asked for and not granted; counted as [`beyond`] counts.
pub fn missing(granted: &[String], asked: &[String]) -> Vec<String> {
    let known = |scope: &String| granted.iter().any(|one| one.eq_ignore_ascii_case(scope));
    asked.iter().filter(|scope| !known(scope) && !scope.eq_ignore_ascii_case("offline_access")).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(scopes: &str) -> Vec<String> {
        scopes.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn scopes_beyond_the_asked_ones_are_found_and_false_alarms_are_not() {
        for (granted, asked, more, fewer) in [
            ("read", "read", "", ""),
            ("read write", "read", "write", ""),
            ("Read", "read", "", ""),
            ("read offline_access", "read", "", ""),
            ("read", "read offline_access", "", ""),
            ("read", "read write", "", "write"),
            ("anything", "", "", ""),
            ("admin", "read", "admin", "read"),
        ] {
            assert_eq!(beyond(&list(granted), &list(asked)), list(more), "{granted} for {asked}");
            assert_eq!(missing(&list(granted), &list(asked)), list(fewer), "{granted} for {asked}");
        }
    }

    #[test]
    fn scopes_are_split_at_spaces_and_commas_and_kept_once() {
        assert_eq!(parse("read write,read  admin"), ["read", "write", "admin"]);
        assert!(parse(" ,\u{7f} ").is_empty());
    }
}
