//! Who attaches, swaps and grows: this process itself, or a helper that keeps the privilege it takes.

use super::{
    EnforcerError, InterfaceStatus,
    apart::Messenger,
    holder::{Holder, Offer},
};

/// What is done with privilege.
pub(super) enum Hands {
    /// By this process: what tests and benches want.
    Own(Box<Holder>),
    /// By a helper.
    Apart(Messenger),
}

impl Hands {
    /// Looks at all interfaces. Tells where the program is attached now, and the first refusal.
    pub(super) fn refresh(&mut self) -> Result<(Vec<InterfaceStatus>, Result<(), EnforcerError>), EnforcerError> {
        match self {
            Self::Own(holder) => Ok(holder.refresh()),
            Self::Apart(messenger) => messenger.refresh(),
        }
    }

    /// Has larger tables made.
    pub(super) fn prepare_larger(&mut self, hosts: u32) -> Result<Offer, EnforcerError> {
        match self {
            Self::Own(holder) => holder.prepare_larger(hosts),
            Self::Apart(messenger) => messenger.prepare_larger(hosts),
        }
    }

    /// Has the larger tables looked into from now on.
    pub(super) fn swap_in(&mut self) -> Result<(), EnforcerError> {
        match self {
            Self::Own(holder) => holder.swap_in(),
            Self::Apart(messenger) => messenger.swap_in(),
        }
    }

    /// Has larger tables forgotten that were made and not taken.
    pub(super) fn give_up(&mut self) {
        match self {
            Self::Own(holder) => holder.give_up(),
            Self::Apart(messenger) => messenger.give_up(),
        }
    }

    /// The memory of all maps.
    pub(super) fn memory(&mut self) -> Result<u64, EnforcerError> {
        match self {
            Self::Own(holder) => holder.attachment.memory(),
            Self::Apart(messenger) => messenger.memory(),
        }
    }

    /// The holder, where it is this process.
    pub(super) fn own(&self) -> Result<&Holder, EnforcerError> {
        match self {
            Self::Own(holder) => Ok(holder),
            Self::Apart(_) => Err(EnforcerError::Helper {
                said: "only the process that holds the program can run frames through it".to_owned(),
            }),
        }
    }
}
