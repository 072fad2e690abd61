//! The helper's side: does what takes privilege, for nobody but the process that started it.
//!
//! It believes that process only before it speaks with strangers: the options come first and once. Later requests choose
//! from a closed set, and the one number among them is held against the options.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use super::{
    AttachOptions, EnforcerError,
    ground::Ground,
    holder::{Holder, Offer},
    privilege,
    wire::{self, Answer, Request},
};

/// A helper that has started.
pub struct Helper {
    socket: OwnedFd,
    holder: Holder,
}

impl Helper {
    /// Does what the process at the other end of `socket` wants to start with. `None` if that cannot be: it was told why.
    ///
    /// `confine` is called once, when all is mounted that is needed and before anything is loaded, with the directories
    /// that are written to from then on.
    ///
    /// # Errors
    /// If the socket fails, or something else comes over it than the daemon says.
    pub fn start<E: std::fmt::Display>(
        socket: OwnedFd,
        confine: impl FnOnce(&[PathBuf]) -> Result<(), E>,
    ) -> io::Result<Option<Self>> {
        let Some((Request::Start(options), _)) = wire::receive(socket.as_fd())? else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "expected the options first"));
        };
        let started = prepare(&options, confine).and_then(|ground| Holder::start(&options, ground));
        match started {
            Ok((holder, offer)) => {
                offer_maps(socket.as_fd(), &holder, &offer)?;
                Ok(Some(Self { socket, holder }))
            }
            Err(error) => {
                wire::send(socket.as_fd(), &Answer::Failed(error.to_string()), &[])?;
                Ok(None)
            }
        }
    }

    /// Serves that process until it is gone.
    ///
    /// # Errors
    /// The same.
    pub fn serve(mut self) -> io::Result<()> {
        while let Some((request, _)) = wire::receive(self.socket.as_fd())? {
            respond(self.socket.as_fd(), &mut self.holder, &request)?;
        }
        Ok(())
    }
}

fn prepare<E: std::fmt::Display>(
    options: &AttachOptions,
    confine: impl FnOnce(&[PathBuf]) -> Result<(), E>,
) -> Result<Ground, EnforcerError> {
    let ground = Ground::prepare(options)?;
    privilege::note_filters();
    confine(&ground.places()).map_err(|error| EnforcerError::Helper {
        said: format!("the privileged helper cannot be confined: {error}"),
    })?;
    Ok(ground)
}

fn respond(socket: BorrowedFd<'_>, holder: &mut Holder, request: &Request) -> io::Result<()> {
    let answer = match request {
        Request::Start(_) => Answer::Failed("the helper has started already".to_owned()),
        Request::Refresh => {
            let (attached, outcome) = holder.refresh();
            let refused = outcome.err().map(|error| error.to_string());
            Answer::Interfaces { attached, refused }
        }
        Request::Grow { hosts } => match holder.prepare_larger(*hosts) {
            Ok(offer) => return offer_maps(socket, holder, &offer),
            Err(error) => Answer::Failed(error.to_string()),
        },
        Request::Swap => done(holder.swap_in()),
        Request::GiveUp => {
            holder.give_up();
            Answer::Done
        }
        Request::Memory => match holder.attachment.memory() {
            Ok(bytes) => Answer::Memory(bytes),
            Err(error) => Answer::Failed(error.to_string()),
        },
    };
    wire::send(socket, &answer, &[])
}

fn done(outcome: Result<(), EnforcerError>) -> Answer {
    match outcome {
        Ok(()) => Answer::Done,
        Err(error) => Answer::Failed(error.to_string()),
    }
}

fn offer_maps(socket: BorrowedFd<'_>, holder: &Holder, offer: &Offer) -> io::Result<()> {
    let answer = Answer::Offer {
        shapes: offer.maps.shapes(),
        capacities: offer.capacities,
        interfaces: holder.attachment.interfaces(),
    };
    wire::send(socket, &answer, &offer.maps.descriptors())
}
