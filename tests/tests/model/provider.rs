//! Providers, by what they do with a refresh token that was used.

/// What becomes of a refresh token once it was used (REFRESH.md b.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It stays the same (Google, HubSpot).
    Static,
    /// A new one comes, and the old one goes on for longer than any repair takes (Xero, Atlassian).
    Grace,
    /// As `Grace`, but over before a lease has lapsed (Okta's 30 seconds).
    ShortGrace,
    /// A new one comes, and the old one is refused.
    Strict,
    /// As `Strict`, and the use of an old one ends the whole grant.
    Family,
    /// A new one comes, and older ones go on; the newest may be refused for a while (`reuse_penalty = "none"`).
    Lenient,
}

pub const MODES: [Mode; 6] = [Mode::Static, Mode::Grace, Mode::ShortGrace, Mode::Strict, Mode::Family, Mode::Lenient];

/// The refresh token that the record has at the beginning, and the one before it.
pub const FIRST: u8 = 1;
pub const BEFORE: u8 = 0;
/// The refresh token of another grant.
pub const OTHER: u8 = 31;

/// What a provider knows of the refresh tokens that it gave; one bit for each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Provider {
    pub mode: Mode,
    /// Those that are good.
    pub live: u32,
    /// Those that were used and are good until grace is over.
    pub graced: u32,
    pub grace_over: bool,
    /// By which token each came, in the order in which they came after [`FIRST`].
    pub parents: Vec<u8>,
}

impl Provider {
    pub fn new(mode: Mode) -> Self {
        let live = if mode == Mode::Lenient { 1 << FIRST | 1 << BEFORE } else { 1 << FIRST };
        Self { mode, live, graced: 0, grace_over: false, parents: Vec::new() }
    }

    /// Whether a refresh token would be accepted.
    pub fn accepts(&self, token: u8) -> bool {
        let graced = if self.grace_over { 0 } else { self.graced };
        (self.live | graced) & (1 << token) != 0
    }

    /// A refresh token is presented: the one that comes for it, or `None` where it is refused.
    pub fn present(&mut self, token: u8) -> Option<u8> {
        if !self.accepts(token) {
            if self.mode == Mode::Family && token != OTHER {
                // Reuse: the whole family goes. Another grant is another family.
                self.live &= 1 << OTHER;
            }
            return None;
        }
        if self.mode == Mode::Static || token == OTHER {
            return Some(token);
        }
        self.parents.push(token);
        let new = FIRST + u8::try_from(self.parents.len()).expect("few tokens");
        if self.mode != Mode::Lenient {
            self.live &= !(1 << token);
        }
        if matches!(self.mode, Mode::Grace | Mode::ShortGrace) {
            self.graced |= 1 << token;
        }
        self.live |= 1 << new;
        Some(new)
    }

    /// Whether one refresh token came by the use of another, or is the same.
    pub fn follows(&self, token: u8, other: u8) -> bool {
        token == other || self.parents.get(usize::from(token.wrapping_sub(FIRST + 1))) == Some(&other)
    }

    /// Time goes by, longer than a lease.
    pub fn wait(&mut self) {
        self.grace_over |= self.mode == Mode::ShortGrace;
    }
}
