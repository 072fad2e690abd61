//! The steps of the story, in their order.

mod attacker;
mod curl;
mod neighbour;
mod operator;
mod replay;
mod sequence;
mod signed;
mod unsigned;

use anyhow::Result;

use super::stage::Stage;

/// One step.
pub(super) struct Step {
    pub(super) title: &'static str,
    pub(super) play: fn(&mut Stage) -> Result<()>,
}

/// All of them.
pub(super) const ALL: [Step; 8] = [
    Step {
        title: "A signed call passes",
        play: signed::play,
    },
    Step {
        title: "Plain curl is refused",
        play: unsigned::plain,
    },
    Step {
        title: "A link typed into the browser is refused",
        play: unsigned::typed,
    },
    Step {
        title: "A copy of a call is refused, also after a crash",
        play: replay::play,
    },
    Step {
        title: "A call that makes no sense now is refused",
        play: sequence::play,
    },
    Step {
        title: "A neighbour behind the same NAT goes bad, and alone pays for it",
        play: neighbour::play,
    },
    Step {
        title: "An attacker forges signatures, and is dropped at the card",
        play: attacker::play,
    },
    Step {
        title: "The operator looks, and lifts the ban",
        play: operator::play,
    },
];
