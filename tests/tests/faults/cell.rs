//! The cells of the matrix, and what each must come to.

use super::point::Point;
use super::provider::{Fault, Mode};

/// One worker meets one fault of the provider and has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub point: Point,
    pub mode: Mode,
    pub fault: Fault,
}

/// What a cell must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The credential is active with a token that works, and can be refreshed once more.
    Alive,
    /// The loss that nobody can prevent (REFRESH.md b.0, G3): new consent is asked for, once.
    Lost,
    /// The owner disconnected it, and that is what counts.
    Ended,
}

impl Cell {
    /// Every cell that differs from all others: where a point is not reached because the first answer leads elsewhere, the
    /// cell is that without the point.
    pub fn all(mode: Mode) -> Vec<Cell> {
        let of = |point: Point| Fault::ALL.into_iter().map(move |fault| Cell { point, mode, fault });
        let cells = Point::ALL.into_iter().flat_map(of);
        cells.filter(|cell| cell.point.is_reached(cell.mode, cell.fault) && !cell.says_nothing_new()).collect()
    }

    /// An answer that nobody waits for differs from a closed connection by the time alone, and that is ten seconds of
    /// everybody's: it is enough where the second request is. And once a second request has brought the tokens, it is the
    /// same how the first answer was lost: three of the ways are enough then.
    fn says_nothing_new(&self) -> bool {
        let Cell { point, mode, fault } = *self;
        let second_follows = matches!(point, Point::None | Point::DieBeforeSecondSend | Point::DieBeforeStage);
        let brought = fault.loses_tokens() && !mode.is_unforgiving() && !second_follows && !point.is_before_send();
        (fault == Fault::TimeoutAfter && !second_follows)
            || (brought && !matches!(fault, Fault::DropAfter | Fault::BusyAfter | Fault::Half))
    }

    /// By REFRESH.md b.4 and S6.
    pub fn expected(&self) -> Expected {
        let Cell { point, mode, fault } = *self;
        let unforgiving = mode.is_unforgiving();
        if fault.loses_tokens() && unforgiving {
            return Expected::Lost;
        }
        // S6: without a lost answer or a dead worker before it, and without another token to try, it is believed.
        if fault == Fault::InvalidGrant && mode != Mode::Lenient {
            let doubted = point.leaves_intent_unsent() || point == Point::DieBeforeRelease;
            return if doubted { Expected::Alive } else { Expected::Lost };
        }
        match point {
            Point::CommitDisconnected => Expected::Ended,
            Point::DieBeforeStage if unforgiving => Expected::Lost,
            // b.0: nothing in a store repairs two holders at a provider that revokes the family.
            Point::Overtaken if mode == Mode::Family => Expected::Lost,
            _ => Expected::Alive,
        }
    }

    /// Whether the loss is found at once, and not only when the tokens that were stored are used.
    pub fn is_found_at_once(&self) -> bool {
        self.point != Point::Overtaken
    }

    /// How many refresh tokens are given out and lost at once: the newest one that anybody has is so many older than the
    /// provider's.
    pub fn lost_at_once(&self) -> u32 {
        let crashed = matches!(self.point, Point::DieBeforeStage | Point::Overtaken);
        u32::from(self.fault.loses_tokens()) + u32::from(crashed)
    }

    /// Whether nothing but a worker's death delays the tokens: they are there within ninety seconds then (b.4).
    pub fn is_prompt(&self) -> bool {
        self.expected() == Expected::Alive
            && self.point != Point::CommitSuspended
            && (self.fault == Fault::None || self.fault.is_unknown())
    }

    pub fn name(&self) -> String {
        format!("{}, {}, {:?}", self.mode.name(), self.point.name(), self.fault)
    }
}
